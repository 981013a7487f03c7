"""A running API and a client that speaks real HTTP to it."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import documented
from live import Kept
from yarl import URL

from pushcast.access import Access, Grant, Role
from pushcast.api import Api
from pushcast.api.cors import Cors
from pushcast.api.services import Services

TOKEN = "labtoken"


def basic(token: str) -> str:
    return "Basic " + base64.b64encode(token.encode()).decode()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Client:
    """Requests to one server; ``authorization`` is the right one unless said otherwise, None sends none."""

    def __init__(self, session: aiohttp.ClientSession, port: int, engine: Kept) -> None:
        self._session = session
        self.port = port
        self.engine = engine

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        authorization: str | None = basic(TOKEN),
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """``body``: bytes or text as they are, None for none, anything else as JSON."""
        sent = dict(headers or {})
        if authorization is not None:
            sent["Authorization"] = authorization
        data = body if isinstance(body, (bytes, str, type(None))) else json.dumps(body)
        url = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)
        async with self._session.request(method, url, data=data, headers=sent) as response:
            answer = Answer(response.status, dict(response.headers), await response.text())
        documented.check(method, path, answer.status, answer.headers, answer.text)
        return answer

    async def post(self, action: str, body: object = None) -> Answer:
        return await self.request("POST", f"/v1/vhosts/v/apps/a:{action}", body)


@contextlib.asynccontextmanager
async def serving(
    apps: dict[str, tuple[str, ...]] | None = None,
    token: str = TOKEN,
    *,
    strict: bool = False,
    tokens: tuple[tuple[str, Grant], ...] = (),
    origins: tuple[str, ...] = (),
) -> AsyncIterator[Client]:
    built = Kept(apps)
    api = Api(
        Services(
            registry=built.registry,
            desired=built.desired,
            fanout=built.fanout,
            events=built.events,
            statistics=built.statistics,
            pulls=built.pulls,
            access=Access([(token, Grant("test", Role.ADMIN)), *tokens]),
            audit=built.audit,
            cors=Cors(origins),
            strict=strict,
        )
    )
    _, port = await api.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(session, port, built)
    finally:
        await api.close()
        await built.close()
