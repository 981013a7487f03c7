"""Request bodies and envelopes: JSON in, JSON out.

OvenMediaEngine reads JSON with jsoncpp, which takes more than RFC 8259 allows: comments, a comma before a closing
bracket and anything after the root value.  Clients rely on it, so a body that orjson refuses gets a second, lenient
reading here; what that refuses too is answered in jsoncpp's words, with line and column.

An empty body is ``null``, and ``null`` is an object without members.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import orjson

from pushcast.errors import InvalidRequest

# The lenient reading runs in Python on the event loop, some us for each token; push requests have some hundred bytes.
LENIENT_LIMIT_BYTES = 8 << 10
# Two Python frames for each level stay well below the interpreter's limit of 1000.
DEPTH_LIMIT = 200

Json = dict[str, Any] | list[Any] | str | int | float | bool | None


def envelope(status: int, message: str, response: object = None) -> bytes:
    """The body of every answer, in the order of the documentation; without ``response`` when there is none."""
    body: dict[str, object] = {"statusCode": status, "message": message}
    if response is not None:
        body["response"] = response
    return orjson.dumps(body)


def read_json(body: bytes) -> Json:
    """The value of a request body.  :raises InvalidRequest: it is not JSON, in jsoncpp's words."""
    if not body:
        return None
    try:
        return orjson.loads(body)  # type: ignore[no-any-return]
    except orjson.JSONDecodeError as error:
        if len(body) > LENIENT_LIMIT_BYTES:
            raise InvalidRequest(_sentence(body[: error.pos].decode(errors="replace"), "Syntax error")) from None
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        where = body[: error.start].decode()
        raise InvalidRequest(_sentence(where, "Syntax error: the body is not UTF-8.")) from None
    return _Reader(text).read()


def members(value: Json) -> dict[str, Any]:
    """The members of a request's root object.  :raises InvalidRequest: the root is neither an object nor null."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest("Request body must be an object")
    return value


def _sentence(before: str, message: str) -> str:
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return f"[JSON] * Line {line}, Column {column}\n  {message}\n"


_SPACE = re.compile(r"(?:[ \t\r\n]+|//[^\r\n]*|/\*(?s:.*?)\*/)*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"', re.DOTALL)
_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None}
_WORD = re.compile("true|false|null")
# CPython refuses to make an int of more than 4300 digits; such a number fits no field of this API.
_INTEGER_DIGITS = 300


class _Reader:
    """One lenient reading of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def read(self) -> Json:
        """The root value; what follows it is ignored."""
        return self._value()

    def _fail(self, message: str) -> NoReturn:
        raise InvalidRequest(_sentence(self._text[: self._at], message))

    def _next(self) -> str:
        """The character that begins the next token, "" at the end."""
        space = _SPACE.match(self._text, self._at)
        if space is not None:
            self._at = space.end()
        return self._text[self._at : self._at + 1]

    def _value(self) -> Json:
        first = self._next()
        if first == '"':
            return self._string()
        if first in {"{", "["}:
            return self._nested(first)
        if word := _WORD.match(self._text, self._at):
            self._at = word.end()
            return _WORDS[word.group()]
        if number := _NUMBER.match(self._text, self._at):
            return self._number(number.group())
        return self._fail("Syntax error: value, object or array expected.")

    def _nested(self, first: str) -> Json:
        if self._depth == DEPTH_LIMIT:
            self._fail("Exceeded stackLimit in readValue().")
        self._depth += 1
        self._at += 1
        value: Json = self._object() if first == "{" else self._array()
        self._depth -= 1
        return value

    def _object(self) -> dict[str, Json]:
        found: dict[str, Json] = {}
        while True:
            first = self._next()
            if first == "}":
                self._at += 1
                return found
            if first != '"':
                self._fail("Missing '}' or object member name")
            name = self._string()
            if self._next() != ":":
                self._fail("Missing ':' after object member name")
            self._at += 1
            found[name] = self._value()
            if self._next() == ",":
                self._at += 1
            elif self._next() != "}":
                self._fail("Missing ',' or '}' in object declaration")

    def _array(self) -> list[Json]:
        found: list[Json] = []
        while True:
            if self._next() == "]":
                self._at += 1
                return found
            found.append(self._value())
            if self._next() == ",":
                self._at += 1
            elif self._next() != "]":
                self._fail("Missing ',' or ']' in array declaration")

    def _string(self) -> str:
        token = _STRING.match(self._text, self._at)
        if token is None:
            self._fail("Syntax error: value, object or array expected.")
        try:
            value = orjson.loads(token.group())
        except orjson.JSONDecodeError:
            self._fail("Bad escape sequence in string")
        self._at = token.end()
        return str(value)

    def _number(self, digits: str) -> int | float:
        if len(digits) > _INTEGER_DIGITS:
            self._fail("a number of more digits than any field holds")
        self._at += len(digits)
        try:
            return int(digits)
        except ValueError:
            return float(digits)
