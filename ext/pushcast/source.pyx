"""Source: the frames of one input, moved onto the engine's time line and written once to every feed that some push wants.

A feed that is created later than its source is filled from the frames since before the newest keyframe, which are kept (gopcache.pyx).

Time.  Input times are 90 kHz integers of the input's own clock.  The first frame is put on the engine clock, never before `floor_dts` (where an
earlier source of the same stream name ended); the distance is then constant, and a multiple of 90 ticks, so that whole milliseconds stay
whole.  A jump of the input (3 s back or 10 s ahead) is closed: time goes on by as much as the engine clock did, with FRAME_DISCONTINUITY.  DTS grows
strictly in each track, and no PTS is before its DTS.

Drift.  No input's clock runs as ours does: 100 ppm are 9 s a day.  Time stamps are not touched by that.  What is compared with the engine clock is compared
with its distance to the input, `behind`, which is measured once a second; so a jump after weeks makes no step of what the clocks have come apart.

Frames come on one thread, which may be another one than that of the pushes: a lock, free as a rule, keeps each frame and each change of the feeds
whole.  Listeners are called on the thread of the frames, when it has the lock no more.
"""
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t
from libc.string cimport memset

import time
from dataclasses import replace

from pushcast.feed cimport Feed
from pushcast.frame cimport FRAME_BESIDE, FRAME_CONFIG, FRAME_DISCONTINUITY, FRAME_METADATA, Frame, frame_of
from pushcast.gopcache cimport GopCache
from pushcast.measured cimport measure, measured_of, measured_t
from pushcast.monotonic cimport monotonic_ns
from pushcast.wakeup cimport mutex_init, pthread_mutex_destroy, pthread_mutex_lock, pthread_mutex_trylock, pthread_mutex_unlock

from pushcast.errors import LocalProtocolError, MediaError
from pushcast.feed import feed_muxer
from pushcast.media import Kind

cdef int64_t MILLISECOND = 90
cdef int64_t SECOND = 90000
cdef int64_t BACKWARD_JUMP = 3 * 90000     # interleaving of honest inputs stays well below
cdef int64_t FORWARD_JUMP = 10 * 90000


cdef class Clock:
    """The engine clock: 90 kHz, starts at the wall clock's time and then runs with the monotonic clock; whole milliseconds."""

    def __cinit__(self):
        self.base = <int64_t>(time.time() * 1000) * MILLISECOND
        self.start_ns = monotonic_ns()

    cdef int64_t read(self) noexcept nogil:
        cdef int64_t now_ns = self.held_ns if self.held_ns else monotonic_ns()
        return self.base + (now_ns - self.start_ns) // 1000000 * MILLISECOND

    def now(self):
        """Now, at 90 kHz."""
        return self.read()

    def advance(self, int64_t ms):
        """For those who try in a moment what takes days: so much time has passed, and from now on it passes by this alone."""
        self.held_ns = (self.held_ns if self.held_ns else monotonic_ns()) + ms * 1000000


cdef class FrameTap:
    """Takes the frames of a source beside its feeds; what it raises ends the source's input."""

    cdef int take(self, Frame* frame) except -1:
        raise NotImplementedError


cdef class Source:
    """Source(clock, floor_dts=0, behind=0)

    ``clock``: the engine Clock; ``floor_dts``: 90 kHz engine time that no frame may precede; ``behind``: how far behind the clock it begins, 90 kHz, as an
    earlier source of the same stream name was when it ended.
    """

    def __cinit__(self, Clock clock not None, int64_t floor_dts=0, int64_t behind=0):
        self.clock = clock
        self.floor_dts = floor_dts
        self.behind = behind
        self.newest_dts = INT64_MIN
        self.measure_dts = INT64_MIN
        self.tracks = ()
        self.feeds = {}
        self.writers = []
        mutex_init(&self.mutex)
        self.cache = GopCache()

    def __dealloc__(self):
        pthread_mutex_destroy(&self.mutex)

    def set_tracks(self, tracks):
        """Say which tracks this source has: once, or again with more tracks before the first feed.  MediaError beyond 32.

        When one of them is another than before, or gone, what is cached is of a stream that nobody will see.
        """
        tracks = tuple(tracks)
        if len(tracks) > MAX_TRACKS:
            raise MediaError(f"{len(tracks)} tracks: at most {MAX_TRACKS} are supported")
        if len({track.id for track in tracks}) != len(tracks):
            raise MediaError("two tracks with one id")
        videos = [track for track in tracks if track.kind is Kind.VIDEO]
        self._lock()
        try:
            codecs = {track.id: track.codec for track in tracks}
            if any([codecs.get(track.id) is not track.codec for track in self.tracks]):
                self.cache.forget()
            known = {self.clocks[index].id: self.clocks[index].last_dts for index in range(self.track_count)}
            for index, track in enumerate(tracks):
                self.clocks[index].id = track.id
                self.clocks[index].last_dts = known.get(track.id, INT64_MIN)
                memset(&self.clocks[index].measured, 0, sizeof(measured_t))
            self.track_count = len(tracks)
            self.cache.joins_at(min([video.id for video in videos]) if videos else None)
            self.tracks = tracks
        finally:
            pthread_mutex_unlock(&self.mutex)

    def push(self, uint32_t track, int64_t dts, int64_t pts, uint32_t flags, const uint8_t[::1] data not None):
        """Publish one frame: input times at 90 kHz, FRAME_* flags, the access unit or configuration record."""
        cdef Frame frame = frame_of(track, dts, pts, flags, &data[0] if data.shape[0] else NULL, <size_t>data.shape[0])
        self.publish(&frame)

    cdef int publish(self, Frame* frame) except -1:
        """Move the frame onto engine time and write it to the GOP cache and to every feed; then the taps get it.

        A feed whose container cannot carry the frame fails alone; what no ring can hold raises MediaError.
        """
        cdef list failed = None
        cdef track_clock_t* clock
        self._lock()
        try:
            clock = self._clock_of(frame.track)
            if clock != NULL:
                self._onto_engine_time(frame)
                failed = self._write(frame, clock)
        finally:
            pthread_mutex_unlock(&self.mutex)
        self._tell(failed)
        if clock != NULL and self.taps is not None:
            self._pass_on(frame)
        return 0

    cdef int take(self, Frame* frame) except -1:
        """As publish, a frame whose times are on the engine's line already."""
        cdef list failed = None
        cdef track_clock_t* clock
        self._lock()
        try:
            clock = self._clock_of(frame.track)
            if clock != NULL:
                failed = self._write(frame, clock)
        finally:
            pthread_mutex_unlock(&self.mutex)
        self._tell(failed)
        return 0

    cdef int _tell(self, list failed) except -1:
        cdef Feed feed
        if failed is not None:
            for feed, error in failed:
                feed.fail(error)
        return 0

    cdef int _pass_on(self, const Frame* frame) except -1:
        """Without the lock: a tap may lead to another source."""
        cdef FrameTap tap
        cdef Frame copied
        for tap in self.taps:
            copied = frame[0]
            tap.take(&copied)
        return 0

    def add_tap(self, FrameTap tap not None):
        """Have it take every frame from now on, with its times on the engine's line."""
        self.taps = [*(self.taps or ()), tap]

    def remove_tap(self, FrameTap tap not None):
        """A frame that is under way may still reach it."""
        self.taps = [each for each in self.taps or () if each is not tap] or None

    cdef void _lock(self) noexcept:
        """Whoever has to wait lets go of Python's lock, which the other one needs to come to its end."""
        if pthread_mutex_trylock(&self.mutex):
            with nogil:
                pthread_mutex_lock(&self.mutex)

    cdef list _write(self, Frame* frame, track_clock_t* clock):
        """Under the lock; returns the feeds that failed, with their errors, as a rule None."""
        if self.ended:
            raise LocalProtocolError("a frame for a source that has ended")
        self._put_in_order(frame, clock)
        if frame.flags & FRAME_CONFIG:
            self._replace(frame.track, "config", (<const char*>frame.data)[:frame.size])
        elif frame.flags & FRAME_METADATA:
            self._replace(frame.track, "metadata", (<const char*>frame.data)[:frame.size])
        self.cache.remember(frame)
        self.frame_count += 1
        self.byte_count += frame.size
        if not frame.flags & FRAME_BESIDE:
            measure(&clock.measured, frame)
        cdef list failed = None
        cdef Feed feed
        for feed in self.writers:
            try:
                feed.muxer.write(frame)
            except MediaError as error:
                self._drop(feed)
                failed = [*(failed or ()), (feed, error)]
        return failed

    cdef _drop(self, Feed feed):
        """Write this feed no more.  The list is made anew: publish may be walking the old one."""
        if self.feeds.get(feed.key) is feed:
            del self.feeds[feed.key]
            self.writers = list(self.feeds.values())

    cdef track_clock_t* _clock_of(self, uint32_t track) noexcept nogil:
        cdef int index
        for index in range(self.track_count):
            if self.clocks[index].id == track:
                return &self.clocks[index]
        return NULL

    cdef void _onto_engine_time(self, Frame* frame) noexcept:
        cdef int64_t now
        cdef int64_t dts = frame.dts + self.offset
        cdef bint jumped = self.anchored and (dts < self.newest_dts - BACKWARD_JUMP or dts > self.newest_dts + FORWARD_JUMP)
        if jumped or not self.anchored:
            now = max(self.clock.read() - self.behind, self.floor_dts)
            if jumped and now <= self.newest_dts:
                now = self.newest_dts + MILLISECOND
            # Up to a whole number of milliseconds: RTMP times survive unrounded.
            self.offset = (now - frame.dts + MILLISECOND - 1) // MILLISECOND * MILLISECOND
            if self.offset + frame.dts < now:
                self.offset += MILLISECOND
            self.anchored = True
            dts = frame.dts + self.offset
            if jumped:
                frame.flags |= FRAME_DISCONTINUITY
        if self.anew:
            self.anew = False
            frame.flags |= FRAME_DISCONTINUITY
        if dts >= self.measure_dts:
            self.behind = self.clock.read() - dts
            self.measure_dts = dts + SECOND
        frame.pts += self.offset
        frame.dts = dts

    cdef void rebased(self, int64_t distance) noexcept:
        """The input's clock has begun anew.  From here on its times come moved by so much more, and the next frame says so."""
        self.moved += distance
        self.anew = True

    cdef void _put_in_order(self, Frame* frame, track_clock_t* clock) noexcept:
        """Each DTS after the track's last one, and no PTS before its DTS."""
        if clock.last_dts != INT64_MIN and frame.dts <= clock.last_dts and not frame.flags & FRAME_BESIDE:
            frame.dts = clock.last_dts + 1
        if frame.pts < frame.dts:
            frame.pts = frame.dts
        if not frame.flags & FRAME_BESIDE:
            clock.last_dts = frame.dts
        if frame.dts > self.newest_dts:
            self.newest_dts = frame.dts

    def _replace(self, uint32_t track_id, member, bytes value):
        self.tracks = tuple(replace(track, **{member: value}) if track.id == track_id else track for track in self.tracks)

    def feed(self, key, int64_t keep_ms=0):
        """The feed of this FeedKey, made and filled from the newest keyframe on if it is the first push that asks; `release` it.

        ``keep_ms``: so much media must be found in its ring from now on.
        """
        cdef Feed feed
        self._lock()
        try:
            feed = self.feeds.get(key)
            if feed is None:
                feed = self._new_feed(key)
            feed.users += 1
            feed.ring.keep(keep_ms)
        finally:
            pthread_mutex_unlock(&self.mutex)
        return feed

    cdef Feed _new_feed(self, key):
        cdef Feed feed = Feed(key, feed_muxer(key, self.tracks))
        # A guess until the feed has measured its own: without one, destinations would take what is cached as one burst.
        feed.ring.c.bytes_per_s = self.cache.ring.c.bytes_per_s
        self.cache.replay(feed.muxer)
        if self.ended:
            feed.ring.end()
        self.feeds[key] = feed
        self.writers = list(self.feeds.values())
        return feed

    def recent(self):
        """What the GOP cache holds, oldest first: (track, dts, pts, flags, data) of each frame, times on the engine's line."""
        self._lock()
        try:
            return self.cache.recent()
        finally:
            pthread_mutex_unlock(&self.mutex)

    def release(self, Feed feed not None):
        """A push lets go of a feed; the last one out ends it."""
        self._lock()
        try:
            feed.users -= 1
            if feed.users <= 0:
                self._drop(feed)
        finally:
            pthread_mutex_unlock(&self.mutex)

    def end(self):
        """The input is gone: no feed gets another frame, and cursors that reach a feed's head are done."""
        self._lock()
        try:
            self.ended = True
            for feed in self.feeds.values():
                (<Feed>feed).ring.end()
        finally:
            pthread_mutex_unlock(&self.mutex)

    @property
    def clock_offset(self):
        """Engine time minus the input's, at 90 kHz; None before the first frame."""
        return self.offset if self.anchored else None

    @property
    def last_dts(self):
        """Newest DTS on the engine's time line, 0 before the first frame."""
        return 0 if self.newest_dts == INT64_MIN else self.newest_dts

    @property
    def bytes_per_s(self):
        """Bytes of frames per second of media; 0 until known."""
        return self.cache.ring.bytes_per_s

    def measured(self):
        """What the tracks are like, by id: dicts of `bits_per_s`, `frames_per_s` and `key_interval` (frames), each with `latest_` (of the last second, or
        between the last two keyframes), `frames_since_key` and `reordered`; 0 for what is not known yet.
        """
        return {self.clocks[index].id: measured_of(&self.clocks[index].measured, self.clocks[index].last_dts) for index in range(self.track_count)}

    @property
    def feed_count(self):
        return len(self.feeds)
