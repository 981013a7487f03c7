"""Clips that the interop tests publish, made once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from serving import make_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of FLV: no edit list, so that what a receiver decodes can be compared from the first sample on."""
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.flv", 6)
