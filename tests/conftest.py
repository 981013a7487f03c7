"""Fixtures of the tests of the command line that speak to a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_server import TOKEN, ApiServer, api_server, environment


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with api_server() as server:
        yield server


@pytest.fixture
def variables(api: ApiServer, tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path, PUSHCAST_URL=api.url, PUSHCAST_TOKEN=TOKEN)
