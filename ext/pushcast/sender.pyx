"""Sender: one thread that drives hundreds of destinations, without the GIL.

Time is cut into slots of 4 ms; the thread sleeps until the next one in which anybody has a turn, on an absolute timerfd deadline.  Each class of transports (UDP, SRT, TCP) has a wheel: an interval of a whole number of
slots, over which its destinations are spread, so that N sends never leave as one burst.  Destinations with a pace have a wheel of their own, whatever their transport, that turns every
millisecond.  At its turn a destination gets what `cursor_slot` does: one
send with everything that is there.  Under load the wheels turn slower, within bounds (wheel.pyx).

The thread shares with the rest of the process only:
- the rings (head, tail, last_key by release and acquire),
- the counter rows (written here, read anywhere) and the sender's own statistics,
- the mailbox: commands (attach, detach, control bytes) and events (started, overloaded, relieved, lost, released).

After EVENT_LOST nothing is sent to a destination any more, and detach() is answered by EVENT_RELEASED at once.
"""
from libc.errno cimport ENOBUFS, ENOMEM
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t

from pushcast.atomics cimport load_acquire, store_release
from pushcast.counters cimport counters_t
from pushcast.cursor cimport CURSOR_DONE, CURSOR_DRAINING, cursor_say, cursor_slot
from pushcast.destination cimport Destination, dest_t
from pushcast.mailbox cimport (
    COMMAND_ATTACH, COMMAND_DETACH, LOST, MAX_SAID_BYTES, OVERLOADED, RELEASED, RELIEVED, STARTED, event_t,
    mailbox_free, mailbox_init, next_event, next_order, order_t, post, report,
)
from pushcast.monotonic cimport monotonic_ns
from pushcast.overload cimport LOAD_EASY_AGAIN, LOAD_TOO_MUCH, look_for_overload
from pushcast.pace cimport PACE_NONE
from pushcast.prefetch cimport prefetch, prefetch_bytes
from pushcast.transport cimport CLASS_SRT, CLASS_TCP, CLASS_UDP
from pushcast.wakeup cimport arm_timer, close_fd, drain_fd, new_timerfd, wait_for, wake
from pushcast.wheel cimport MAX_SLOTS, Wheel, judge, next_turn_ns, wheel_enter, wheel_leave
from pushcast.wheel cimport SLOT_MS as WHEEL_SLOT_MS

cdef extern from "<errno.h>" nogil:
    enum:
        ECANCELED

cdef enum:
    HOT_BYTES = 256              # of a destination: what a turn touches

EVENT_STARTED = STARTED
EVENT_OVERLOADED = OVERLOADED
EVENT_RELIEVED = RELIEVED
EVENT_LOST = LOST
EVENT_RELEASED = RELEASED

cdef enum:
    JUDGE_NS = 1000000000        # how often the load is judged
    ORDERS_AT_ONCE = 256         # taken before the slots that are due have their turn

SLOT_MS = WHEEL_SLOT_MS
PACED_MS = 1
PACED_MOST_MS = 20


cdef class Sender:
    """Sender(udp_ms=20, srt_ms=20, tcp_ms=40, udp_most_ms=0, srt_most_ms=0, tcp_most_ms=0)

    Intervals between two sends to one destination, 4 to 256 ms in steps of 4 ms, and how long they may become while the thread has more to do than it
    can; 0: they stay what they are.
    """

    def __cinit__(self, uint32_t udp_ms=20, uint32_t srt_ms=20, uint32_t tcp_ms=40, uint32_t udp_most_ms=0, uint32_t srt_most_ms=0,
                  uint32_t tcp_most_ms=0):
        cdef Wheel wheel
        self.timer_fd, self.members = -1, {}
        cdef bint posted = mailbox_init(&self.mail)
        self.turned = (
            _wheel("udp_ms", udp_ms, udp_most_ms),
            _wheel("srt_ms", srt_ms, srt_most_ms),
            _wheel("tcp_ms", tcp_ms, tcp_most_ms),
            Wheel(PACED_MS, PACED_MOST_MS, PACED_MS),
        )
        for class_, each in zip((CLASS_UDP, CLASS_SRT, CLASS_TCP, CLASS_PACED), self.turned, strict=True):
            wheel = each
            self.wheels[<int>class_] = &wheel.c
        self.timer_fd = new_timerfd()
        if self.timer_fd < 0 or not posted:
            raise OSError("no file descriptors left for a sender's timer")

    def __dealloc__(self):
        close_fd(self.timer_fd)
        mailbox_free(&self.mail)

    def run(self):
        """The thread's body: returns after stop(), with every destination released."""
        with nogil:
            self.loop()
        # Those on a wheel, those that were lost and not detached, and those whose attach nobody took.
        for destination in self.members.values():
            self.let_go((<Destination>destination).c)

    def stop(self):
        """Ask run() to return.  Destinations still attached are released as they are, and no others are taken."""
        store_release(&self.stopping, 1)
        wake(self.mail.wake_fd)

    def attach(self, Destination destination not None):
        """Take a destination; it joins at its next turn."""
        if destination.sender is not None:
            raise ValueError("this destination is attached already")
        if destination.c.letter.closed:
            raise ValueError("this destination was released: its place in the stream is gone")
        if self.stopping:
            raise ValueError("this sender was stopped")
        destination.sender, destination.mail = self, &self.mail
        self.members[<size_t>destination.c] = destination
        with nogil:
            post(&self.mail, &destination.c.letter, COMMAND_ATTACH, 0, NULL, 0)

    def detach(self, Destination destination not None, const uint8_t[::1] final=b"", int64_t drain_ms=1000):
        """Let a destination finish its span (or the ended ring), say ``final``, and be released; after ``drain_ms`` it
        is released as it is.  A peer that has not taken 64 KiB of earlier control bytes is not told ``final``.
        """
        if destination.sender is not self:
            raise ValueError("this destination is not attached to this sender")
        if destination.leaving:
            raise ValueError("this destination is leaving already")
        destination.leaving = True
        cdef const uint8_t* said = &final[0] if final.shape[0] else NULL
        with nogil:
            post(&self.mail, &destination.c.letter, COMMAND_DETACH, drain_ms, said, final.shape[0])

    def events(self):
        """What happened since the last call: a list of (Destination, EVENT_*, errno or 0)."""
        cdef event_t told
        cdef list heard = []
        drain_fd(self.mail.event_fd)
        while True:
            told = next_event(&self.mail)
            if told.owner == NULL:
                return heard
            destination = self.members[<size_t>told.owner]
            for event in (STARTED, OVERLOADED, RELIEVED, LOST, RELEASED):
                if told.events & event:
                    heard.append((destination, event, told.code if event >= LOST else 0))
            if told.events & RELEASED:
                del self.members[<size_t>told.owner]
                (<Destination>destination).sender = None
                (<Destination>destination).mail = NULL

    @property
    def event_fd(self):
        """Readable while events() has something to say."""
        return self.mail.event_fd

    @property
    def population_count(self):
        """Destinations attached or not yet reported as released."""
        return len(self.members)

    def statistics(self):
        """How the thread is doing: `busy_permille` of its last second, `late_us_max`, its latest wake-up behind a deadline so far, and for
        "udp", "srt", "tcp" and "paced" (interval_ms, destinations).
        """
        udp, srt, tcp, paced = ((wheel.interval_ms, wheel.population) for wheel in self.turned)
        return {
            "busy_permille": load_acquire(&self.busy_permille),
            "late_us_max": load_acquire(&self.late_ns) // 1000,
            "udp": udp,
            "srt": srt,
            "tcp": tcp,
            "paced": paced,
        }

    # What follows runs on the sender's thread.

    cdef void loop(self) noexcept nogil:
        cdef int64_t armed_ns = 0
        cdef int why
        while True:
            self.due_ns = self.next_due_ns()
            if self.due_ns != armed_ns:
                arm_timer(self.timer_fd, self.due_ns)
                armed_ns = self.due_ns
            why = wait_for(self.timer_fd, self.mail.wake_fd)
            if why & 2:
                drain_fd(self.mail.wake_fd)
                if load_acquire(&self.stopping):
                    return
                self.take_orders()
            # The clock decides, not the timer: orders that never cease would find it armed again, and never due.
            if self.population and monotonic_ns() >= self.due_ns:
                self.run_slots()
            if self.population == 0:
                store_release(&self.busy_permille, 0)

    cdef int64_t next_due_ns(self) noexcept nogil:
        """When the next slot begins in which anybody has a turn; 0 while nobody has any."""
        cdef int64_t first_ns = INT64_MAX
        cdef int index
        for index in range(CLASSES):
            if self.wheels[index].population:
                first_ns = min(first_ns, next_turn_ns(self.wheels[index]))
        return first_ns if first_ns != INT64_MAX else 0

    cdef void run_slots(self) noexcept nogil:
        """Run the slots that have begun since the last one, of those missed each wheel's at most once round.  Slots that begin meanwhile are the next
        call's.
        """
        cdef int64_t woken_ns = monotonic_ns()
        cdef int64_t began_ns = woken_ns
        cdef int64_t now_ns = began_ns
        cdef int index
        if now_ns > self.due_ns and <uint64_t>(now_ns - self.due_ns) > self.late_ns:
            store_release(&self.late_ns, <uint64_t>(now_ns - self.due_ns))
        for index in range(CLASSES):
            if self.wheels[index].population:
                now_ns = self.turn(self.wheels[index], woken_ns, now_ns)
                self.wheels[index].busy_ns += <uint64_t>(now_ns - began_ns)
                began_ns = now_ns
        if now_ns - self.judged_ns >= JUDGE_NS:
            store_release(&self.busy_permille, <uint64_t>judge(self.wheels, CLASSES, now_ns - self.judged_ns, &self.calm_windows))
            self.judged_ns = now_ns

    cdef int64_t turn(self, wheel_t* wheel, int64_t until_ns, int64_t now_ns) noexcept nogil:
        """Run a wheel's slots that have begun until then; what time it is afterwards."""
        cdef int64_t until_slot = until_ns // wheel.slot_ns
        cdef int64_t slot = max(wheel.last_slot + 1, until_slot - <int64_t>wheel.slots + 1)
        cdef int64_t place
        while slot <= until_slot:
            place = slot % <int64_t>wheel.slots
            slot += 1
            if wheel.count[place]:
                self.run_slot(wheel, <uint32_t>place, now_ns)
                now_ns = monotonic_ns()
        wheel.last_slot = until_slot
        return now_ns

    cdef void run_slot(self, wheel_t* wheel, uint32_t slot, int64_t now_ns) noexcept nogil:
        cdef uint32_t place = wheel.count[slot]
        cdef const dest_t* following
        while place:                 # backwards: one that leaves is replaced by one that had its turn
            place -= 1
            # A send takes longer than fetching what the next two turns will touch, which the kernel's work has pushed out of the cache.
            if place > 1:
                prefetch_bytes(wheel.members[slot][place - 2], HOT_BYTES)
            if place:
                following = <dest_t*>wheel.members[slot][place - 1]
                prefetch(following.cursor.transport)
                prefetch_bytes(following.cursor.row, sizeof(counters_t))
            self.take_turn(wheel, <dest_t*>wheel.members[slot][place], now_ns)

    cdef void take_turn(self, wheel_t* wheel, dest_t* dest, int64_t now_ns) noexcept nogil:
        cdef int load
        cursor_slot(&dest.cursor, now_ns, wheel.interval_ns, <uint32_t>wheel.population)
        if not dest.started and dest.cursor.row.sends:
            dest.started = True
            report(&self.mail, &dest.letter, STARTED, 0)
        if dest.cursor.state == CURSOR_DONE:
            self.leave(dest)
            report(&self.mail, &dest.letter, RELEASED if dest.cursor.drain_until_ns else LOST, dest.cursor.outcome)
            return
        if dest.cursor.transport.look != NULL:
            load = look_for_overload(&dest.overload, dest.cursor.transport, dest.cursor.row, now_ns)
            if load == LOAD_TOO_MUCH:
                report(&self.mail, &dest.letter, OVERLOADED, 0)
            elif load == LOAD_EASY_AGAIN:
                report(&self.mail, &dest.letter, RELIEVED, 0)

    cdef void take_orders(self) noexcept nogil:
        cdef order_t order
        cdef int taken
        for taken in range(ORDERS_AT_ONCE):
            order = next_order(&self.mail)
            if order.owner == NULL:
                return
            self.obey(<dest_t*>order.owner, &order)
        wake(self.mail.wake_fd)

    cdef void obey(self, dest_t* dest, const order_t* order) noexcept nogil:
        """Carry out what was asked of one destination."""
        cdef bint said = cursor_say(&dest.cursor, order.said, order.said_bytes)
        if order.commands & COMMAND_ATTACH and not self.enter(dest):
            self.lose(dest, ENOMEM)
        if not said and dest.cursor.state != CURSOR_DONE:
            self.lose(dest, ENOMEM)
        if dest.cursor.control_bytes > MAX_SAID_BYTES and dest.cursor.state != CURSOR_DONE:
            self.lose(dest, ENOBUFS)
        if order.commands & COMMAND_DETACH:
            if dest.cursor.state == CURSOR_DONE or not dest.attached:
                report(&self.mail, &dest.letter, RELEASED, dest.cursor.outcome)
                return
            dest.cursor.state = CURSOR_DRAINING
            dest.cursor.drain_until_ns = monotonic_ns() + order.drain_ms * 1000000

    cdef void lose(self, dest_t* dest, int code) noexcept nogil:
        if dest.attached:
            self.leave(dest)
        dest.cursor.state = CURSOR_DONE
        dest.cursor.outcome = code
        report(&self.mail, &dest.letter, LOST, code)

    cdef wheel_t* wheel_of(self, const dest_t* dest) noexcept nogil:
        return self.wheels[CLASS_PACED if dest.cursor.pace.kind != PACE_NONE else dest.cursor.transport.class_]

    cdef bint enter(self, dest_t* dest) noexcept nogil:
        """Give a destination its turns; False when there is no memory."""
        cdef wheel_t* wheel = self.wheel_of(dest)
        if not wheel_enter(wheel, &dest.seat):
            return False
        dest.attached = True
        dest.cursor.last_slot_ns = monotonic_ns()
        if wheel.population == 1:
            wheel.last_slot = dest.cursor.last_slot_ns // wheel.slot_ns
            self.due_ns = next_turn_ns(wheel) if self.population == 0 else min(self.due_ns, next_turn_ns(wheel))
        if self.population == 0:
            self.judged_ns = dest.cursor.last_slot_ns
        self.population += 1
        return True

    cdef void leave(self, dest_t* dest) noexcept nogil:
        wheel_leave(self.wheel_of(dest), &dest.seat)
        dest.attached = False
        self.population -= 1

    cdef void let_go(self, dest_t* dest) noexcept nogil:
        """The thread ends: release one that was not released yet."""
        if dest.letter.closed:
            return
        if dest.attached:
            self.leave(dest)
        dest.cursor.state = CURSOR_DONE
        report(&self.mail, &dest.letter, RELEASED, ECANCELED)


cdef Wheel _wheel(str name, uint32_t ms, uint32_t most_ms):
    if not SLOT_MS <= ms <= SLOT_MS * MAX_SLOTS:
        raise ValueError(f"{name}: found {ms}, expected {SLOT_MS} to {SLOT_MS * MAX_SLOTS}")
    if most_ms and not ms <= most_ms <= SLOT_MS * MAX_SLOTS:
        raise ValueError(f"{name.removesuffix('ms')}most_ms: found {most_ms}, expected {name} ({ms}) to {SLOT_MS * MAX_SLOTS}")
    return Wheel(ms, most_ms or ms)
