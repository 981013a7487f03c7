"""The admission webhook against a real HTTP server: what is asked, how it is signed, and which answers count."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web

from pushcast.ingest.webhook import MAX_ANSWER_BYTES, Opening, Verdict, Webhook

SECRET = "a shared sëcret"
OPENING = Opening("SRT", "srt://live.example:9999/app/cam?key=swordfish", "192.0.2.7", 40404, "gst")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def control_server(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/admit", handler)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://user:hunter2@127.0.0.1:{runner.addresses[0][1]}/admit?of=us"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def webhook(handler: Handler, timeout_s: float = 5) -> AsyncIterator[Webhook]:
    async with control_server(handler) as url:
        made = Webhook(url, SECRET, timeout_s)
        try:
            yield made
        finally:
            await made.close()


def saying(answer: Any, status: int = 200) -> Handler:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=body, status=status)

    return handler


def hmac_sha1(key: bytes, message: bytes) -> bytes:
    """RFC 2104, word for word."""
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha1(bytes(each ^ 0x36 for each in padded) + message).digest()
    return hashlib.sha1(bytes(each ^ 0x5C for each in padded) + inner).digest()


async def test_what_is_asked_and_how_it_is_signed() -> None:
    asked: list[tuple[dict[str, str], bytes]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append((dict(request.headers), await request.read()))
        return web.json_response({"allowed": True})

    async with webhook(handler) as made:
        assert await made.opening(OPENING) == Verdict(True)
        await made.closing(OPENING)
    for (headers, body), status in zip(asked, ("opening", "closing"), strict=True):
        signature = base64.urlsafe_b64decode(headers["X-OME-Signature"] + "=")
        assert signature == hmac_sha1(SECRET.encode(), body)
        assert "=" not in headers["X-OME-Signature"]
        assert headers["Content-Type"] == "application/json"
        said = json.loads(body)
        assert datetime.fromisoformat(said["request"].pop("time")).tzinfo is not None
        assert said == {
            "client": {"address": "192.0.2.7", "port": 40404, "real_ip": "192.0.2.7", "user_agent": "gst"},
            "request": {
                "direction": "incoming",
                "protocol": "SRT",
                "status": status,
                "url": "srt://live.example:9999/app/cam?key=swordfish",
            },
        }


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ({"allowed": True}, Verdict(True)),
        (
            {"allowed": True, "new_url": "srt://h/app/other", "lifetime": 1500, "reason": "welcome"},
            Verdict(True, "welcome", "srt://h/app/other", 1.5),
        ),
        ({"allowed": False, "reason": "not you\n"}, Verdict(False, r"not you\n")),
        ({"allowed": False, "reason": "x" * 1000}, Verdict(False, "x" * 200)),
        ({"allowed": True, "new_url": 7, "lifetime": "1", "reason": []}, Verdict(True)),
        ({"allowed": True, "lifetime": True}, Verdict(True)),
        ({"allowed": True, "lifetime": -5}, Verdict(True)),
    ],
)
async def test_answers_that_count(answer: Any, verdict: Verdict) -> None:
    async with webhook(saying(answer)) as made:
        assert await made.opening(OPENING) == verdict


EXPECTED = 'expected an object with "allowed", true or false'


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (saying({"allowed": 1}), EXPECTED),
        (saying([True]), EXPECTED),
        (saying({}), EXPECTED),
        (saying(b"{"), "what it said is not JSON"),
        (saying({"allowed": True}, status=201), "status 201, expected 200"),
        (saying({"allowed": True}, status=302), "status 302, expected 200"),
        (saying(b" " * (MAX_ANSWER_BYTES + 1)), f"more than {MAX_ANSWER_BYTES} bytes"),
    ],
)
async def test_answers_that_do_not(handler: Handler, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    async with webhook(handler) as made:
        assert await made.opening(OPENING) == Verdict(False, f"the admission webhook gave no answer: {reason}")
    assert f"webhook 127.0.0.1: {reason}" in caplog.text
    assert "swordfish" not in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_slow_server_holds_nobody_longer_than_it_may() -> None:
    came, leave = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        came.set()
        await leave.wait()
        return web.json_response({"allowed": True})

    async with webhook(handler, timeout_s=0.2) as made:
        verdict = await made.opening(OPENING)
        assert came.is_set()
        assert verdict == Verdict(False, "the admission webhook gave no answer: nothing within 0.2 s")
        leave.set()


async def test_an_answer_that_drips_has_no_more_time() -> None:
    leave = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"allowed"')
        await leave.wait()
        return response

    async with webhook(handler, timeout_s=0.2) as made:
        assert not (await made.opening(OPENING)).allowed
        leave.set()


async def test_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    async with control_server(saying({})) as url:
        pass
    made = Webhook(url, SECRET)
    verdict = await made.opening(OPENING)
    await made.closing(OPENING)
    await made.close()
    assert verdict == Verdict(False, "the admission webhook gave no answer: ClientConnectorError")
    assert "not told of a publisher that left: ClientConnectorError" in caplog.text


async def test_secrets_stand_in_no_repr() -> None:
    shown = repr(OPENING) + repr(Verdict(True, new_url="srt://h/app/other?key=swordfish"))
    assert "swordfish" not in shown
