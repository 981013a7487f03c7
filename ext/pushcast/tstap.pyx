"""TsTap: what receivers of transport streams have in common (tssocket, srtlistener).

Bytes go to a TsInput in C; its owner is told, on the thread that receives, when there is something to do: the stream
can be announced, or it has become another one.
"""
from libc.stdint cimport uint8_t

from pushcast.monotonic cimport monotonic_ns
from pushcast.tsinput cimport TsInput


cdef class TsTap:
    """TsTap(input, attend): ``attend()`` is called once when the input is ready, and once when it has changed."""

    def __cinit__(self, TsInput input not None, attend not None):
        self.input = input
        self.attend = attend
        self.heard_ns = monotonic_ns()

    def renew(self, TsInput input not None):
        """What comes from now on is for this input."""
        self.input = input
        self.told_ready = self.told_changed = False

    cdef int receive(self, const uint8_t* data, size_t size) except -1:
        # Held here: while a frame waits for its source's lock the owner may renew.
        cdef TsInput input = self.input
        self.bytes_received += size
        self.heard_ns = monotonic_ns()
        input.receive(data, size)
        if not self.told_ready:
            if input.ready:
                self.told_ready = True
                self.attend()
        elif input.changed and not self.told_changed:
            self.told_changed = True
            self.attend()
        return 0

    def take(self, const uint8_t[::1] data not None):
        """`receive`, for those who have the bytes in Python."""
        if data.shape[0]:
            self.receive(&data[0], <size_t>data.shape[0])
