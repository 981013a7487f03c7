"""``pushcast stream``: what is shown of a stream, and of its outputs where they are others."""

from __future__ import annotations

from typing import Any

import pytest
from cli_server import APP, ApiServer, pushcast


def track(number: int, name: str) -> dict[str, Any]:
    video = {"codec": "H264", "width": 640, "height": 360, "framerate": 25.0, "bitrate": 800_000}
    return {"id": number, "name": name, "type": "Video", "video": video}


@pytest.mark.parametrize(
    ("outputs", "shown"),
    [
        ([{"name": "cam", "tracks": [track(256, "Video"), {"id": 257, "name": "Audio"}]}], []),
        ([{"name": "cam", "tracks": [track(0, "Video")]}], ["output cam", "0 Video"]),
        (
            [{"name": "cam_hd", "tracks": [track(0, "fhd")]}, {"name": "cam_x", "tracks": []}],
            ["output cam_hd", "0 fhd"],
        ),
    ],
)
def test_show(variables: dict[str, str], api: ApiServer, outputs: list[dict[str, Any]], shown: list[str]) -> None:
    audio = {"codec": "AAC", "samplerate": 48000, "channel": 2, "bitrate": 64_000, "language": "deu"}
    tracks = [track(256, "Video"), {"id": 257, "name": "Audio", "type": "Audio", "audio": audio}]
    source = {"sourceType": "Srt", "sourceUrl": "srt://192.0.2.7:4000/app/cam", "tracks": tracks}
    api.on(f"{APP}/streams/cam", {"name": "cam", "input": source, "outputs": outputs})
    answer = pushcast(variables, "stream", "show", "cam")
    assert (answer.returncode, answer.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in answer.stdout.splitlines()]
    assert "256 Video Video H264 640x360 25 fps 800 kbit/s" in lines
    assert "257 Audio Audio AAC 48000 Hz 2 ch deu 64 kbit/s" in lines
    found = [line for line in lines if line.startswith(("output", "0 "))]
    assert [line.split(" Video H264")[0] for line in found][: len(shown)] == shown
    assert len([line for line in found if line.startswith("output")]) == (len(outputs) if shown else 0)
