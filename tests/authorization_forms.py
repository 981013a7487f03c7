"""What may stand in an Authorization header, and what is said of it."""

from __future__ import annotations

import base64

TOKEN = "user:pa:ss wörd"
OTHER = "another-token-that-reads"
REQUIRED = "Authorization header is required to call API"


def basic(token: str | bytes) -> str:
    return "Basic " + base64.b64encode(token.encode() if isinstance(token, str) else token).decode()


RIGHT = basic(TOKEN).removeprefix("Basic ")

REFUSED = [
    (None, REQUIRED),
    ("", REQUIRED),
    ("  ", REQUIRED),
    (" \t", REQUIRED),
    ("Basic", "Invalid authorization header"),
    (f"Basic {RIGHT} more", "Invalid authorization header"),
    (f"Basic  {RIGHT}", "Invalid authorization header"),
    (RIGHT, "Invalid authorization header"),
    (f"Bearer {RIGHT}", "Not supported credential type: Bearer"),
    ("basicx abc", "Not supported credential type: basicx"),
    ("Basic ab$c", "Invalid credential format"),
    ("Basic abcde", "Invalid credential format"),
    ("Basic \u00fc\u00fc\u00fc\u00fc", "Invalid credential format"),
    ("Basic ====", "Invalid credential format"),
    (basic("wrong"), "Invalid credential"),
    (basic(TOKEN + "x"), "Invalid credential"),
    (basic(TOKEN[:-1]), "Invalid credential"),
    (basic(OTHER[1:]), "Invalid credential"),
    (basic("user"), "Invalid credential"),
]

# Of TOKEN.
ADMITTED = [basic(TOKEN), f"bAsIc {RIGHT}", f" Basic {RIGHT} ", f" Basic {RIGHT}\t"]
