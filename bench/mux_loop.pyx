"""Times a muxer's C face: frames are laid out as structs first, so a lap is nothing but Muxer.write calls."""
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc

from pushcast.frame cimport Frame
from pushcast.muxer cimport Muxer

cdef extern from *:
    """
    #include <time.h>
    static int64_t lap_ns(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    """
    int64_t lap_ns() noexcept nogil


def time_laps(Muxer muxer not None, list frames not None, int64_t lap_ticks, int laps):
    """Nanoseconds of each lap over (track, dts, pts, flags, data) tuples; times go on from lap to lap, by lap_ticks."""
    cdef Py_ssize_t count = len(frames)
    cdef Py_ssize_t i
    cdef int lap
    cdef int64_t start
    cdef const unsigned char[::1] view
    cdef Frame* all_frames = <Frame*>malloc(count * sizeof(Frame))
    if all_frames == NULL:
        raise MemoryError(f"{count} frames")
    held = []                    # the views that the pointers point into
    times = []
    try:
        for i in range(count):
            track, dts, pts, flags, data = frames[i]
            view = data
            held.append(data)
            all_frames[i].data = &view[0]
            all_frames[i].size = view.shape[0]
            all_frames[i].dts = dts
            all_frames[i].pts = pts
            all_frames[i].track = track
            all_frames[i].flags = flags
        for lap in range(laps):
            start = lap_ns()
            for i in range(count):
                muxer.write(&all_frames[i])
            times.append(lap_ns() - start)
            for i in range(count):
                all_frames[i].dts += lap_ticks
                all_frames[i].pts += lap_ticks
    finally:
        free(all_frames)
    return times
