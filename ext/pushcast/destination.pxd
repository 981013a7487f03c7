"""Destination: a cursor and a socket.  Theory in destination.pyx."""
cimport cython

from pushcast.counters cimport CounterTable, Tally
from pushcast.cursor cimport cursor_t
from pushcast.mailbox cimport letter_t, mailbox_t
from pushcast.overload cimport overload_t
from pushcast.ring cimport Ring
from pushcast.transport cimport Transport
from pushcast.wheel cimport seat_t

ctypedef struct dest_t:          # the sender thread's alone between attach and release, but for the letter
    seat_t seat                  # first: a seat on a wheel is its destination
    bint attached
    bint started
    cursor_t cursor
    overload_t overload
    letter_t letter


@cython.final
cdef class Destination:
    cdef dest_t* c
    cdef Ring ring                       # held while C points into it
    cdef readonly Transport transport    # held while C points into it
    cdef Tally tally                     # held while C points into it; may be None
    cdef CounterTable table
    cdef readonly size_t row             # index in the counter table
    cdef object sender                   # the one it is attached to, else None
    cdef mailbox_t* mail                 # ... and where that takes orders
    cdef bint leaving                    # detach was asked for
