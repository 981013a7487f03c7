"""Whether an answer is one that the API's description promises: every test that speaks to the API asks this."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote

import jsonschema_rs

from pushcast.api.openapi import document, resolved

DOCUMENT = document()
ERROR = {"$ref": "#/components/schemas/Error"}


def check(method: str, target: str, status: int, headers: Mapping[str, str], text: str) -> None:
    """``target``: path and query as they were sent.  :raises AssertionError: the answer is not described."""
    path = "/".join(unquote(part).replace("/", "_") for part in target.partition("?")[0].split("/"))
    if method == "OPTIONS":
        assert (status, text) == (204, ""), target
        return
    if path in ("/openapi.json", "/docs") and method in ("GET", "HEAD"):
        assert status == 200, target
        return
    answers = _answers(path, "get" if method == "HEAD" else method.lower())
    known = f"{method} {target}: {status} is not described"
    assert str(status) in answers if answers else status in (400, 401, 404, 413, 429), known
    if method == "HEAD":
        assert text == "", target
        return
    answer = (
        resolved(DOCUMENT, answers[str(status)]) if answers else {"content": {"application/json": {"schema": ERROR}}}
    )
    for name, described in answer.get("headers", {}).items():
        assert name in headers, f"{method} {target}: {status} without {name}"
        found = int(headers[name]) if described["schema"].get("type") == "integer" else headers[name]
        validator(json.dumps(described["schema"])).validate(found)
    schema = answer["content"]["application/json"]["schema"]
    value = json.loads(text)
    validator(json.dumps(schema)).validate(value)
    assert value["statusCode"] == status, target


@cache
def validator(schema: str) -> jsonschema_rs.Validator:
    """Of a schema inside the document, as JSON text."""
    return jsonschema_rs.validator_for({**json.loads(schema), "components": DOCUMENT["components"]})


@cache
def _patterns() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    return [
        (re.compile(re.sub(r"\\\{[a-z]+\\\}", "[^/:]+", re.escape(path))), methods)
        for path, methods in DOCUMENT["paths"].items()
    ]


def _answers(path: str, method: str) -> dict[str, Any]:
    """The described answers by status; none for what is not there."""
    for pattern, methods in _patterns():
        if pattern.fullmatch(path) and method in methods:
            answers: dict[str, Any] = methods[method]["responses"]
            return answers
    return {}
