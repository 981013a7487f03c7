"""AAC whose channels a program_config_element tells, as ffmpeg makes and reads it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import av
import pytest

from pushcast import aac
from pushcast.media import Codec, Container, FeedKey, Track
from pushcast.source import Clock, Source
from pushcast.tsinput import TsInput


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize(("layout", "channels"), [("quad", 4), ("2.1", 3), ("6.1", 7), ("7.1(wide)", 8), ("3.1", 4)])
def test_channels_go_from_a_file_to_a_transport_stream_and_back(tmp_path: Path, layout: str, channels: int) -> None:
    """In the file the configuration tells them, in the transport stream each frame does."""
    made, sent, beside = tmp_path / "made.mp4", tmp_path / "sent.ts", tmp_path / "beside.ts"
    noise = f"anoisesrc=d=1:r=48000,aformat=channel_layouts={layout}"
    run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", noise, "-c:a", "aac", str(made))
    run("ffmpeg", "-v", "error", "-i", str(made), "-c", "copy", str(beside))
    with av.open(str(made)) as file:
        stream = file.streams.audio[0]
        config = bytes(stream.codec_context.extradata or b"")
        frames = [bytes(packet) for packet in file.demux(stream) if packet.size]
    assert aac.parse_asc(config).channels == channels
    assert aac.parse_asc(config).channel_config == 0
    source = Source(Clock())
    source.set_tracks([Track(1, Codec.AAC, config=config, sample_rate=48000, channels=channels)])
    ring = source.feed(FeedKey(Container.MPEGTS, (1,))).ring
    for number, data in enumerate(frames):
        source.push(1, number * 1920, number * 1920, 1, data)
    bytes_sent = b"".join(map(ring.read, range(ring.tail, ring.head)))
    sent.write_bytes(bytes_sent)
    show = ("-show_entries", "stream=channels,channel_layout", "-of", "json")
    read, wanted = (json.loads(run("ffprobe", "-v", "error", *show, str(path)))["streams"] for path in (sent, beside))
    assert read == wanted
    assert read[0]["channels"] == channels
    decoded = run("ffprobe", "-v", "error", "-show_entries", "frame=channels", "-of", "csv=p=0", str(sent)).split()
    assert len(decoded) >= len(frames) - 1
    assert set(decoded) == {str(channels)}
    taken = TsInput(Source(Clock()))
    taken.take(bytes_sent)
    taken.flush()
    (track,) = taken.tracks
    assert (track.channels, aac.parse_asc(track.config).program_config) == (
        channels,
        aac.parse_asc(config).program_config,
    )
    element = aac.parse_asc(config).program_config
    got = [data for *_, flags, data in taken.source.recent() if not flags & 2]
    assert got == [data if data.startswith(element) else element + data for data in frames]
