"""HTTP client of the REST API: one connection for each request, with a deadline, and one for a body without end.

An answer is an envelope ``{"statusCode", "message", "response"}``; the caller gets ``response``.  What goes wrong is
Refused (the server answered) or Unreachable (it did not), each one sentence without token or key.  Redirects are not
followed: the token would go where nobody asked for.
"""

from __future__ import annotations

import base64
import http.client
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import orjson

from pushcast.cli.credentials import AccessToken
from pushcast.cli.failure import Refused, Unreachable
from pushcast.cli.server_url import ServerUrl
from pushcast.log import printable

TIMEOUT_S = 10.0  # to connect, and then for each part of the answer: the server answers from memory
MAX_ANSWER_BYTES = 64 << 20  # a push takes some 800 bytes, so that is more pushes than one server can have
CHUNK_BYTES = 1 << 16

_DECORATED = re.compile(r"\[HTTP\] (.*) \(\d{3}\)", re.DOTALL)
_ELSEWHERE = "--url or PUSHCAST_URL names the server"


class Client:
    """Requests to one server; ``trust`` judges the certificate of an https server, None does so as the system does."""

    def __init__(
        self, server: ServerUrl, token: AccessToken, trust: ssl.SSLContext | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._server = server
        self._token = token
        self._trust = trust
        self._timeout_s = timeout_s

    @property
    def url(self) -> str:
        return self._server.text

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> Any:
        """The ``response`` of the answer, None when it has none; ``path`` is percent-encoded.

        :raises Refused: the status is not 2xx, or the answer is no envelope.  :raises Unreachable: no answer.
        """
        content = orjson.dumps(body) if body is not None else None
        wait_s = timeout_s or self._timeout_s
        with _reaching(self.url, wait_s), closing(self._connection(wait_s)) as connection:
            answer = self._ask(connection, method, path, content, {})
            text = answer.read(MAX_ANSWER_BYTES + 1)
        return self._response(answer.status, text, f"{method} {path}")

    def stream(self, path: str, headers: Mapping[str, bytes]) -> Body:
        """Open an answer without end.  Raises what ``call`` raises; the owner of the Body closes it."""
        connection = self._connection(self._timeout_s)
        try:
            with _reaching(self.url, self._timeout_s):
                connection.connect()
                sock = connection.sock  # the connection may forget it once the answer has begun
                answer = self._ask(connection, "GET", path, None, headers)
                if 200 <= answer.status < 300:
                    _outlast_silence(sock)
                    return Body(self.url, connection, answer)
                text = answer.read(MAX_ANSWER_BYTES + 1)
            self._response(answer.status, text, f"GET {path}")
        except BaseException:
            connection.close()
            raise
        raise AssertionError("an answer whose status is not 2xx is a refusal")

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        host, port = self._server.host, self._server.port
        if self._server.tls:
            return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=self._trust)
        return http.client.HTTPConnection(host, port, timeout=timeout_s)

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        content: bytes | None,
        headers: Mapping[str, bytes],
    ) -> http.client.HTTPResponse:
        sent: dict[str, str | bytes] = {"Accept": "application/json, text/event-stream", **headers}
        if content is not None:
            sent["Content-Type"] = "application/json"
        if self._token.secret:
            secret = self._token.secret.encode(errors="surrogateescape")  # any bytes, as the command line had them
            sent["Authorization"] = b"Basic " + base64.b64encode(secret)
        connection.request(method, self._server.prefix + path, content, sent)
        return connection.getresponse()

    def _response(self, status: int, text: bytes, request: str) -> Any:
        try:
            envelope = orjson.loads(text) if len(text) <= MAX_ANSWER_BYTES else None
        except orjson.JSONDecodeError:
            envelope = None
        message = envelope.get("message") if isinstance(envelope, dict) else None
        if not isinstance(envelope, dict) or not isinstance(message, str):
            raise Refused(
                f"{self.url}: found an answer with status {status} that is not the API's, allowed: a pushcast server "
                f"({_ELSEWHERE})"
            )
        if 200 <= status < 300:
            return envelope.get("response")
        said = undecorated(message)
        if status == 401:
            said += f" ({self._token.origin})"
        elif said == "Controller not found":
            said += f" (this server does not know {request})"
        raise Refused(said)


class Body:
    """The body of an answer without end."""

    def __init__(self, url: str, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        self._url = url
        self._connection = connection
        self._answer = answer

    def read(self) -> bytes:
        """What has come, at least one byte; waits for it.  Empty at the end.  :raises Unreachable: it broke."""
        with _reaching(self._url, 0):
            return self._answer.read1(CHUNK_BYTES)

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


def undecorated(message: str) -> str:
    """``[HTTP] <text> (<status>)`` without its frame, on one line."""
    framed = _DECORATED.fullmatch(message)
    return printable(" ".join((framed[1] if framed else message).split()))


@contextmanager
def _reaching(url: str, timeout_s: float) -> Iterator[None]:
    """Puts what can fail on the way to the server and back into words."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        reason = f"its certificate is not trusted, {error.verify_message}"
        raise _unreachable(url, reason, "--ca names the file of the authority that signed it") from error
    except ssl.SSLError as error:
        reason = (error.reason or "TLS failed").replace("_", " ").lower()
        raise _unreachable(url, reason, "the URL of a server without TLS begins with http://") from error
    except TimeoutError as error:
        raise _unreachable(url, f"no answer in {timeout_s:g} s", _ELSEWHERE) from error
    except http.client.RemoteDisconnected as error:
        raise _unreachable(url, "it closed the connection without an answer", _ELSEWHERE) from error
    except http.client.IncompleteRead as error:
        raise _unreachable(url, "its answer broke off", _ELSEWHERE) from error
    except http.client.HTTPException as error:
        advice = f"with TLS its URL begins with https://; {_ELSEWHERE}"
        raise _unreachable(url, "it does not speak HTTP", advice) from error
    except UnicodeError as error:
        raise _unreachable(url, "that is no host name", _ELSEWHERE) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise _unreachable(url, reason, f'is "pushcast serve" running there? {_ELSEWHERE}') from error


def _unreachable(url: str, reason: str, advice: str) -> Unreachable:
    return Unreachable(f"{url} cannot be reached: {reason} ({advice})")


def _outlast_silence(sock: socket.socket) -> None:
    """A stream may be silent for hours: no deadline, but the kernel asks twice a minute whether the peer is there."""
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
