"""Relay: the frames of some tracks of a source, handed to a source that several relays feed.

Time.  What comes is on the engine's time line.  Two ways to align inputs:

- By arrival: each keeps its time, which began at the engine clock when its first frame came.  Publishers' clocks differ by some 0.01 %, so that two
  inputs drift apart by seconds a day: one that has run for days before the relay begins is put back to the engine clock then, and what comes later or sooner by the engine clock than it did at first is moved by one millisecond each four
  seconds, all tracks of the input alike.
- By time stamps: inputs of one encoder share its clock.  An input whose stamps lie within ten seconds of another one's (the 33 bits of MPEG-TS and the 32 bits of
  RTMP's milliseconds may have wrapped in one and not yet in the other) is moved so that equal stamps are equal times.  What agrees with nobody keeps its own time.

A track begins with a frame that can be decoded by itself, behind its configuration.
"""
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t

from pushcast.frame cimport FRAME_BESIDE, FRAME_CONFIG, FRAME_KEY, Frame
from pushcast.source cimport MAX_TRACKS, FrameTap, Source
from pushcast.wrap cimport nearest

from pushcast.errors import LocalProtocolError, MediaError
from pushcast.media import Kind

cdef int64_t MILLISECOND = 90
cdef int64_t MOST_APART = 10 * 90000
cdef int64_t[2] WRAPS = [<int64_t>1 << 33, (<int64_t>1 << 32) * 90]
cdef int64_t WINDOW = 4 * 90000
cdef int64_t STEADY = 20 * 90          # jitter of what is usual; below it nothing is moved
cdef int64_t DRIFTED = 500 * 90        # no jitter makes that of the first frame: its input has run for long


cdef class Relay(FrameTap):
    """Relay(origin, target, tracks, group=None, base=0)

    ``tracks``: (Track of the origin, id at the target) each, at most 32.  ``group``: the list of the target's relays, when time stamps align them.
    ``base``: 90 kHz, what is added to the time of who belongs to nobody.
    """

    def __cinit__(self, Source origin not None, Source target not None, tracks, list group=None, int64_t base=0):
        tracks = tuple(tracks)
        if len(tracks) > MAX_TRACKS:
            raise MediaError(f"{len(tracks)} tracks: at most {MAX_TRACKS} are supported")
        self.origin = origin
        self.target = target
        self.group = group
        self.base = self.shift = base
        self.configs = []
        for index, (track, own_id) in enumerate(tracks):
            self.relayed[index].source = track.id
            self.relayed[index].target = own_id
            self.relayed[index].is_video = track.kind is Kind.VIDEO
            self.configs.append(track.config or None)
        self.track_count = len(tracks)
        self.usual_late = INT64_MAX
        self.least_late = INT64_MAX
        self.window_end = INT64_MIN

    cdef int take(self, Frame* frame) except -1:
        cdef int index
        cdef relayed_t* track
        for index in range(self.track_count):
            track = &self.relayed[index]
            if track.source == frame.track:
                break
        else:
            return 0
        if self.group is not None:
            if not self.placed or self.origin.offset + self.origin.moved != self.known_offset:
                self._place()
        elif not frame.flags & FRAME_BESIDE:
            self._follow_clock(frame.dts)
        frame.track = track.target
        frame.dts += self.shift
        frame.pts += self.shift
        try:
            if not track.begun and not self._begin(track, index, frame):
                return 0
            self.target.take(frame)
        except (LocalProtocolError, MediaError):
            pass  # the target has ended, or has no room for a frame that its origin took: nothing that concerns the origin
        return 0

    cdef int _begin(self, relayed_t* track, int index, const Frame* frame) except -1:
        """1: the track begins with this frame."""
        cdef Frame config
        cdef const uint8_t[::1] record
        if frame.flags & FRAME_CONFIG:
            self.configs[index] = (<const char*>frame.data)[:frame.size]
        if frame.flags & FRAME_BESIDE or (track.is_video and not frame.flags & FRAME_KEY):
            return 0
        track.begun = True
        if self.configs[index] is not None:
            record = self.configs[index]
            config = frame[0]
            config.data = &record[0]
            config.size = record.shape[0]
            config.pts = config.dts
            config.flags = FRAME_CONFIG
            self.target.take(&config)
        return 1

    cdef void _place(self) noexcept:
        """Find whose time stamps these agree with, and make equal stamps equal times."""
        cdef Relay other
        cdef int64_t shift, apart
        cdef int64_t wrap
        self.placed = True
        self.known_offset = self.origin.offset + self.origin.moved
        self.shift = self.base
        self.aligned = False
        for other in self.group:
            if other is self or not other.placed:
                continue
            shift = other.known_offset + other.shift - self.known_offset
            for wrap in (0, WRAPS[0], WRAPS[1]):
                apart = nearest(shift, wrap) if wrap else shift
                if -MOST_APART <= apart <= MOST_APART:
                    self.shift = apart
                    self.aligned = True
                    return

    cdef void _follow_clock(self, int64_t dts) noexcept:
        cdef int64_t late = self.origin.clock.read() + self.base - dts - self.shift
        if self.window_end == INT64_MIN:
            self.window_end = dts + WINDOW
            if not -DRIFTED <= late <= DRIFTED:
                late = late // MILLISECOND * MILLISECOND
                self.shift += late
                late = 0
        self.least_late = min(self.least_late, late)
        if dts < self.window_end:
            return
        if self.usual_late == INT64_MAX:
            self.usual_late = self.least_late
        elif self.least_late > self.usual_late + STEADY:
            self.shift += MILLISECOND
        elif self.least_late < self.usual_late - STEADY:
            self.shift -= MILLISECOND
        self.least_late = INT64_MAX
        # Not from here on: windows that end with a frame each would be longer, and follow less than clocks may differ by.
        self.window_end = max(self.window_end + WINDOW, dts)
