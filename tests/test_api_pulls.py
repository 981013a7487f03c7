"""Making and ending streams through the API: requests, their texts, and what ends when it is deleted."""

from __future__ import annotations

import asyncio
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest
from live import LiveStream, until, within

from pushcast.api.pulls import create_stream, delete_stream, read_pull
from pushcast.errors import Conflict, InvalidRequest, NotFound
from pushcast.ingest.gate import Gate
from pushcast.ingest.pull import Pulls, PullSettings
from pushcast.ingest.rtmp import RtmpIngest
from pushcast.source import Clock
from pushcast.stream import Registry

URL = "tcp://10.1.2.3:7001"


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.flv"
    source = ["-f", "lavfi", "-i", "testsrc2=size=176x96:rate=25", "-f", "lavfi", "-i", "sine=frequency=700"]
    code = ["-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac"]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *source, *code, str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path


@pytest.fixture
def registry() -> Registry:
    return Registry({"v": ["a"]}, Clock())


BAD_REQUESTS: list[tuple[Any, str]] = [
    (None, "Stream name or urls is required"),
    ({}, "Stream name or urls is required"),
    ({"name": "s"}, "Stream name or urls is required"),
    ({"urls": [URL]}, "Stream name or urls is required"),
    ({"name": 5, "urls": [URL]}, "Stream name or urls is required"),
    ({"name": "s", "urls": URL}, "Stream name or urls is required"),
    ({"name": "s", "urls": []}, "Urls must be at least one"),
    ({"name": "s", "urls": [URL, None]}, "Url must be a string"),
    ({"name": "s", "urls": [URL] * 17}, "Urls must be at most 16"),
    ([], "Request body must be an object"),
    ("s", "Request body must be an object"),
    ({"name": "", "urls": [URL]}, "Stream name must be 1 to 128 characters, none of them a space or / : ? # % \\"),
    ({"name": "a/b", "urls": [URL]}, "Stream name must be 1 to 128 characters, none of them a space or / : ? # % \\"),
    ({"name": "s", "urls": ["tcp://h"]}, "Url cannot be pulled: it names no port"),
    ({"name": "s", "urls": [URL, "file:///etc/passwd"]}, "Url cannot be pulled: files may not be pulled here"),
]


@pytest.mark.parametrize(("body", "text"), BAD_REQUESTS)
def test_requests_that_are_refused(body: Any, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_pull(body, None)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("properties", "settings"),
    [
        (None, PullSettings((URL,), persistent=False, no_input_s=3, unused_s=60, retry_count=2)),
        ([], PullSettings((URL,))),
        (
            {"persistent": True, "retryCount": 0, "unusedStreamDeletionTimeoutMs": 9},
            PullSettings((URL,), persistent=True, unused_s=math.inf, retry_count=0),
        ),
        ({"persistent": 1, "retryCount": True, "noInputFailoverTimeoutMs": "9"}, PullSettings((URL,))),
        ({"noInputFailoverTimeoutMs": 0, "unusedStreamDeletionTimeoutMs": -1, "retryCount": -3}, PullSettings((URL,))),
        (
            {"noInputFailoverTimeoutMs": 4500, "unusedStreamDeletionTimeoutMs": 90_500, "retryCount": 7, "other": 1},
            PullSettings((URL,), no_input_s=4.5, unused_s=90.5, retry_count=7),
        ),
        ({"noInputFailoverTimeoutMs": 10**9, "ignoreRtcpSRTimestamp": True}, PullSettings((URL,), no_input_s=600)),
    ],
)
def test_properties(properties: Any, settings: PullSettings) -> None:
    body = {"name": "säng", "urls": [f" {URL}\n"], "properties": properties}
    assert read_pull(body, None) == ("säng", settings)


async def test_made_and_deleted(registry: Registry, clip: Path) -> None:
    pulls = Pulls(registry, clip.parent)
    body = {"name": "s", "urls": [f"file://{clip}?loop=1"]}
    await within(create_stream(pulls, "v", "a", body), 10)
    stream = registry.get("v", "a", "s")
    assert stream is not None
    with pytest.raises(Conflict, match=r"^Stream already exists$"):
        await create_stream(pulls, "v", "a", body)
    await within(delete_stream(registry, pulls, "v", "a", "s"))
    assert stream.ended.is_set()
    assert registry.get("v", "a", "s") is None
    with pytest.raises(NotFound, match=r"Could not find the stream: \[v/#v#a/s\]"):
        await delete_stream(registry, pulls, "v", "a", "s")
    await within(create_stream(pulls, "v", "a", body), 10)
    await pulls.close()
    assert registry.get("v", "a", "s") is None


async def test_a_configured_source_is_ended_for_good(registry: Registry, clip: Path) -> None:
    pulls = Pulls(registry)
    pulls.keep(("v", "a", "clip"), PullSettings((f"file://{clip}?loop=1",), retry_count=math.inf))
    await until(lambda: registry.get("v", "a", "clip"))
    both = (delete_stream(registry, pulls, "v", "a", "clip"), delete_stream(registry, pulls, "v", "a", "clip"))
    await within(asyncio.gather(*both))
    assert registry.get("v", "a", "clip") is None
    with registry.reserve("v", "a", "clip"):
        pass


async def test_a_publisher_is_disconnected(registry: Registry, clip: Path) -> None:
    pulls = Pulls(registry)
    ingest = RtmpIngest(registry, Gate(registry, {}), "127.0.0.1", 0)
    await ingest.start()
    url = f"rtmp://127.0.0.1:{ingest.port}/a/cam"
    command = ["ffmpeg", "-nostdin", "-v", "quiet", "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy"]
    publisher = await asyncio.create_subprocess_exec(*command, "-f", "flv", url)
    try:
        await until(lambda: registry.get("v", "a", "cam"), 10)
        await within(delete_stream(registry, pulls, "v", "a", "cam"))
        assert registry.get("v", "a", "cam") is None
        assert await within(publisher.wait(), 10) != 0
        with registry.reserve("v", "a", "cam"):
            pass
    finally:
        if publisher.returncode is None:
            publisher.kill()
            await publisher.wait()
        await ingest.close()


async def test_a_stream_that_nothing_can_end(registry: Registry) -> None:
    live = LiveStream(registry)
    live.up()
    with pytest.raises(Conflict, match="Could not terminate the stream"):
        await delete_stream(registry, Pulls(registry), "v", "a", "s")
    assert registry.get("v", "a", "s") is live.stream
