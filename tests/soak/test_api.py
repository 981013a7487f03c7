"""Half a minute of what tests/test_api_hammer.py does for seconds."""

from __future__ import annotations

from pathlib import Path

from test_api_hammer import consistent_after

SECONDS = 30.0


def test_ten_clients_and_five_ids(tmp_path: Path) -> None:
    consistent_after(SECONDS, tmp_path)
