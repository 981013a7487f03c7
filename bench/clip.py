"""The clip that all benches use, its frames, and traces of container bytes for the raw loops.

720p25 H.264 at 2.5 Mbit/s with a keyframe each second and AAC at 128 kbit/s, from ffmpeg's test sources; made once
and kept.  Noise keeps the encoder at its bitrate.  A trace is what one muxer leaves in its ring when the frames come
in real time (layout: pace.h).
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from bench.build import OUTPUT

SECONDS = 10
MAGIC = b"TRACE01\n"
FRAME_KEY = 1


@dataclass(frozen=True, slots=True)
class ClipFrame:
    """One access unit; times at 90 kHz."""

    track: int
    dts: int
    pts: int
    flags: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Clip:
    """Tracks (pushcast.media.Track) and frames in DTS order; ``lap_ticks`` is its length at 90 kHz."""

    tracks: tuple[Any, ...]
    frames: tuple[ClipFrame, ...]
    lap_ticks: int

    def lap(self) -> list[tuple[int, ClipFrame]]:
        """(time from 0 to lap_ticks, frame) in the order of time.  One track ends later than the others; what lies
        beyond the lap comes at the beginning of the next, so each track's frames follow evenly over the seam.
        """
        first = self.frames[0].dts
        return sorted((((frame.dts - first) % self.lap_ticks, frame) for frame in self.frames), key=lambda row: row[0])

    def looped(self) -> Iterator[tuple[int, int, int, int, bytes]]:
        """(track, dts, pts, flags, data) over and over, times going on from 0."""
        first = self.frames[0].dts
        rows = [(frame.track, frame.dts - first, frame.pts - first, frame.flags, frame.data) for frame in self.frames]
        offset = 0
        while True:
            for track, dts, pts, flags, data in rows:
                yield track, dts + offset, pts + offset, flags, data
            offset += self.lap_ticks


def live_source(frames_per_s: int = 25) -> str:
    """Configuration of a stream "live": the server plays the clip itself, again and again."""
    return f'[[sources]]\nname = "live"\nurl = "{clip_path(frames_per_s=frames_per_s).as_uri()}?loop=1"\n'


def clip_path(video_kbit_per_s: int = 2500, frames_per_s: int = 25) -> Path:
    """The clip's file, made with ffmpeg when it is missing."""
    rate = f"{video_kbit_per_s}k"
    path = OUTPUT / f"clip-720p{frames_per_s}-{rate}.mp4"
    if not path.exists():
        OUTPUT.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new.mp4")
        subprocess.run(
            [
                *("ffmpeg", "-v", "error", "-nostdin", "-y"),
                *("-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate={frames_per_s},noise=alls=12:allf=t"),
                *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000,aformat=channel_layouts=stereo"),
                *("-t", str(SECONDS), "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-bf", "2"),
                *("-b:v", rate, "-maxrate", rate, "-bufsize", f"{video_kbit_per_s // 2}k", "-g", str(frames_per_s)),
                *("-keyint_min", str(frames_per_s), "-sc_threshold", "0", "-c:a", "aac", "-b:a", "128k", str(fresh)),
            ],
            check=True,
        )
        fresh.replace(path)
    return path


def read_clip(path: Path) -> Clip:
    """Demux an mp4: length-prefixed H.264 and raw AAC, as the engine takes them."""
    from pushcast.media import Codec, Track

    codecs = {"h264": Codec.H264, "aac": Codec.AAC}
    frames: list[ClipFrame] = []
    with av.open(str(path)) as container:
        streams = sorted(container.streams, key=lambda stream: stream.type != "video")
        numbers = {stream.index: number for number, stream in enumerate(streams)}
        tracks = tuple(
            Track(
                id=numbers[stream.index],
                codec=codecs[stream.codec_context.name],
                config=bytes(stream.codec_context.extradata or b""),
                width=getattr(stream.codec_context, "width", 0) or 0,
                height=getattr(stream.codec_context, "height", 0) or 0,
                sample_rate=getattr(stream.codec_context, "sample_rate", 0) or 0,
                channels=2 if stream.type == "audio" else 0,
            )
            for stream in streams
        )
        for packet in container.demux():
            if packet.dts is None or packet.pts is None:
                continue
            scale = Fraction(packet.time_base) * 90000
            dts, pts = round(packet.dts * scale), round(packet.pts * scale)
            key = FRAME_KEY if packet.is_keyframe and packet.stream.type == "video" else 0
            frames.append(ClipFrame(numbers[packet.stream.index], dts, pts, key, bytes(packet)))
    frames.sort(key=lambda frame: frame.dts)
    lap_ticks = SECONDS * 90000
    starts = {track.id: min(frame.dts for frame in frames if frame.track == track.id) for track in tracks}
    # The encoder pads the audio beyond the video's end; what would lie in the next lap is left out.
    kept = tuple(frame for frame in frames if frame.dts < starts[frame.track] + lap_ticks)
    return Clip(tracks, kept, lap_ticks)


def write_trace(path: Path, chunks: Iterator[tuple[int, bytes]] | list[tuple[int, bytes]]) -> int:
    """Write (time in us, bytes) pairs, in time order, as a trace; returns the bytes."""
    marks, body, end, last_us = bytearray(), bytearray(), 0, 0
    for at_us, data in chunks:
        last_us = max(last_us, at_us)
        end += len(data)
        marks += struct.pack("<QQ", last_us, end)
        body += data
    path.write_bytes(MAGIC + struct.pack("<Q", len(marks) // 16) + marks + body)
    return end


def muxed(clip: Clip, container: str, seconds: float) -> Iterator[tuple[int, bytes]]:
    """What the engine's muxer writes for the looped clip, span by span, with the time of a live source's push."""
    from pushcast.flv import RtmpMuxer
    from pushcast.mpegts import TsMuxer
    from pushcast.ring import Ring

    ring = Ring()
    muxer = {"mpegts": TsMuxer, "rtmp": RtmpMuxer}[container](ring, clip.tracks)
    for track, dts, pts, flags, data in clip.looped():
        at_us = dts * 100 // 9
        if at_us > seconds * 1e6:
            return
        seq = ring.head
        muxer.write_frame(track, dts, pts, flags, data)
        for number in range(seq, ring.head):
            yield at_us, ring.read(number)
