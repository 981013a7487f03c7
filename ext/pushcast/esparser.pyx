"""EsParser: what the PES packets of one PID hold, as frames of one track; each codec has its own (nalparser, audioparser).

A parser publishes nothing until it knows what a decoder must be told: the parameter sets of a video, the first header
of an audio.  What it learns later is a change on the way, which goes out as FRAME_CONFIG before the frame it was found
in.  Bytes that make no access unit are counted and left out, whatever they are: no error leaves a parser but those of
the Source.
"""
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

from pushcast.frame cimport FRAME_CONFIG, FRAME_KEY, Frame
from pushcast.source cimport Source
from pushcast.splice cimport SPLICE_HEAD, get_pts_adjustment, put_pts_adjustment


cdef int grow(uint8_t** room, size_t* capacity, size_t size) except -1:
    cdef size_t wanted = max(2 * capacity[0], size)
    cdef void* found = realloc(room[0], wanted)
    if found == NULL:
        raise MemoryError
    room[0] = <uint8_t*>found
    capacity[0] = wanted
    return 0


cdef class EsParser:
    """EsParser(source, track, codec): the base; `track` is the id that frames go out with."""

    def __init__(self, Source source not None, uint32_t track, codec):
        self.source = source
        self.track = track
        self.codec = codec
        self.config = b""
        self.facts = {}

    cdef int take(self, const uint8_t* data, size_t size, int64_t pts, int64_t dts, bint random_access) except -1:
        raise NotImplementedError

    cdef void lose(self) noexcept:
        pass

    cdef int publish(self, const uint8_t* data, size_t size, int64_t pts, int64_t dts, uint32_t flags) except -1:
        cdef Frame frame
        frame.data = data
        frame.size = size
        frame.pts = pts
        frame.dts = dts
        frame.track = self.track
        frame.flags = flags
        return self.source.publish(&frame)

    cdef int configure(self, codec, bytes config, dict facts, int64_t dts) except -1:
        """What a decoder must be told.  The first makes the track known, another one later is published, at `dts`."""
        cdef bint changed = self.known and config != self.config
        self.codec = codec
        self.config = config
        self.facts = facts
        if not self.known:
            self.known = True
            if self.listener is not None:
                self.listener()
        elif changed:
            self.publish(<const uint8_t*><const char*>config, <size_t>len(config), dts, dts, FRAME_CONFIG)
        return 0

    def on_known(self, listener):
        """Call ``listener()`` when the first configuration has come, before the frame that it came with."""
        self.listener = listener

    def feed(self, const uint8_t[::1] data not None, pts=None, dts=None, bint random_access=False):
        """`take`, for those who have a PES packet in Python."""
        cdef int64_t pts_ticks = INT64_MIN if pts is None else pts
        cdef int64_t dts_ticks = pts_ticks if dts is None else dts
        if data.shape[0]:
            self.take(&data[0], <size_t>data.shape[0], pts_ticks, dts_ticks, random_access)


cdef class SpliceParser(EsParser):
    """Sections of splice information (SCTE 35), each a frame.

    Their splice times go out relative to the frame's PTS, which moves with the stream (splice.pxd).
    """

    def __init__(self, Source source not None, uint32_t track, codec, bytes config):
        EsParser.__init__(self, source, track, codec)
        self.config = config
        self.known = True

    cdef int take(self, const uint8_t* data, size_t size, int64_t pts, int64_t dts, bint random_access) except -1:
        if dts == NO_STAMP or size < SPLICE_HEAD or size > sizeof(self.section) or data[0] != 0xFC:
            self.damaged += 1
            return 0
        memcpy(self.section, data, size)
        put_pts_adjustment(self.section, get_pts_adjustment(data) - pts)
        return self.publish(self.section, size, pts, dts, FRAME_KEY)


cdef class DataParser(EsParser):
    """Data whose PES packets are passed on as they are: ID3, KLV, subtitles, whatever is private.

    ``config``: stream_type and the descriptors of the PMT.  A packet without a time has that of the stream when it came.
    """

    def __init__(self, Source source not None, uint32_t track, codec, bytes config):
        EsParser.__init__(self, source, track, codec)
        self.config = config
        self.known = True

    cdef int take(self, const uint8_t* data, size_t size, int64_t pts, int64_t dts, bint random_access) except -1:
        if dts == NO_STAMP or size == 0:
            self.damaged += 1
            return 0
        return self.publish(data, size, pts, dts, FRAME_KEY)
