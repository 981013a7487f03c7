"""Admission webhook: a control server is asked who may publish, in the words of OvenMediaEngine's AdmissionWebhooks.

One POST of JSON when a publisher comes (``opening``), one when he has gone (``closing``).  ``X-OME-Signature`` is the
body's HMAC-SHA1 under the shared secret, in base64url without padding.  Whoever gives no valid answer in time has not
allowed it.

The body holds the publisher's URL with its query, and so with his keys, because the server decides by them; none of it
is ever shown here, nor is more of the server's own URL than its host.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import orjson

from pushcast.log import logger, printable

_log = logger("ingest.webhook")

# An answer has four short members.
MAX_ANSWER_BYTES = 64 * 1024
MAX_REASON_CHARS = 200
# Connects to the control server at once; more of a crowd stands in line, each within its own time.
CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Opening:
    """Who wants to publish what; ``url`` is as he named it, with its query.  ``protocol``: ``RTMP`` or ``SRT``."""

    protocol: str
    url: str = field(repr=False)
    address: str
    port: int
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the server said.  ``reason`` can be shown; ``lifetime_s`` 0: as long as he likes."""

    allowed: bool
    reason: str = ""
    new_url: str = field(default="", repr=False)
    lifetime_s: float = 0.0


class Webhook:
    """One control server.  ``timeout_s``: for all of a question, from the connect to the answer's last byte."""

    def __init__(self, url: str, secret: str, timeout_s: float = 3.0) -> None:
        self._url = url
        self._secret = secret.encode()
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def opening(self, opening: Opening) -> Verdict:
        """Ask whether he may publish.  What gives no valid answer is a refusal with a reason."""
        try:
            return _verdict(await self._post(opening, "opening"))
        except _NoAnswer as error:
            _log.warning("%s: %s", self._shown, error)
            return Verdict(False, f"the admission webhook gave no answer: {error}")

    async def closing(self, opening: Opening) -> None:
        """Tell that he has gone; the answer does not count."""
        try:
            await self._post(opening, "closing")
        except _NoAnswer as error:
            _log.warning("%s: not told of a publisher that left: %s", self._shown, error)

    async def close(self) -> None:
        """Let the connections go.  Questions under way end without an answer."""
        if self._session is not None:
            await self._session.close()

    @property
    def _shown(self) -> str:
        return f"webhook {urlsplit(self._url).hostname}"

    async def _post(self, opening: Opening, status: Literal["opening", "closing"]) -> Any:
        body = orjson.dumps(_question(opening, status))
        signature = base64.urlsafe_b64encode(hmac.digest(self._secret, body, hashlib.sha1)).rstrip(b"=")
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "X-OME-Signature": signature.decode(),
        }
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=CONNECTIONS)
            # The server's cookies are of no use, and its certificate must be good.
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise _NoAnswer(f"status {response.status}, expected 200")
                return await _read_json(response)
        except TimeoutError:
            raise _NoAnswer(f"nothing within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            # Their texts may quote the URL.
            raise _NoAnswer(type(error).__name__) from None


class _NoAnswer(Exception):
    """There is none that counts; str() can be shown."""


def _question(opening: Opening, status: str) -> dict[str, Any]:
    client: dict[str, Any] = {"address": opening.address, "port": opening.port, "real_ip": opening.address}
    if opening.user_agent:
        client["user_agent"] = opening.user_agent
    request = {
        "direction": "incoming",
        "protocol": opening.protocol,
        "status": status,
        "url": opening.url,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return {"client": client, "request": request}


async def _read_json(response: aiohttp.ClientResponse) -> Any:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise _NoAnswer(f"more than {MAX_ANSWER_BYTES} bytes")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _NoAnswer("what it said is not JSON") from None


def _verdict(answer: Any) -> Verdict:
    if not isinstance(answer, Mapping) or not isinstance(answer.get("allowed"), bool):
        raise _NoAnswer('expected an object with "allowed", true or false')
    reason, new_url, lifetime_ms = (answer.get(name) for name in ("reason", "new_url", "lifetime"))
    return Verdict(
        answer["allowed"],
        printable(reason[:MAX_REASON_CHARS]) if isinstance(reason, str) else "",
        new_url if isinstance(new_url, str) else "",
        # true is a number to Python, and no lifetime.
        lifetime_ms / 1000
        if isinstance(lifetime_ms, int) and not isinstance(lifetime_ms, bool) and lifetime_ms > 0
        else 0,
    )
