"""Three renditions and a common audio, published apart, leave as one stream whose equal stamps are equal times."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import av
from serving import Process, free_port, port_bound, serving, until

from interop.packets import essence
from interop.test_mpegts import record_srt

SIZES = {"fhd": "640x360", "hd": "480x270", "sd": "320x180"}
CLIP_S = 6
CONFIG = """
[[vhosts]]
name = "default"
[[vhosts.apps]]
name = "app"
[[vhosts.apps.output_profiles]]
name = "named"
output_stream_name = "${OriginStreamName}_out"
[[vhosts.apps.output_profiles.videos]]
name = "picture"
[[vhosts.apps.output_profiles.audios]]
name = "sound"
[[multiplex]]
name = "abr"
align = "timestamps"
""" + "".join(
    f'[[multiplex.inputs]]\nstream = "{name}_out"\n[[multiplex.inputs.tracks]]\ntrack = "picture"\nname = "{name}"\n'
    for name in SIZES
)
SOUND = """
[[multiplex.inputs]]
stream = "common_out"
[[multiplex.inputs.tracks]]
track = "sound"
language = "deu"
"""


def make_renditions(path: Path) -> Path:
    """One transport stream whose pictures all have the same times."""
    inputs = [each for size in SIZES.values() for each in ("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25")]
    maps = [each for number in range(len(SIZES) + 1) for each in ("-map", str(number))]
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    sound = ["-f", "lavfi", "-i", "sine=f=440:r=48000"]
    subprocess.run(["ffmpeg", "-v", "error", *inputs, *sound, *maps, "-t", str(CLIP_S), *encode, str(path)], check=True)
    return path


def times_of(path: Path) -> list[dict[str, float]]:
    """Of each stream, the PTS in ms of every packet by the hash of what it holds."""
    with av.open(str(path)) as container:
        found: list[dict[str, float]] = [{} for _ in container.streams]
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                units = essence(packet.stream.codec_context.name, bytes(packet))
                digest = hashlib.md5(b"|".join(units)).hexdigest()
                found[packet.stream_index][digest] = packet.pts * float(packet.time_base) * 1000
    return found


def test_renditions_of_one_encoder_and_their_audio(tmp_path: Path) -> None:
    clip = make_renditions(tmp_path / "renditions.ts")
    port = free_port()
    recorder = record_srt(port, tmp_path / "abr.ts", tmp_path / "recorder.log")
    try:
        until("the recorder listens", lambda: port_bound(port))
        with serving(tmp_path, extra=CONFIG + SOUND) as served:
            served.start("abr", "srt", f"srt://127.0.0.1:{port}", stream="abr")
            outs: list[str] = []
            for number, name in enumerate([*SIZES, "common"]):
                url = f"rtmp://127.0.0.1:{served.rtmp_port}/app/{name}"
                outs += ["-map", f"0:{number}", "-c", "copy", "-f", "flv", url]
            encoder = Process(["ffmpeg", "-v", "warning", "-re", "-i", str(clip), *outs], tmp_path / "encoder.log")
            served.until_stream("abr")
            shown = served.call("GET", f"{served.app}/streams/abr")[1]["response"]
            assert shown["input"]["sourceType"] == "Multiplex"
            assert [each["name"] for each in shown["outputs"]] == ["abr"], "no profile applies"
            assert [each["name"] for each in shown["outputs"][0]["tracks"]] == [*SIZES, "sound"]
            origin = served.call("GET", f"{served.app}/streams/hd")[1]["response"]
            assert [(each["name"], each["tracks"][0]["name"]) for each in origin["outputs"]] == [("hd_out", "picture")]
            assert encoder.wait() == 0
            until("the multiplex is over", lambda: served.push("abr")["state"] == "ready")
            encoder.stop()
        assert recorder.wait() == 0
    finally:
        recorder.stop()
    sent, got = times_of(clip), times_of(tmp_path / "abr.ts")
    assert len(got) == len(sent) == len(SIZES) + 1
    distances = []
    for theirs, mine in zip(sent, got, strict=True):
        assert len(mine.keys() & theirs.keys()) > 0.6 * len(theirs), "it begins with the second GOP at the latest"
        distances += [mine[digest] - theirs[digest] for digest in mine.keys() & theirs.keys()]
    assert max(distances) - min(distances) <= 1.0, "in ms, between all tracks: RTMP has whole ones"
