"""The counted paths, called from C: callgrind collects between `begin` and `end` alone, and each path has a dump of its own.

What is written beforehand, or between two turns, is not collected: `pause` and `resume` stand around it.
"""
cimport cython
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc, free

from pushcast.cursor cimport CURSOR_RUNNING, cursor_slot
from pushcast.destination cimport Destination
from pushcast.frame cimport Frame
from pushcast.monotonic cimport monotonic_ns
from pushcast.muxer cimport Muxer

cdef extern from *:
    """
    #include <valgrind/callgrind.h>
    #include <sys/socket.h>

    static void begin_counting(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_TOGGLE_COLLECT; }
    static void resume_counting(void) { CALLGRIND_TOGGLE_COLLECT; }
    static void pause_counting(void) { CALLGRIND_TOGGLE_COLLECT; }
    static void end_counting(const char *name)
    {
        CALLGRIND_TOGGLE_COLLECT;
        CALLGRIND_STOP_INSTRUMENTATION;
        CALLGRIND_DUMP_STATS_AT(name);
    }
    static int counting_is_possible(void) { return RUNNING_ON_VALGRIND > 0; }

    static void discard(int fd)
    {
        static char nowhere[1 << 20];
        while (recv(fd, nowhere, sizeof nowhere, MSG_DONTWAIT) > 0)
            ;
    }
    """
    void begin_counting() noexcept nogil
    void resume_counting() noexcept nogil
    void pause_counting() noexcept nogil
    void end_counting(const char* name) noexcept nogil
    bint counting_is_possible() noexcept nogil
    void discard(int fd) noexcept nogil


@cython.final
cdef class Media:
    """Media(frames, lap_ticks): frames as C structs; each comes round again `lap_ticks` (90 kHz) later."""

    cdef Frame* frames
    cdef Py_ssize_t count
    cdef Py_ssize_t next
    cdef int64_t lap_ticks
    cdef list held               # what the frames point into

    def __cinit__(self, list frames not None, int64_t lap_ticks):
        cdef const uint8_t[::1] view
        cdef Py_ssize_t index
        self.frames = <Frame*>calloc(len(frames), sizeof(Frame))
        if self.frames == NULL:
            raise MemoryError("frames")
        self.count = len(frames)
        self.lap_ticks = lap_ticks
        self.held = [data for *_, data in frames]
        for index, (track, dts, pts, flags, data) in enumerate(frames):
            view = data
            self.frames[index].data = &view[0]
            self.frames[index].size = view.shape[0]
            self.frames[index].dts = dts
            self.frames[index].pts = pts
            self.frames[index].track = track
            self.frames[index].flags = flags

    def __dealloc__(self):
        free(self.frames)

    cdef int write_next(self, Muxer muxer) except -1:
        cdef Frame* frame = &self.frames[self.next]
        muxer.write(frame)
        frame.dts += self.lap_ticks
        frame.pts += self.lap_ticks
        self.next = self.next + 1 if self.next + 1 < self.count else 0
        return 0

    cdef int64_t next_dts(self) noexcept:
        return self.frames[self.next].dts


def muxing(bytes name not None, Muxer muxer not None, Media media not None, int warm_laps, int laps):
    """Muxer.write for every frame of so many laps."""
    cdef Py_ssize_t index
    for index in range(warm_laps * media.count):
        media.write_next(muxer)
    begin_counting()
    for index in range(laps * media.count):
        media.write_next(muxer)
    end_counting(name)


def turns(bytes name not None, Destination destination not None, Muxer muxer not None, Media media not None, int sink,
          int64_t interval_ms, int warm, int count):
    """`count` turns of a destination that keeps up, each with what the feed made in one interval."""
    cdef int turn
    cdef int64_t start_ns = monotonic_ns()
    cdef int64_t start_dts = media.next_dts()
    for turn in range(warm + count):
        while media.next_dts() < start_dts + turn * interval_ms * 90:
            media.write_next(muxer)
        if turn == warm:
            begin_counting()
        elif turn > warm:
            resume_counting()
        cursor_slot(&destination.c.cursor, start_ns + turn * interval_ms * 1000000, interval_ms * 1000000, 1)
        if turn >= warm:
            pause_counting()
        discard(sink)
    resume_counting()
    end_counting(name)
    if destination.c.cursor.state != CURSOR_RUNNING:
        raise AssertionError(f"the destination left: {destination.c.cursor.outcome}")


def reading(bytes name not None, receive, list pieces not None, int warm_laps, int laps):
    """A reader's `receive` for every piece of so many laps."""
    cdef int lap
    for lap in range(warm_laps):
        for piece in pieces:
            receive(piece)
    begin_counting()
    for lap in range(laps):
        for piece in pieces:
            receive(piece)
    end_counting(name)


def possible():
    """True under valgrind."""
    return bool(counting_is_possible())
