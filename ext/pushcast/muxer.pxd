"""What every muxer is: frames in, spans of container bytes in a ring."""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from pushcast.frame cimport Frame
from pushcast.ring cimport Ring

ctypedef struct peer_t:
    uint32_t message_stream_id   # RTMP: the stream id that this peer gave us
    int64_t zero_ms              # RTMP: time zero of this connection, -1 until the first lead-in

# Turns the lead-in material of a key span (as the muxer put it before the span's shared bytes) into the private bytes of one
# peer.  Returns bytes written to out, or -1 when cap is too small.  cap >= 2 * lead + 64 always suffices.
ctypedef Py_ssize_t (*lead_in_t)(const uint8_t* lead, uint32_t lead_size, peer_t* peer, uint8_t* out, size_t cap) noexcept nogil

cdef class Muxer:
    cdef readonly Ring ring
    cdef lead_in_t lead_in       # NULL: the material serves every peer as it is

    cdef int write(self, const Frame* frame) except -1
