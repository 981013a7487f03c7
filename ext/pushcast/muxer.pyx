"""Base of the muxers: see TsMuxer in mpegts.pyx and RtmpMuxer in flv.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from pushcast.frame cimport Frame, frame_of


cdef class Muxer:
    """Writes frames of a fixed set of tracks into a ring, as spans of one container.

    ``ring``: the Ring that receives the spans.
    """

    def __cinit__(self, *args, **kwargs):
        self.lead_in = NULL

    cdef int write(self, const Frame* frame) except -1:
        """Write one frame as one span.  Frames of tracks that are not muxed here are passed over."""
        raise NotImplementedError(f"{type(self).__name__} does not write frames")

    def write_frame(self, uint32_t track, int64_t dts, int64_t pts, uint32_t flags, const uint8_t[::1] data not None):
        """Write one frame from bytes: track id, DTS and PTS at 90 kHz, FRAME_* flags, the access unit or configuration record."""
        cdef Frame frame = frame_of(track, dts, pts, flags, &data[0] if data.shape[0] else NULL, <size_t>data.shape[0])
        self.write(&frame)
