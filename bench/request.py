"""HTTP requests to the API as bytes, and where an answer ends: a client that costs next to nothing."""

from __future__ import annotations

import asyncio
import base64

from bench.served import TOKEN

AUTHORIZATION = "Basic " + base64.b64encode(TOKEN.encode()).decode()
_LENGTH = b"content-length:"


def request(path: str, body: str = "") -> bytes:
    """A request on a connection that stays open; with a body it is a POST."""
    method = "POST" if body else "GET"
    content = f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {AUTHORIZATION}\r\n{content}\r\n"
    return (head + body).encode()


def read_answer(received: bytearray) -> bytes:
    """Take the first whole answer's body out of what was received; empty while it is not whole.

    RuntimeError for any status but 200.
    """
    head_bytes = received.find(b"\r\n\r\n")
    if head_bytes < 0:
        return b""
    head = bytes(received[:head_bytes]).lower()
    if not head.startswith(b"http/1.1 200 "):
        raise RuntimeError(bytes(received[:500]).decode(errors="replace"))
    at = head.index(_LENGTH) + len(_LENGTH)
    length = int(head[at : head.find(b"\r\n", at) if b"\r\n" in head[at:] else len(head)])
    end = head_bytes + 4 + length
    if len(received) < end:
        return b""
    body = bytes(received[head_bytes + 4 : end])
    del received[:end]
    return body


async def next_answer(reader: asyncio.StreamReader, received: bytearray) -> bytes:
    """The body of the next whole answer; empty when the server closed.  What came behind it stays in ``received``."""
    while not (answer := read_answer(received)):
        more = await reader.read(65536)
        if not more:
            break
        received += more
    return answer
