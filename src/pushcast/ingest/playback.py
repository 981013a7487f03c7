"""A file as one endless input: laps, jumps and order.

Times go on over the end of the file.  A lap lasts as long as its longest track, the last frame included, rounded up
to a whole millisecond; every track moves by that much, so that each stays strictly monotonic and the tracks keep
their distance.  A jump inside the file (a recording that was cut) is closed.  Frames leave in DTS order, however far
apart the file lays its tracks, up to REORDER_TICKS.

Everything here blocks: it belongs in a worker thread.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

from pushcast.errors import MediaError
from pushcast.ingest.demux import CLOCK_HZ, FRAME_CONFIG, FRAME_DISCONTINUITY, Clip, ClipFrame, Demuxer
from pushcast.media import Kind, Track

BATCH_TICKS = CLOCK_HZ // 2
MAX_BATCH_BYTES = 8 << 20  # half a second at 128 Mbit/s; beyond that batches are just shorter
REORDER_TICKS = CLOCK_HZ  # interleaving of files seen in the wild stays below one second
MAX_HELD_BYTES = (
    32 << 20
)  # a second at 256 Mbit/s; a damaged file whose time stands still must not be read whole into memory
# The same bounds by which a Source takes a step of its input for a jump.
BACKWARD_JUMP_TICKS = 3 * CLOCK_HZ
FORWARD_JUMP_TICKS = 10 * CLOCK_HZ
MILLISECOND_TICKS = CLOCK_HZ // 1000


class Playback:
    """Plays a file from its start, or once what is open already.  ``tracks`` are those of the first lap.

    :raises MediaError: as Clip.
    """

    def __init__(self, media: Path | Demuxer, *, loop: bool = False) -> None:
        self._path = media if isinstance(media, Path) and loop else None  # of the next lap, if there is one
        self._clip: Demuxer = Clip(media) if isinstance(media, Path) else media
        self.tracks: tuple[Track, ...] = self._clip.tracks
        self.left_out = list(self._clip.left_out)
        self.damaged = 0
        self._configs = {track.id: track.config for track in self.tracks}
        self._last_dts: dict[int, int] = {}
        self._newest: int | None = None
        self._held: list[tuple[int, int, ClipFrame]] = []
        self._held_bytes = 0
        self._failure: MediaError | None = None
        self._frames = self._in_order()

    def read(self) -> list[ClipFrame]:
        """The next half second, in DTS order; empty at the end of a file that does not loop.

        :raises MediaError: the file breaks off, has no frame, or has other tracks in a later lap.
        """
        if self._failure is not None:
            raise self._failure
        batch: list[ClipFrame] = []
        size = 0
        try:
            for frame in self._frames:
                batch.append(frame)
                size += len(frame.data)
                if frame.dts - batch[0].dts >= BATCH_TICKS or size >= MAX_BATCH_BYTES:
                    break
        except MediaError as error:
            if not batch:
                raise
            self._failure = error  # what was read before the break is still played
        return batch

    def close(self) -> None:
        self._clip.close()

    def _in_order(self) -> Iterator[ClipFrame]:
        try:
            for order, frame in enumerate(self._laps()):
                heapq.heappush(self._held, (frame.dts, order, frame))
                self._held_bytes += len(frame.data)
                while self._held[0][0] <= frame.dts - REORDER_TICKS or self._held_bytes > MAX_HELD_BYTES:
                    yield self._release()
        except MediaError:
            while self._held:
                yield self._release()
            raise
        while self._held:
            yield self._release()

    def _release(self) -> ClipFrame:
        frame = heapq.heappop(self._held)[2]
        self._held_bytes -= len(frame.data)
        return frame

    def _laps(self) -> Iterator[ClipFrame]:
        shift = 0
        while True:
            duration = yield from self._lap(shift)
            self.damaged += self._clip.damaged
            if self._path is None:
                return
            if not duration:
                raise MediaError("the file holds no frame")
            shift += -(-duration // MILLISECOND_TICKS) * MILLISECOND_TICKS
            self._clip.close()
            # Opened again, not rewound: demuxers of formats without an index seek only roughly.
            self._clip = Clip(self._path)
            if _shape(self._clip.tracks) != _shape(self.tracks):
                raise MediaError("the file has changed: its tracks are others now")

    def _lap(self, shift: int) -> Generator[ClipFrame, None, int]:
        """Frames of one lap, moved by ``shift``; returns how long the longest track was, in ticks."""
        first: dict[int, int] = {}
        end: dict[int, int] = {}
        audio = {track.id for track in self._clip.tracks if track.kind is Kind.AUDIO}
        lap_configs = {track.id: track.config for track in self._clip.tracks}
        for original in self._clip.frames():
            frame = original
            dts = frame.dts + shift
            jumped = self._newest is not None and not (
                self._newest - BACKWARD_JUMP_TICKS <= dts <= self._newest + FORWARD_JUMP_TICKS
            )
            if jumped and self._newest is not None:
                shift += max(end.values(), default=self._newest) - dts
                dts = frame.dts + shift
            if frame.track not in first and lap_configs[frame.track] != self._configs[frame.track]:
                self._configs[frame.track] = lap_configs[frame.track]
                yield ClipFrame(frame.track, dts, dts, 0, FRAME_CONFIG, lap_configs[frame.track])
            if frame.flags & FRAME_CONFIG:
                self._configs[frame.track] = frame.data
                yield replace(frame, dts=dts, pts=dts)
                continue
            last_dts = self._last_dts.get(frame.track, dts - 1)
            dts = max(dts, last_dts + 1)
            self._last_dts[frame.track] = dts
            self._newest = dts if self._newest is None else max(self._newest, dts)
            first.setdefault(frame.track, dts)
            # MP4 cuts the last audio frame's duration to what is to be heard of it; a decoder gets all of it.
            duration = max(frame.duration, dts - last_dts) if frame.track in audio else frame.duration
            end[frame.track] = dts + duration
            flags = frame.flags | (FRAME_DISCONTINUITY if jumped else 0)
            yield replace(frame, dts=dts, pts=max(frame.pts + shift, dts), flags=flags)
        return max((end[track] - first[track] for track in first), default=0)


def _shape(tracks: tuple[Track, ...]) -> list[tuple[int, str]]:
    return [(track.id, track.codec.name) for track in tracks]
