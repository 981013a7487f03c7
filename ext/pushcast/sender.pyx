"""Sender: one thread that drives hundreds of destinations, without the GIL.

Time is cut into slots of 4 ms on absolute timerfd deadlines.  Each class of transports (UDP, SRT, TCP) has an interval
of a whole number of slots, and its destinations are spread over them, so that N sends never leave as one burst.  At its
slot a destination gets what `cursor_slot` does: at most one send for each contiguous run.

The thread shares with the rest of the process only:
- the rings (head, tail, last_key by release and acquire),
- the counter rows (written here, read anywhere),
- two lists under one short lock: destinations with commands (attach, detach, control bytes) and destinations with
  events (started, lost, released).
The lock is never held during a send.  A wake-up in either direction is one eventfd.

A Destination belongs to its sender from attach() until events() has reported EVENT_RELEASED; until then the sender
holds it, its ring and its transport.  After EVENT_LOST nothing is sent any more, and detach() is answered by
EVENT_RELEASED at once.
"""
from libc.errno cimport ENOMEM
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

from pushcast.counters cimport CounterTable
from pushcast.cursor cimport (
    CURSOR_DONE,
    CURSOR_DRAINING,
    CURSOR_WAITING,
    control_t,
    cursor_free,
    cursor_slot,
)
from pushcast.monotonic cimport monotonic_ns
from pushcast.muxer cimport Muxer
from pushcast.ring cimport Ring, load_acquire, store_release
from pushcast.transport cimport CLASS_SRT, CLASS_TCP, CLASS_UDP, Transport
from pushcast.wakeup cimport (
    arm_timer, close_fd, drain_fd, new_eventfd, new_timerfd, pthread_mutex_destroy, pthread_mutex_init,
    pthread_mutex_lock, pthread_mutex_unlock, wait_for, wake,
)

cdef extern from "<errno.h>" nogil:
    enum:
        ECANCELED

EVENT_STARTED = 1
EVENT_LOST = 2
EVENT_RELEASED = 4

cdef enum:
    STARTED = 1
    LOST = 2
    RELEASED = 4
    COMMAND_ATTACH = 1
    COMMAND_DETACH = 2
    COMMAND_CONTROL = 4
    MAX_SAID_BYTES = 65536       # a peer that asks for more replies than it reads is lost, not buffered for

SLOT_MS = 4

TABLE = CounterTable()


cdef class Destination:
    """Destination(ring, muxer, transport, message_stream_id=0, start="gop", max_lag_ms=5000, stall_ms=10000)

    A cursor on ``ring`` and the socket of ``transport``.  ``start``: "gop" joins at the newest key span, "next" waits
    for the next one.  ``max_lag_ms``: media time behind the head that makes it jump; ``stall_ms``: time without a taken
    byte that makes it lost (ETIMEDOUT).
    """

    def __cinit__(self, Ring ring not None, Muxer muxer not None, Transport transport not None, uint32_t message_stream_id=0,
                  str start="gop", int64_t max_lag_ms=5000, int64_t stall_ms=10000):
        if start not in ("gop", "next"):
            raise ValueError(f"start: found {start!r}, expected 'gop' or 'next'")
        if max_lag_ms <= 0 or stall_ms <= 0:
            raise ValueError(f"max_lag_ms and stall_ms: found {max_lag_ms} and {stall_ms}, expected more than 0")
        if transport.closed:
            raise ValueError("a destination needs an open transport")
        self.c = <dest_t*>calloc(1, sizeof(dest_t))
        if self.c == NULL:
            raise MemoryError("a destination")
        self.ring = ring
        self.transport = transport
        self.table = TABLE
        self.row = self.table.take()
        self.c.said_end = &self.c.said
        self.c.cursor.ring = &ring.c
        self.c.cursor.transport = &transport.c
        self.c.cursor.lead_in = muxer.lead_in
        self.c.cursor.row = self.table.row(self.row)
        self.c.cursor.peer.message_stream_id = message_stream_id
        self.c.cursor.peer.zero_ms = -1
        self.c.cursor.state = CURSOR_WAITING
        self.c.cursor.join_from = 0 if start == "gop" else load_acquire(&ring.c.head)
        self.c.cursor.max_lag_ticks = max_lag_ms * 90
        self.c.cursor.stall_ns = stall_ms * 1000000

    def __dealloc__(self):
        cdef control_t* following
        if self.c != NULL:
            cursor_free(&self.c.cursor)
            while self.c.said != NULL:
                following = self.c.said.next
                free(self.c.said)
                self.c.said = following
            free(self.c)
        if self.table is not None:
            self.table.give(self.row)

    def control(self, const uint8_t[::1] data not None):
        """Say protocol bytes between two spans.  BufferError when the peer has not taken 64 KiB of earlier ones."""
        if self.sender is None:
            raise ValueError("control bytes for a destination that is not attached")
        cdef size_t size = data.shape[0]
        if size == 0:
            return
        if not say(self.sender, self.c, &data[0], size):
            raise BufferError(f"{self.c.said_bytes} bytes of replies wait for a peer that does not read")

    def counters(self):
        """This destination's row of the counter table, as a dict."""
        return self.table.read(self.row)

    def reset_gap(self):
        """Begin a new measurement of max_gap_ns."""
        self.table.reset_gap(self.row)


cdef bint say(Sender sender, dest_t* dest, const uint8_t* data, size_t size) except -1:
    """Queue control bytes; False when too many wait."""
    cdef control_t* item = <control_t*>malloc(sizeof(control_t) + size)
    if item == NULL:
        raise MemoryError("control bytes")
    item.next = NULL
    item.size = size
    memcpy(<uint8_t*>item + sizeof(control_t), data, size)
    with nogil:
        pthread_mutex_lock(&sender.lock)
        if dest.said_bytes + size > MAX_SAID_BYTES:
            pthread_mutex_unlock(&sender.lock)
            free(item)
            item = NULL
        else:
            dest.said_bytes += size
            dest.said_end[0] = item
            dest.said_end = &item.next
            sender.command(dest, COMMAND_CONTROL)
            pthread_mutex_unlock(&sender.lock)
            wake(sender.wake_fd)
    return item != NULL


cdef class Sender:
    """Sender(udp_ms=20, srt_ms=20, tcp_ms=40): intervals between two sends to one destination, 4 to 256 ms in steps of
    4 ms.
    """

    def __cinit__(self, uint32_t udp_ms=20, uint32_t srt_ms=20, uint32_t tcp_ms=40):
        self.timer_fd = self.wake_fd = self.event_fd = -1
        pthread_mutex_init(&self.lock, NULL)
        self.commands_end = &self.commands
        self.events_end = &self.events_first
        self.members = {}
        self.slot_ns = SLOT_MS * 1000000
        for class_, name, interval_ms in ((CLASS_UDP, "udp_ms", udp_ms), (CLASS_SRT, "srt_ms", srt_ms), (CLASS_TCP, "tcp_ms", tcp_ms)):
            if not SLOT_MS <= interval_ms <= SLOT_MS * MAX_SLOTS:
                raise ValueError(f"{name}: found {interval_ms}, expected {SLOT_MS} to {SLOT_MS * MAX_SLOTS}")
            self.wheels[<int>class_].slots = (<uint32_t>interval_ms + SLOT_MS // 2) // SLOT_MS
            self.wheels[<int>class_].interval_ns = self.wheels[<int>class_].slots * self.slot_ns
        self.timer_fd = new_timerfd()
        self.wake_fd = new_eventfd()
        self.event_fd = new_eventfd()
        if self.timer_fd < 0 or self.wake_fd < 0 or self.event_fd < 0:
            raise OSError("no file descriptors left for a sender's timer")

    def __dealloc__(self):
        cdef uint32_t wheel
        cdef uint32_t slot
        for wheel in range(CLASSES):
            for slot in range(MAX_SLOTS):
                free(self.wheels[wheel].members[slot])
        close_fd(self.timer_fd)
        close_fd(self.wake_fd)
        close_fd(self.event_fd)
        pthread_mutex_destroy(&self.lock)

    def run(self):
        """The thread's body: returns after stop(), with every destination released."""
        with nogil:
            self.loop()

    def stop(self):
        """Ask run() to return.  Destinations still attached are released as they are."""
        store_release(&self.stopping, 1)
        wake(self.wake_fd)

    def attach(self, Destination destination not None):
        """Take a destination; it joins at its next slot."""
        if destination.sender is not None:
            raise ValueError("this destination is attached already")
        destination.sender = self
        self.members[<size_t>destination.c] = destination
        with nogil:
            pthread_mutex_lock(&self.lock)
            self.command(destination.c, COMMAND_ATTACH)
            pthread_mutex_unlock(&self.lock)
            wake(self.wake_fd)

    def detach(self, Destination destination not None, const uint8_t[::1] final=b"", int64_t drain_ms=1000):
        """Let a destination finish its span (or the ended ring), say ``final``, and be released; after ``drain_ms`` it
        is released as it is.
        """
        if destination.sender is not self:
            raise ValueError("this destination is not attached to this sender")
        if destination.leaving:
            raise ValueError("this destination is leaving already")
        destination.leaving = True
        if final.shape[0]:
            say(self, destination.c, &final[0], final.shape[0])
        with nogil:
            pthread_mutex_lock(&self.lock)
            destination.c.drain_ms = drain_ms
            self.command(destination.c, COMMAND_DETACH)
            pthread_mutex_unlock(&self.lock)
            wake(self.wake_fd)

    def events(self):
        """What happened since the last call: a list of (Destination, EVENT_STARTED | EVENT_LOST | EVENT_RELEASED, errno
        or 0).
        """
        cdef dest_t* dest
        cdef uint32_t events
        cdef int code
        cdef list told = []
        drain_fd(self.event_fd)
        while True:
            pthread_mutex_lock(&self.lock)
            dest = self.events_first
            if dest != NULL:
                self.events_first = dest.next_event
                if self.events_first == NULL:
                    self.events_end = &self.events_first
                events = dest.events
                code = dest.event_code
                dest.events = 0
            pthread_mutex_unlock(&self.lock)
            if dest == NULL:
                return told
            destination = self.members[<size_t>dest]
            for event in (STARTED, LOST, RELEASED):
                if events & event:
                    told.append((destination, event, code if event != STARTED else 0))
            if events & RELEASED:
                del self.members[<size_t>dest]
                (<Destination>destination).sender = None

    @property
    def population_count(self):
        """Destinations attached or not yet reported as released."""
        return len(self.members)

    # What follows runs on the sender's thread, but for command(), which runs under the lock on any.

    cdef void loop(self) noexcept nogil:
        cdef int64_t last_slot = 0
        cdef int why
        cdef bint armed = False
        while True:
            why = wait_for(self.timer_fd, self.wake_fd)
            if why & 2:
                drain_fd(self.wake_fd)
                self.take_commands()
                if load_acquire(&self.stopping):
                    break
            if why & 1:
                drain_fd(self.timer_fd)
                last_slot = self.run_slots(last_slot)
            if self.population and not armed:
                last_slot = monotonic_ns() // self.slot_ns
                arm_timer(self.timer_fd, (last_slot + 1) * self.slot_ns, self.slot_ns)
                armed = True
            elif self.population == 0 and armed:
                arm_timer(self.timer_fd, 0, 0)
                armed = False
        self.release_all()

    cdef int64_t run_slots(self, int64_t last_slot) noexcept nogil:
        """Run the slots that have begun since last_slot, of those missed each wheel's at most once round; returns the
        last one run.

        Slots that begin meanwhile are the next call's.
        """
        cdef int64_t now_ns = monotonic_ns()
        cdef int64_t now_slot = now_ns // self.slot_ns
        cdef int64_t slot
        cdef uint32_t index
        cdef wheel_t* wheel
        if now_slot > last_slot and <uint64_t>(now_ns - (last_slot + 1) * self.slot_ns) > self.late_ns_max:
            self.late_ns_max = <uint64_t>(now_ns - (last_slot + 1) * self.slot_ns)
        for index in range(CLASSES):
            wheel = &self.wheels[index]
            slot = last_slot + 1
            if now_slot - last_slot > wheel.slots:
                slot = now_slot - wheel.slots + 1
            while slot <= now_slot:
                if wheel.count[slot % wheel.slots]:
                    self.run_slot(wheel, <uint32_t>(slot % wheel.slots), monotonic_ns())
                slot += 1
        return now_slot

    cdef void run_slot(self, wheel_t* wheel, uint32_t slot, int64_t now_ns) noexcept nogil:
        cdef uint32_t place = wheel.count[slot]
        cdef dest_t* dest
        while place:                 # backwards: one that leaves is replaced by one that had its turn
            place -= 1
            dest = wheel.members[slot][place]
            cursor_slot(&dest.cursor, now_ns, wheel.interval_ns, wheel.population)
            if not dest.started and dest.cursor.row.sends:
                dest.started = True
                self.report(dest, STARTED, 0)
            if dest.cursor.state == CURSOR_DONE:
                self.leave(dest)
                if dest.cursor.drain_until_ns:
                    self.report(dest, RELEASED, dest.cursor.outcome)
                else:
                    self.report(dest, LOST, dest.cursor.outcome)

    cdef void take_commands(self) noexcept nogil:
        cdef dest_t* dest
        while True:
            pthread_mutex_lock(&self.lock)
            dest = self.commands
            if dest != NULL:
                self.commands = dest.next_command
                if self.commands == NULL:
                    self.commands_end = &self.commands
            pthread_mutex_unlock(&self.lock)
            if dest == NULL:
                return
            self.obey(dest)

    cdef void obey(self, dest_t* dest) noexcept nogil:
        """Carry out what was asked of one destination."""
        cdef uint32_t commands
        cdef control_t* said
        cdef control_t** end = &dest.cursor.control
        cdef int64_t drain_ms
        pthread_mutex_lock(&self.lock)
        commands = dest.commands
        drain_ms = dest.drain_ms
        said = dest.said
        dest.commands = 0
        dest.said = NULL
        dest.said_end = &dest.said
        dest.said_bytes = 0
        pthread_mutex_unlock(&self.lock)
        while end[0] != NULL:
            end = &end[0].next
        end[0] = said
        if commands & COMMAND_ATTACH:
            if not self.enter(dest):
                dest.cursor.state = CURSOR_DONE
                self.report(dest, LOST, ENOMEM)
        if commands & COMMAND_DETACH:
            if dest.cursor.state == CURSOR_DONE or not dest.attached:
                self.report(dest, RELEASED, dest.cursor.outcome)
                return
            dest.cursor.state = CURSOR_DRAINING
            dest.cursor.drain_until_ns = monotonic_ns() + drain_ms * 1000000

    cdef int enter(self, dest_t* dest) noexcept nogil:
        """Put a destination on the emptiest slot of its wheel; 0 when there is no memory."""
        cdef wheel_t* wheel = &self.wheels[dest.cursor.transport.class_]
        cdef uint32_t best = 0
        cdef uint32_t slot
        cdef uint32_t room
        cdef dest_t** grown
        for slot in range(wheel.slots):
            if wheel.count[slot] < wheel.count[best]:
                best = slot
        if wheel.count[best] == wheel.room[best]:
            room = max(16, 2 * wheel.room[best])
            grown = <dest_t**>realloc(wheel.members[best], room * sizeof(dest_t*))
            if grown == NULL:
                return 0
            wheel.members[best] = grown
            wheel.room[best] = room
        dest.wheel = dest.cursor.transport.class_
        dest.slot = best
        dest.place = wheel.count[best]
        dest.attached = True
        dest.cursor.last_slot_ns = monotonic_ns()
        wheel.members[best][dest.place] = dest
        wheel.count[best] += 1
        wheel.population += 1
        self.population += 1
        return 1

    cdef void leave(self, dest_t* dest) noexcept nogil:
        """Take a destination off its wheel; the last one of the slot takes its place."""
        cdef wheel_t* wheel = &self.wheels[dest.wheel]
        cdef dest_t* last
        wheel.count[dest.slot] -= 1
        last = wheel.members[dest.slot][wheel.count[dest.slot]]
        wheel.members[dest.slot][dest.place] = last
        last.place = dest.place
        dest.attached = False
        wheel.population -= 1
        self.population -= 1

    cdef void report(self, dest_t* dest, uint32_t event, int code) noexcept nogil:
        cdef bint first
        pthread_mutex_lock(&self.lock)
        first = self.events_first == NULL
        if dest.events == 0:
            dest.next_event = NULL
            self.events_end[0] = dest
            self.events_end = &dest.next_event
        dest.events |= event
        if event != STARTED:
            dest.event_code = code
        pthread_mutex_unlock(&self.lock)
        if first:
            wake(self.event_fd)

    cdef void release_all(self) noexcept nogil:
        """The thread ends: let go of everything that is still here."""
        cdef uint32_t index
        cdef uint32_t slot
        cdef dest_t* dest
        for index in range(CLASSES):
            for slot in range(self.wheels[index].slots):
                while self.wheels[index].count[slot]:
                    dest = self.wheels[index].members[slot][self.wheels[index].count[slot] - 1]
                    self.leave(dest)
                    dest.cursor.state = CURSOR_DONE
                    self.report(dest, RELEASED, ECANCELED)

    cdef int command(self, dest_t* dest, uint32_t command) noexcept nogil:
        """Under the lock: note a command; a destination stands in the list once."""
        if dest.commands == 0:
            dest.next_command = NULL
            self.commands_end[0] = dest
            self.commands_end = &dest.next_command
        dest.commands |= command
        return 0
