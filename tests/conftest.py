"""Fixtures of all tests: the event loop, an engine and peers, and a server for the tests of the command line."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop
from cli_server import TOKEN, ApiServer, api_server, environment
from live import Engine, Peers, engine
from pull_bench import make_media, serving_folder


@pytest.fixture
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest_asyncio.fixture
async def world() -> AsyncIterator[Engine]:
    async with engine() as built:
        yield built


@pytest_asyncio.fixture
async def peers() -> AsyncIterator[Peers]:
    listening = Peers()
    await listening.listen()
    yield listening
    await listening.close()


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with api_server() as server:
        yield server


@pytest.fixture
def variables(api: ApiServer, tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path, PUSHCAST_URL=api.url, PUSHCAST_TOKEN=TOKEN)


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips to pull."""
    return make_media(tmp_path_factory.mktemp("media"))


@pytest.fixture
def web(media: Path) -> Iterator[str]:
    with serving_folder(media) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("pushcast"), "propagate", True)
    caplog.set_level(logging.INFO)
    return caplog
