"""Some cells of the conformance matrix (`make conformance` runs all): each way in, each kind of refusal."""

from __future__ import annotations

from pathlib import Path

import pytest
from conformance.matrix import CLIPS
from conformance.run import run

CLIP = {clip.name: clip for clip in CLIPS}


@pytest.mark.parametrize(
    ("input", "clip"),
    [("rtmp", "hevc-opus"), ("srt", "avc-latm"), ("file", "av1-flac"), ("mpegts", "avc-mp2")],
)
def test_every_output(input: str, clip: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    wrong = {output: why for output, why in run(input, CLIP[clip], folder).items() if why}
    assert wrong == {}
