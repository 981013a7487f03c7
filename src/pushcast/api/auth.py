"""HTTP Basic authentication with the access token (RFC 7617, without the split at the colon).

The whole decoded credential is the token, as OvenMediaEngine has it: a token may contain a colon or none.
"""

from __future__ import annotations

import base64
import binascii
import hmac

from pushcast.errors import Unauthorized

REALM = 'Basic realm="OvenMediaEngine"'


def check_authorization(header: str | None, token: bytes) -> None:
    """Let the request pass or refuse it.  ``header`` is the Authorization header's value.

    :raises Unauthorized: with the API's text for each way of being wrong.
    """
    words = header.strip(" \t") if header is not None else ""
    if not words:
        raise Unauthorized("Authorization header is required to call API")
    scheme, space, credential = words.partition(" ")
    if not space or " " in credential:
        raise Unauthorized("Invalid authorization header")
    if scheme.lower() != "basic":
        raise Unauthorized(f"Not supported credential type: {scheme}")
    try:
        given = base64.b64decode(credential, validate=True)
    except (binascii.Error, ValueError):
        raise Unauthorized("Invalid credential format") from None
    if not hmac.compare_digest(given, token):
        raise Unauthorized("Invalid credential")
