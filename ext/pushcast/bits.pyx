"""Bits: big-endian bit fields and Exp-Golomb codes of bytes that nobody has checked yet.

The parsers of parameter sets and configuration records are written as the standards' syntax tables are, field after
field; every field is checked against the end here, so that they need not.
"""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pushcast.errors import MediaError


@cython.final
cdef class Bits:
    """Reads big-endian bit fields of bytes; running over the end is a MediaError that names what was read."""

    def __cinit__(self, bytes data not None, name):
        self.owner = data
        self.data = <const uint8_t*>data
        self.end = 8 * <uint64_t>len(data)
        self.name = name

    cdef uint64_t left(self) noexcept:
        return self.end - self.at

    cdef uint64_t u(self, uint32_t count) except? 0xFFFFFFFFFFFFFFFF:
        """count bits (up to 48), most significant first."""
        cdef uint64_t value = 0
        if count > self.end - self.at:
            raise MediaError(f"{self.name} ends early: {self.end // 8} bytes, field of {count} bits at bit {self.at}")
        while count:
            value = (value << 1) | ((self.data[self.at >> 3] >> (7 - (self.at & 7))) & 1)
            self.at += 1
            count -= 1
        return value

    cdef int skip(self, uint64_t count) except -1:
        if count > self.end - self.at:
            raise MediaError(f"{self.name} ends early: {self.end // 8} bytes, {count} bits expected at bit {self.at}")
        self.at += count
        return 0

    cdef uint64_t ue(self) except? 0xFFFFFFFFFFFFFFFF:
        """ue(v), Exp-Golomb: H.264 9.1."""
        cdef uint32_t zeros = 0
        while self.u(1) == 0:
            zeros += 1
            if zeros > 32:
                raise MediaError(f"{self.name}: Exp-Golomb code over 32 bits at bit {self.at}")
        return (<uint64_t>1 << zeros) - 1 + self.u(zeros)

    cdef int64_t se(self) except? -0x7FFFFFFFFFFFFFFF:
        """se(v): H.264 9.1.1."""
        cdef uint64_t code = self.ue()
        return <int64_t>((code + 1) >> 1) if code & 1 else -<int64_t>(code >> 1)
