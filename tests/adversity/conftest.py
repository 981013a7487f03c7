"""The clip that the tests of this folder publish, made once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from serving import make_clip

GOP_S = 1.0


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds at 2.5 Mbit/s with a keyframe each second, and B-frames."""
    video = "-c:v libx264 -preset ultrafast -bf 2 -g 25 -keyint_min 25 -sc_threshold 0 -pix_fmt yuv420p"
    rate = " -b:v 2500k -minrate 2500k -maxrate 2500k -bufsize 1250k -nal-hrd cbr"
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.flv", 6, video=video + rate)
