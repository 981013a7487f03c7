"""User and password at an RTMP server, as Adobe's and Limelight's servers ask for them.

No standard has it.  A server refuses ``connect`` and says in the words of its refusal how to go on; each round is a
connection of its own, whose application and tcUrl carry what the server asked for as a query:

1. nothing -> ``authmod=adobe`` (or ``llnw``) in the refusal
2. authmod and user -> ``?reason=needauth`` with a challenge
3. the answer to the challenge -> accepted, or ``?reason=authfailed`` and the like, which is final; or
   ``?reason=needauth`` with another challenge, as the first one was too old by then: that is answered too, once

The password itself never travels.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field

from pushcast.errors import Rejected, Retry

MAX_WORD_CHARS = 512
# To challenges of one connect.  Servers lock users out whose answers are wrong again and again.
MAX_ANSWERS = 2

_MODE = re.compile(r"authmod=(adobe|llnw)\b")
_REASON = re.compile(r"\?reason=([A-Za-z]+)((?:&[^&\s\]]*)*)")
_REFUSALS = {
    "authfailed": "the password is wrong",
    "nosuchuser": "it knows no such user",
    "needauth": "it takes no answer and asks again",
}


class AuthenticationFailed(Rejected):
    """The server does not take this user or password: only other ones help."""

    code = "authentication"
    retry = Retry.NEVER


@dataclass(frozen=True, slots=True)
class Credentials:
    user: str
    password: str = field(repr=False)


class Authentication:
    """The rounds of one connect.  ``query`` goes behind application and tcUrl, empty in the first round."""

    def __init__(
        self, credentials: Credentials | None, random: Callable[[], str] = lambda: secrets.token_hex(4)
    ) -> None:
        self.query = ""
        self._credentials = credentials
        self._random = random
        self._mode = ""
        self._answered: list[dict[str, str]] = []

    def go_on(self, app: str, words: str) -> bool:
        """Whether the words of a refusal ask for another round; ``query`` is what that says.

        :raises AuthenticationFailed: they are the end.
        """
        mode, reason = _MODE.search(words), _REASON.search(words)
        if mode is None and reason is None:
            return False
        if self._credentials is None:
            raise AuthenticationFailed(
                "connect: the server asks for a user and a password: rtmp://user:password@host/app"
            )
        if reason is None and mode is not None and not self._mode:
            self._mode = mode[1]
            self.query = f"authmod={self._mode}&user={self._credentials.user}"
            return True
        asked = _options(reason[2]) if reason is not None and reason[1] == "needauth" else None
        if asked is not None and self._mode and asked not in self._answered and len(self._answered) < MAX_ANSWERS:
            self._answered.append(asked)
            self.query = self._answer(app, asked)
            return True
        why = reason[1] if reason is not None else "authfailed"
        raise AuthenticationFailed(f"connect: the server refuses user and password: {_REFUSALS.get(why, why[:40])}")

    def _answer(self, app: str, asked: dict[str, str]) -> str:
        assert self._credentials is not None
        user, password = self._credentials.user, self._credentials.password
        own = self._random()
        if self._mode == "adobe":
            challenge, opaque = asked.get("challenge", ""), asked.get("opaque", "")
            secret = _b64md5(f"{user}{asked.get('salt', '')}{password}")
            response = _b64md5(f"{secret}{opaque or challenge}{own}")
            more = f"&opaque={opaque}" if opaque else ""
            return f"authmod=adobe&user={user}&challenge={own}&response={response}{more}"
        nonce = asked.get("nonce", "")
        path = app.partition("?")[0]
        path = path if "/" in path else f"{path}/_definst_"
        h1, h2 = _hex(f"{user}:live:{password}"), _hex(f"publish:/{path}")
        response = _hex(f"{h1}:{nonce}:00000001:{own}:auth:{h2}")
        return f"authmod=llnw&user={user}&nonce={nonce}&cnonce={own}&nc=00000001&response={response}"


def _options(query: str) -> dict[str, str]:
    """Of a server's query; what is too long for any challenge is left out."""
    pairs = (option.partition("=") for option in query.split("&"))
    return {name: value for name, _, value in pairs if name and len(value) <= MAX_WORD_CHARS}


def _b64md5(text: str) -> str:
    return b64encode(hashlib.md5(text.encode(), usedforsecurity=False).digest()).decode()


def _hex(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
