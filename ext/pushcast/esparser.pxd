"""EsParser: the payload of PES packets to frames of one track.  Theory in esparser.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pushcast.source cimport Source

cdef extern from *:
    """
    #define PUSHCAST_NO_STAMP INT64_MIN
    """
    const int64_t NO_STAMP "PUSHCAST_NO_STAMP"   # a PES packet without this time


# At least `size` bytes of room, twice what there was; what lies there stays.
cdef int grow(uint8_t** room, size_t* capacity, size_t size) except -1


cdef class EsParser:
    cdef Source source
    cdef public uint32_t track           # Track.id
    cdef readonly object codec           # pushcast.media.Codec; of MPEG audio after its first frame
    cdef readonly bytes config           # as Track.config
    cdef readonly dict facts             # the other members of Track that the stream says
    cdef readonly bint known             # a decoder could be made: frames go out
    cdef readonly object reason          # why its frames cannot be passed on, None while they can
    cdef readonly uint64_t damaged       # access units that were left out
    cdef object listener

    # The whole payload of one PES packet; stamps at 90 kHz, unwrapped, dts never without pts.  random_access: as the
    # adaptation field said.
    cdef int take(self, const uint8_t* data, size_t size, int64_t pts, int64_t dts, bint random_access) except -1
    # Bytes are missing between the packet before and the next one.
    cdef void lose(self) noexcept
    cdef int publish(self, const uint8_t* data, size_t size, int64_t pts, int64_t dts, uint32_t flags) except -1
    cdef int configure(self, codec, bytes config, dict facts, int64_t dts) except -1


cdef class SpliceParser(EsParser):
    cdef uint8_t section[4096]


cdef class DataParser(EsParser):
    pass
