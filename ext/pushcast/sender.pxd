"""Sender: the fan-out thread.  Theory in sender.pyx."""
cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from pushcast.destination cimport dest_t
from pushcast.mailbox cimport mailbox_t, order_t
from pushcast.wheel cimport wheel_t

cdef enum:
    CLASSES = 4                  # CLASS_UDP, CLASS_SRT, CLASS_TCP of transport.pxd, and CLASS_PACED
    CLASS_PACED = 3              # of any transport, with a pace of their own


@cython.final
cdef class Sender:
    cdef wheel_t* wheels[CLASSES]
    cdef tuple turned                    # the Wheels that own them
    cdef int timer_fd
    cdef mailbox_t mail
    cdef dict members                    # address -> Destination, from attach to RELEASED
    cdef uint64_t stopping
    # the sender thread's alone:
    cdef uint32_t population             # destinations on its wheels
    cdef int64_t due_ns                  # the beginning of the slot that the timer waits for
    cdef int64_t judged_ns               # when the load was last judged
    cdef uint32_t calm_windows
    # written by the thread, read by anybody:
    cdef uint64_t busy_permille
    cdef uint64_t late_ns

    cdef void loop(self) noexcept nogil
    cdef int64_t next_due_ns(self) noexcept nogil
    cdef void run_slots(self) noexcept nogil
    cdef int64_t turn(self, wheel_t* wheel, int64_t until_ns, int64_t now_ns) noexcept nogil
    cdef void run_slot(self, wheel_t* wheel, uint32_t slot, int64_t now_ns) noexcept nogil
    cdef void take_turn(self, wheel_t* wheel, dest_t* dest, int64_t now_ns) noexcept nogil
    cdef void take_orders(self) noexcept nogil
    cdef void obey(self, dest_t* dest, const order_t* order) noexcept nogil
    cdef void lose(self, dest_t* dest, int code) noexcept nogil
    cdef wheel_t* wheel_of(self, const dest_t* dest) noexcept nogil
    cdef bint enter(self, dest_t* dest) noexcept nogil
    cdef void leave(self, dest_t* dest) noexcept nogil
    cdef void let_go(self, dest_t* dest) noexcept nogil
