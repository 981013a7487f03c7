"""PacketInput: the bytes of a transport stream to its packets, ISO/IEC 13818-1 2.4.3.2.

Bytes come in any portions, as datagrams or as a byte stream.  A packet is taken for one when another one follows it, as far as can be seen; what lies
between is passed over.  Before the stream is announced, bytes that are no transport stream of 188-byte packets are refused.
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from pushcast.errors import MediaError

cdef enum:
    GARBAGE_MOST = 100 * 188         # bytes without sync after which this is no transport stream


cdef class PacketInput:
    """A subclass does something with each packet."""

    def take(self, const uint8_t[::1] data not None):
        """`receive`, for those who have the bytes in Python."""
        if data.shape[0]:
            self.receive(&data[0], <size_t>data.shape[0])

    cdef int packet(self, const uint8_t* p) except -1:
        """188 bytes, of which the first is 0x47."""
        raise NotImplementedError

    cdef int receive(self, const uint8_t* data, size_t size) except -1:
        """The next bytes of the stream."""
        cdef size_t part
        if self.carried:
            part = min(<size_t>TS_BYTES - self.carried, size)
            memcpy(&self.carry[self.carried], data, part)
            self.carried += part
            data += part
            size -= part
            if self.carried < TS_BYTES:
                return 0
            self.carried = 0
            if self.carry[0] == 0x47:
                self.packet(&self.carry[0])
        while size >= TS_BYTES:
            if data[0] == 0x47 and (self.in_sync or size <= TS_BYTES or data[TS_BYTES] == 0x47):
                self.in_sync = True
                self.garbage = 0
                self.packet(data)
                part = TS_BYTES
            else:
                part = self.resync(data, size)
            data += part
            size -= part
        if size and (data[0] == 0x47 or not self.in_sync):
            memcpy(&self.carry[0], data, size)
            self.carried = size
        return 0

    cdef size_t resync(self, const uint8_t* data, size_t size) except -1:
        """How many bytes to pass over: up to a sync byte that has another one a packet later, as far as can be seen."""
        cdef size_t at = 1
        self.sync_losses += self.in_sync
        self.in_sync = False
        while at < size and (data[at] != 0x47 or (at + TS_BYTES < size and data[at + TS_BYTES] != 0x47)):
            at += 1
        self.garbage += at
        if not self.frozen:
            refuse_other_sizes(data, size)
            if self.garbage > GARBAGE_MOST:
                raise MediaError(f"found {self.garbage} bytes without a sync byte every {TS_BYTES}, expected an MPEG transport stream")
        return at


cdef int refuse_other_sizes(const uint8_t* data, size_t size) except -1:
    """Packets with 16 bytes of parity behind them, or 4 bytes of time before them, are told by the distance of their sync bytes."""
    cdef size_t at
    cdef uint32_t bytes_each, index
    for index in range(2):
        bytes_each = 204 if index == 0 else 192
        for at in range(bytes_each):
            if at + 4 * bytes_each >= size:
                break
            if data[at] == 0x47 and data[at + bytes_each] == 0x47 and data[at + 2 * bytes_each] == 0x47 and data[at + 3 * bytes_each] == 0x47:
                raise MediaError(f"found transport stream packets of {bytes_each} bytes, expected 188: the {'16 parity bytes behind' if index == 0 else '4 bytes of time before'} each have to be taken off by the sender")
    return 0
