"""The demo's side of the REST API: plain HTTP, as any user's script would speak it."""

from __future__ import annotations

import asyncio
import base64
import http.client
from typing import Any

import orjson

from pushcast.errors import EngineError

TIMEOUT_S = 5.0


class Client:
    """Speaks to one app of one server."""

    def __init__(self, port: int, access_token: str, vhost: str, app: str) -> None:
        self._port = port
        self._path = f"/v1/vhosts/{vhost}/apps/{app}"
        self._headers = {"Authorization": "Basic " + base64.b64encode(access_token.encode()).decode()}

    async def call(self, action: str, body: dict[str, Any] | None = None) -> Any:
        """``POST ...:action``; the answer's ``response``.  :raises EngineError: no answer, or not status 200."""
        return await asyncio.to_thread(self._call, action, body)

    def _call(self, action: str, body: dict[str, Any] | None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", f"{self._path}:{action}", orjson.dumps(body or {}), self._headers)
            answer = connection.getresponse()
            envelope = orjson.loads(answer.read())
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
            raise EngineError(f"the API at port {self._port} did not answer {action}: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise EngineError(f"the API refused {action}: {envelope.get('message')}")
        return envelope.get("response")
