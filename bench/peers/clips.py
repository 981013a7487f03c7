"""The clip as the participants need it, and how many bytes each muxer makes of it."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.build import OUTPUT
from bench.clip import SECONDS, Clip, clip_path, muxed, read_clip, write_trace

GST_SECONDS = 120
CONTAINERS = {"rtmp": "rtmp", "udp": "mpegts", "srt": "mpegts"}
GRID_US = 20_000


@dataclass(frozen=True)
class Rates:
    """Bytes a second of each "protocol/muxer", and the leanest stretches of the clip."""

    bytes_per_s: dict[str, float]
    _lap: np.ndarray[tuple[int], np.dtype[np.float64]]  # share of a lap's bytes in each piece of GRID_US

    def nominal(self, protocol: str, muxer: str) -> float:
        return self.bytes_per_s[f"{protocol}/{muxer}"]

    def leanest(self, stretch_s: float) -> float:
        """The least that any stretch of this length has of its share of the bytes: 1 for whole laps, else below."""
        pieces = max(1, round(stretch_s * 1e6 / GRID_US))
        laps = -(-pieces // len(self._lap)) + 1
        sums = np.concatenate(([0.0], np.cumsum(np.tile(self._lap, laps))))
        return float((sums[pieces:] - sums[:-pieces]).min() * len(self._lap) / pieces)


def ffmpeg_clip() -> Path:
    """The clip as ffmpeg plays it with least work for those behind it.

    Matroska, because tee hands an mp4's codec tags on and the flv muxer refuses them.  Sound 80 ms late: with two
    B-frames ffmpeg's -re lets pictures go two frames later than sound of the same time, so they reach a server apart,
    some 90 bursts a second.  Together they are 50, and nginx-rtmp, which sends what it gets at once, needs a quarter
    less CPU.
    """
    sound_late = ["-itsoffset", "0.08", "-i", str(clip_path()), "-map", "0:v", "-map", "1:a"]
    return _remuxed("clip-sound-late.mkv", "-i", str(clip_path()), *sound_late)


def gst_clip() -> Path:
    """The clip twelve times over, for a player that cannot loop."""
    laps = GST_SECONDS // SECONDS
    return _remuxed(f"clip-{GST_SECONDS}s.mp4", "-stream_loop", str(laps - 1), "-i", str(clip_path()))


def _remuxed(name: str, *source: str) -> Path:
    path = OUTPUT / name
    if not path.exists():
        fresh = path.with_stem(f"{path.stem}.new")
        subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *source, "-c", "copy", str(fresh)], check=True)
        fresh.replace(path)
    return path


def rates(clip: Clip, gst_to_file: list[str], gst_file: Path) -> Rates:
    """Measure every muxer on the clip.  ``gst_to_file`` writes GStreamer's bytes of GST_SECONDS to ``gst_file``."""
    own = {name: sum(len(data) for _, data in muxed(clip, name, 2 * SECONDS)) for name in ("rtmp", "mpegts")}
    lap = np.zeros(SECONDS * 1_000_000 // GRID_US)
    for at_us, data in muxed(clip, "rtmp", SECONDS):
        if at_us < SECONDS * 1_000_000:
            lap[at_us // GRID_US] += len(data)
    subprocess.run(gst_to_file, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    gstreamer = gst_file.stat().st_size / GST_SECONDS
    with tempfile.TemporaryDirectory() as folder:
        ffmpeg = _ffmpeg_ts_bytes(Path(folder) / "clip.ts") / GST_SECONDS
    bytes_per_s = {
        "rtmp/own": own["rtmp"] / (2 * SECONDS),
        "rtmp/ffmpeg": own["rtmp"] / (2 * SECONDS),  # the same FLV bodies; chunk headers differ by less than 0.1 %
    }
    for protocol in ("udp", "srt"):
        bytes_per_s |= {f"{protocol}/own": own["mpegts"] / (2 * SECONDS), f"{protocol}/ffmpeg": ffmpeg}
    return Rates({**bytes_per_s, "udp/gstreamer": gstreamer}, lap / lap.sum())


def _ffmpeg_ts_bytes(path: Path) -> int:
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(gst_clip()), "-c", "copy", "-f", "mpegts"]
    subprocess.run([*command, str(path)], check=True)
    return path.stat().st_size


def traces(folder: Path, seconds: float) -> dict[str, Path]:
    """The engine's own bytes of each protocol, for the floors."""
    clip = read_clip(clip_path())
    paths = {container: folder / f"{container}.trace" for container in set(CONTAINERS.values())}
    for container, path in paths.items():
        write_trace(path, muxed(clip, container, seconds))
    return {protocol: paths[container] for protocol, container in CONTAINERS.items()}
