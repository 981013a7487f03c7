"""One pass over a media file or another input: its tracks, then its frames as pushcast wants them.

libavformat (through PyAV) demuxes; nothing is decoded.  Frames leave in the order of the file with these promises:
times are 90 kHz integers, rounded once from the file's own absolute times; every frame has a DTS; H.264 and HEVC
access units are length-prefixed with an avcC or hvcC as the track's config, AAC is raw with an AudioSpecificConfig.
What a transport stream holds instead (Annex B, ADTS) is converted, and its parameter sets are looked for in the
frames.

Everything here blocks: it belongs in a worker thread.
"""

from __future__ import annotations

import stat
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from pushcast import aac, nal, videoconfig
from pushcast.errors import MediaError
from pushcast.media import Codec, Kind, Track

FRAME_KEY = 1
FRAME_CONFIG = 2
FRAME_DISCONTINUITY = 4

CLOCK_HZ = 90_000
MAX_TRACKS = 32  # what a Source takes
MAX_FRAME_BYTES = 16 << 20  # far above a 4K keyframe; a larger "frame" is a damaged file, and rings are sized for less
# Parameter sets come with the first keyframe, so within one GOP; nobody makes live clips with longer ones than this.
MAX_PROBE_BYTES = 32 << 20
MAX_PROBE_FRAMES = 2000
MAX_REORDER = 16  # H.264 A.3.1 and HEVC A.4.2: no decoder holds back more pictures

CODECS = {codec.name.lower(): codec for codec in Codec}


@dataclass(frozen=True, slots=True)
class ClipFrame:
    """An access unit (or, with FRAME_CONFIG, a new config) of track ``track``; times and duration at 90 kHz."""

    track: int
    dts: int
    pts: int
    duration: int
    flags: int
    data: bytes


@dataclass(slots=True)
class _Stamped:
    """A converted packet whose DTS may still be unknown."""

    dts: int | None
    pts: int | None
    duration: int
    flags: int
    data: bytes


class _Plain:
    """Frames that the container already holds as pushcast wants them; its config record is checked, not made."""

    def __init__(self, codec: Codec, config: bytes) -> None:
        video = {Codec.H264: videoconfig.parse_avcc, Codec.HEVC: videoconfig.parse_hvcc}
        check = {**video, Codec.AAC: aac.parse_asc}.get(codec)
        if check is not None:
            check(config)
        self.config: bytes | None = config

    def convert(self, data: bytes) -> list[bytes]:
        return [data]


class _AnnexB:
    """Access units with start codes, and parameter sets in band.  H.264 Annex B, HEVC Annex B."""

    def __init__(self, codec: Codec, parameter_sets: bytes) -> None:
        self.codec = codec
        self.config: bytes | None = None
        self._kinds = (7, 8) if codec is Codec.H264 else (32, 33, 34)
        self._sets: tuple[tuple[bytes, ...], ...] = ()
        if parameter_sets:
            self._look(nal.split_annexb(parameter_sets))

    def convert(self, data: bytes) -> list[bytes]:
        units = nal.split_annexb(data)
        self._look(units)
        return [b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)]

    def _look(self, units: Sequence[bytes]) -> None:
        """Build a new config when the units hold a complete group of other parameter sets."""
        kinds = [nal.nal_unit_type(self.codec, unit) for unit in units]
        if self._kinds[0] not in kinds:
            return
        sets = tuple(
            tuple(dict.fromkeys(unit for unit, found in zip(units, kinds, strict=True) if found == kind))
            for kind in self._kinds
        )
        if all(sets) and sets != self._sets:
            avc = self.codec is Codec.H264
            self.config = videoconfig.build_avcc(*sets) if avc else videoconfig.build_hvcc(*sets)
            self._sets = sets


class _Adts:
    """AAC frames behind ADTS headers, one or more in a packet.  ISO/IEC 13818-7 6.2."""

    def __init__(self) -> None:
        self.config: bytes | None = None

    def convert(self, data: bytes) -> list[bytes]:
        frames = []
        while data:
            header = aac.parse_adts(data)
            if header.frame_size > len(data):
                raise MediaError(f"an ADTS frame of {header.frame_size} bytes, {len(data)} are there")
            self.config = header.asc or self.config
            frames.append(data[header.header_size : header.frame_size])
            data = data[header.frame_size :]
        return frames


class _TrackReader:
    """Packets of one track to frames: format, times, and the config that goes with them."""

    def __init__(self, track: Track, form: _Plain | _AnnexB | _Adts) -> None:
        self.track = track
        self.form = form
        self.damaged = 0
        self._sent_config: bytes | None = None
        self._undated: deque[_Stamped] = deque()
        self._last_dts: int | None = None
        self._last_duration = 0

    def take(self, packet: Any) -> Iterator[ClipFrame]:
        try:
            if packet.is_corrupt or packet.size > MAX_FRAME_BYTES:
                raise MediaError("the packet is damaged")
            parts = self.form.convert(bytes(packet))
        except MediaError:
            self.damaged += 1
            return
        time_base: Fraction = packet.time_base
        count = max(len(parts), 1)
        key = FRAME_KEY if packet.is_keyframe and self.track.kind is Kind.VIDEO else 0
        for index, data in enumerate(parts):
            into = Fraction((packet.duration or 0) * index, count)
            stamped = _Stamped(
                dts=None if packet.dts is None else _ticks(packet.dts + into, time_base),
                pts=None if packet.pts is None else _ticks(packet.pts + into, time_base),
                duration=_ticks(Fraction(packet.duration or 0, count), time_base),
                flags=key,
                data=data,
            )
            yield from self._date(stamped)

    def rest(self) -> Iterator[ClipFrame]:
        """Frames still waiting for a DTS when the file ends."""
        for stamped in list(self._undated):
            stamped.dts = stamped.pts if self._last_dts is None else self._last_dts + self._last_duration
            if stamped.dts is not None:
                yield from self._finish(stamped)
        self._undated.clear()

    def _date(self, stamped: _Stamped) -> Iterator[ClipFrame]:
        """Fill in missing DTS.

        Containers without DTS leave the first frames of a stream with B-frames undated until the reorder depth is
        known: those are counted back from the first dated one.  Later gaps are counted on.
        """
        if stamped.dts is None and self._last_dts is None and len(self._undated) < MAX_REORDER:
            self._undated.append(stamped)
            return
        if stamped.dts is None:
            yield from self.rest()
            stamped.dts = stamped.pts if self._last_dts is None else self._last_dts + self._last_duration
            if stamped.dts is None:
                self.damaged += 1
                return
        dts = stamped.dts - sum(waiting.duration for waiting in self._undated)
        while self._undated:
            waiting = self._undated.popleft()
            waiting.dts = dts
            dts += waiting.duration
            yield from self._finish(waiting)
        yield from self._finish(stamped)

    def _finish(self, stamped: _Stamped) -> Iterator[ClipFrame]:
        dts = stamped.dts
        assert dts is not None
        if self._last_dts is not None and not stamped.duration and dts > self._last_dts:
            stamped.duration = dts - self._last_dts
        self._last_dts, self._last_duration = dts, stamped.duration
        pts = dts if stamped.pts is None else max(stamped.pts, dts)
        config = self.form.config
        if config is not None and config != self._sent_config:
            if self._sent_config is not None:
                yield ClipFrame(self.track.id, dts, dts, 0, FRAME_CONFIG, config)
            self._sent_config = config
        yield ClipFrame(self.track.id, dts, pts, stamped.duration, stamped.flags, stamped.data)


class Demuxer:
    """An open input.  ``tracks`` are numbered from 0, video before audio; ``left_out`` says what is not played and why.

    It closes ``container`` (PyAV's), also when it cannot be made; ``noun`` is what errors call the input.
    :raises MediaError: nothing in it that pushcast can carry.
    """

    def __init__(self, container: Any, noun: str) -> None:
        self._container = container
        self._noun = noun
        self.left_out: list[str] = []
        try:
            self._readers = self._choose()
            self._ahead = self._probe()
        except BaseException:
            self._container.close()
            raise
        self.tracks = tuple(_described(reader) for reader in self._readers.values())

    @property
    def damaged(self) -> int:
        """Packets left out because their bytes make no frame."""
        return sum(reader.damaged for reader in self._readers.values())

    def frames(self) -> Iterator[ClipFrame]:
        """Every frame, once, in the order of the input.  :raises MediaError: it breaks off."""
        while self._ahead:
            yield self._ahead.popleft()
        yield from self._read()

    def close(self) -> None:
        self._container.close()

    def _choose(self) -> dict[int, _TrackReader]:
        """By stream index, the readers of the streams that pushcast can carry, in the order of their tracks."""
        readers: dict[int, _TrackReader] = {}
        for kind in ("video", "audio"):
            for stream in self._container.streams:
                if stream.type != kind:
                    continue
                context = stream.codec_context
                name = context.codec.canonical_name if context is not None else "unknown"
                try:
                    if name not in CODECS:
                        raise MediaError("pushcast does not carry this codec")
                    if len(readers) == MAX_TRACKS:
                        raise MediaError(f"a stream has at most {MAX_TRACKS} tracks")
                    form = _form(CODECS[name], bytes(context.extradata or b""))
                    readers[stream.index] = _TrackReader(_track(len(readers), CODECS[name], stream), form)
                except MediaError as error:
                    self.left_out.append(f"{kind} stream {stream.index} ({name}): {error}")
        if not readers:
            raise MediaError(_nothing_to_play(self._noun, self.left_out))
        return readers

    def _probe(self) -> deque[ClipFrame]:
        """Read until every track's config is known; a track whose config does not come is left out."""
        ahead: deque[ClipFrame] = deque()
        size = 0
        if any(reader.form.config is None for reader in self._readers.values()):
            for frame in self._read():
                ahead.append(frame)
                size += len(frame.data)
                known = all(reader.form.config is not None for reader in self._readers.values())
                if known or size > MAX_PROBE_BYTES or len(ahead) > MAX_PROBE_FRAMES:
                    break
        missing = {reader.track.id for reader in self._readers.values() if reader.form.config is None}
        for index, reader in list(self._readers.items()):
            if reader.track.id in missing:
                self.left_out.append(
                    f"{reader.track.kind.lower()} stream {index}: its decoder configuration is missing"
                )
                del self._readers[index]
        if not self._readers:
            raise MediaError(_nothing_to_play(self._noun, self.left_out))
        numbers = {reader.track.id: number for number, reader in enumerate(self._readers.values())}
        for reader in self._readers.values():
            reader.track = replace(reader.track, id=numbers[reader.track.id])
        return deque(replace(frame, track=numbers[frame.track]) for frame in ahead if frame.track in numbers)

    def _read(self) -> Iterator[ClipFrame]:
        streams = [self._container.streams[index] for index in self._readers]
        try:
            for packet in self._container.demux(*streams):
                reader = self._readers.get(packet.stream_index)
                if reader is not None and packet.size:
                    yield from reader.take(packet)
        except FFmpegError as error:
            # Without the cause: libavformat's error holds the URL, which may hold a password.
            raise MediaError(f"{self._noun} breaks off: {error.strerror}") from None
        for reader in self._readers.values():
            yield from reader.rest()


class Clip(Demuxer):
    """An open file.

    :raises MediaError: no such file, no media file, or nothing in it that pushcast can carry.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(_open(path), "the file")


def _open(path: Path) -> Any:
    try:
        # A pipe or a device would block the worker for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise MediaError(f"{path} is not a regular file")
        # A playlist among the formats could open other files and network addresses.
        return av.open(str(path), options={"protocol_whitelist": "file"})
    except OSError as error:
        raise MediaError(f"{path} cannot be opened: {error.strerror}") from error
    except FFmpegError as error:
        raise MediaError(f"{path} is no media file: {error.strerror}") from error


def _nothing_to_play(noun: str, left_out: Sequence[str]) -> str:
    return f"{noun} has no track that pushcast can carry" + (f" ({'; '.join(left_out)})" if left_out else "")


def _form(codec: Codec, extradata: bytes) -> _Plain | _AnnexB | _Adts:
    if codec in {Codec.H264, Codec.HEVC} and (not extradata or extradata.startswith((b"\0\0\1", b"\0\0\0\1"))):
        return _AnnexB(codec, extradata)
    if codec is Codec.AAC and not extradata:
        return _Adts()
    return _Plain(codec, extradata)


def _track(number: int, codec: Codec, stream: Any) -> Track:
    context = stream.codec_context
    track = Track(number, codec, bitrate=context.bit_rate or 0)
    if codec.kind is Kind.VIDEO:
        rate = float(stream.average_rate or 0)
        return replace(track, width=context.width or 0, height=context.height or 0, frame_rate=rate)
    return replace(track, sample_rate=context.sample_rate or 0, channels=context.channels or 0)


def _described(reader: _TrackReader) -> Track:
    return replace(reader.track, config=reader.form.config or b"")


def _ticks(time: int | Fraction, time_base: Fraction) -> int:
    """Nearest 90 kHz tick of a time in units of ``time_base``; always of an absolute time, so that nothing adds up."""
    exact = time * time_base * CLOCK_HZ
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
