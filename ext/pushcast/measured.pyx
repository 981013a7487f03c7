"""What a track is like, measured on its frames: rates in bits and frames, the distance of keyframes, whether pictures are reordered.

A window of one second of media gives the latest figures; averages are of all that came.  Nothing here is a frame's owner, and what is no access unit is
not for it.
"""
from libc.stdint cimport int64_t, uint64_t

from pushcast.frame cimport FRAME_KEY, Frame


cdef void measure(measured_t* measured, const Frame* frame) noexcept nogil:
    """Count a frame; a second that is over becomes the latest one."""
    cdef int64_t ticks
    if measured.frames == 0:
        measured.first_dts = measured.window_dts = frame.dts
    elif frame.pts < measured.last_pts:
        measured.reordered += 1
    measured.last_pts = frame.pts
    ticks = frame.dts - measured.window_dts
    if ticks >= 90000:
        measured.latest_bits_per_s = (measured.bytes - measured.window_bytes) * 8 * 90000 // <uint64_t>ticks
        measured.latest_milliframes_per_s = (measured.frames - measured.window_frames) * 1000 * 90000 // <uint64_t>ticks
        measured.window_bytes, measured.window_frames, measured.window_dts = measured.bytes, measured.frames, frame.dts
    if frame.flags & FRAME_KEY:
        if measured.keys:
            measured.key_interval = measured.frames - measured.last_key
        else:
            measured.first_key = measured.frames
        measured.last_key = measured.frames
        measured.keys += 1
    measured.bytes += frame.size
    measured.frames += 1


cdef dict measured_of(const measured_t* measured, int64_t last_dts):
    """In the words of Source.measured: averages are of all that came before the last frame."""
    cdef double seconds = (last_dts - measured.first_dts) / 90000.0 if measured.frames > 1 else 0.0
    cdef uint64_t between = measured.keys - 1 if measured.keys > 1 else 0
    return {
        "bits_per_s": round(measured.bytes * 8 * (measured.frames - 1) / measured.frames / seconds) if seconds > 0 else 0,
        "latest_bits_per_s": measured.latest_bits_per_s,
        "frames_per_s": (measured.frames - 1) / seconds if seconds > 0 else 0.0,
        "latest_frames_per_s": measured.latest_milliframes_per_s / 1000.0,
        "key_interval": <double>(measured.last_key - measured.first_key) / between if between else 0.0,
        "latest_key_interval": measured.key_interval,
        "frames_since_key": measured.frames - 1 - measured.last_key if measured.keys else 0,
        "reordered": measured.reordered > 0,
    }
