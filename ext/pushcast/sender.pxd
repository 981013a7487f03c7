"""Destination and Sender: the fan-out thread.  Theory in sender.pyx."""
cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from pushcast.counters cimport CounterTable
from pushcast.cursor cimport control_t, cursor_t
from pushcast.ring cimport Ring
from pushcast.transport cimport Transport
from pushcast.wakeup cimport pthread_mutex_t

cdef enum:
    CLASSES = 3                  # CLASS_UDP, CLASS_SRT, CLASS_TCP of transport.pxd
    MAX_SLOTS = 64               # of one wheel: 200 ms at 4 ms

ctypedef struct dest_t:
    cursor_t cursor              # the sender thread's alone between attach and release
    # under the sender's lock:
    uint32_t commands            # COMMAND_* not yet taken
    uint32_t events              # EVENT_* not yet read
    int event_code
    int64_t drain_ms
    control_t* said              # control bytes not yet taken, oldest first
    control_t** said_end
    size_t said_bytes
    dest_t* next_command
    dest_t* next_event
    # the sender thread's alone:
    uint32_t wheel
    uint32_t slot
    uint32_t place
    bint attached
    bint started

ctypedef struct wheel_t:
    uint32_t slots               # an interval is this many slots
    int64_t interval_ns
    uint32_t population          # members of all slots
    dest_t** members[MAX_SLOTS]
    uint32_t count[MAX_SLOTS]
    uint32_t room[MAX_SLOTS]


@cython.final
cdef class Destination:
    cdef dest_t* c
    cdef Ring ring                       # held while C points into it
    cdef readonly Transport transport    # held while C points into it
    cdef CounterTable table
    cdef readonly size_t row             # index in the counter table
    cdef Sender sender                   # the one it is attached to, else None
    cdef bint leaving                    # detach was asked for


@cython.final
cdef class Sender:
    cdef wheel_t wheels[CLASSES]
    cdef int64_t slot_ns
    cdef int timer_fd
    cdef int wake_fd
    cdef readonly int event_fd           # readable while events() has something to say
    cdef pthread_mutex_t lock
    cdef dest_t* commands                # under the lock: destinations with commands
    cdef dest_t** commands_end
    cdef dest_t* events_first            # under the lock: destinations with events
    cdef dest_t** events_end
    cdef dict members                    # address -> Destination, from attach to RELEASED
    cdef uint64_t stopping
    cdef uint32_t population             # the sender thread's: destinations on its wheels
    cdef readonly uint64_t late_ns_max   # latest wake-up behind its deadline

    cdef void loop(self) noexcept nogil
    cdef int64_t run_slots(self, int64_t last_slot) noexcept nogil
    cdef void run_slot(self, wheel_t* wheel, uint32_t slot, int64_t now_ns) noexcept nogil
    cdef void take_commands(self) noexcept nogil
    cdef void obey(self, dest_t* dest) noexcept nogil
    cdef int enter(self, dest_t* dest) noexcept nogil
    cdef void leave(self, dest_t* dest) noexcept nogil
    cdef void report(self, dest_t* dest, uint32_t event, int code) noexcept nogil
    cdef void release_all(self) noexcept nogil
    cdef int command(self, dest_t* dest, uint32_t command) noexcept nogil
