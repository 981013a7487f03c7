"""The cells: inputs by clips by outputs, and what each must show."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

INPUTS = ("rtmp", "srt", "mpegts", "file")
OUTPUTS = ("rtmp auto", "rtmp always", "rtmp never", "srt", "mpegts tcp", "mpegts udp")


@dataclass(frozen=True)
class Clip:
    """Options of ffmpeg for its video and its audio, "" for none; ``names`` as the page calls them."""

    name: str
    video: str
    audio: str
    names: tuple[str, str]
    inputs: tuple[str, ...] = INPUTS
    more: str = ""  # for ffmpeg, where it writes a transport stream
    container: str = "mp4"


X264 = "-c:v libx264 -preset veryfast -g 25 -bf 2"
X265 = "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=25"
NO_RTMP = ("srt", "mpegts", "file")
NO_TS = ("rtmp", "file")
CLIPS = (
    Clip("avc-aac", X264, "-c:a aac", ("H.264, B-frames", "AAC")),
    Clip("hevc-opus", X265, "-c:a libopus", ("HEVC", "Opus")),
    Clip("av1-flac", "-c:v libsvtav1 -preset 12 -g 25", "-c:a flac", ("AV1", "FLAC"), NO_TS),
    Clip("vp9-mp3", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25", "-c:a libmp3lame", ("VP9", "MP3"), NO_TS),
    Clip("avc-ac3", f"{X264} -r 29.97", "-c:a ac3", ("H.264, 29.97 a second", "AC-3")),
    Clip("avc-eac3", f"{X264} -flags +ildct+ilme", "-c:a eac3", ("H.264, interlaced", "E-AC-3")),
    # In MP4 the two layers of MPEG audio look alike.
    Clip("avc-mp2", f"{X264} -bf 0", "-c:a mp2", ("H.264", "MP2"), NO_RTMP, container="mkv"),
    Clip("avc-mp3", X264, "-c:a libmp3lame", ("H.264", "MP3")),
    Clip("avc", X264, "", ("H.264 alone", "")),
    Clip("aac", "", "-c:a aac", ("", "AAC alone")),
    Clip("avc-latm", X264, "-c:a aac", ("H.264", "AAC in LATM"), ("srt", "mpegts"), "-mpegts_flags latm"),
)

# What an output does not carry, by the clip's codec, and what the push says.
_TS_REFUSES = {"av1": "its mapping to transport streams is a draft"}
_TS_REFUSES |= dict.fromkeys(("vp9", "flac"), "there is no mapping to transport streams")
_PLAIN = ("avc", "aac", "mp3", "latm")


@dataclass(frozen=True)
class Cell:
    """``refused``: by kind, why that track stays behind."""

    input: str
    clip: Clip
    output: str
    refused: dict[str, str]

    @property
    def carried(self) -> tuple[str, ...]:
        kinds = [kind for kind, name in zip(("video", "audio"), self.clip.names, strict=True) if name]
        return tuple(kind for kind in kinds if kind not in self.refused)


def _refusal(codec: str, output: str) -> str:
    shown = {"avc": "H264", "hevc": "HEVC", "av1": "AV1", "vp9": "VP9", "mp2": "MP2"}.get(codec, codec.upper())
    if not output.startswith("rtmp"):
        return _TS_REFUSES.get(codec, "")
    if codec == "mp2":
        return "RTMP has no code for MP2"
    return f"RTMP carries {shown} only when it is enhanced" if output == "rtmp never" and codec not in _PLAIN else ""


def cell(input: str, clip: Clip, output: str) -> Cell:
    """What must be seen of this clip at this output."""
    codecs = clip.name.split("-")
    kinds = ["audio"] if clip.name == "aac" else ["video", "audio"]
    found = {kind: _refusal(codec, output) for kind, codec in zip(kinds, codecs, strict=False)}
    return Cell(input, clip, output, {kind: why for kind, why in found.items() if why})


def cells() -> list[Cell]:
    """All of them."""
    every = product(INPUTS, CLIPS, OUTPUTS)
    return [cell(input, clip, output) for input, clip, output in every if input in clip.inputs]
