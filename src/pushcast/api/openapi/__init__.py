"""The API's description: an OpenAPI 3.1 document, made of operations.py and schemas.py, and page.py for people.

``x-role`` of an operation is the role that a token needs for it, null: any.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson

from pushcast.access import Role
from pushcast.api.openapi.operations import ALWAYS, EVENT, OPERATIONS, REFUSAL_HEADERS, REFUSALS, TAGS, Operation
from pushcast.api.openapi.schemas import SCHEMAS
from pushcast.api.openapi.words import ref, text

_JSON = "application/json"
_PATH_PARAMETERS = {"vhost": "Virtual host.", "app": "Application.", "stream": "Stream."}
_ROLES = {
    Role.READ: "Tokens of role `read`, `push` or `admin`.",
    Role.PUSH: "Tokens of role `push` or `admin`.",
    Role.ADMIN: "Tokens of role `admin`.",
    None: "Any token.",
}
_ABOUT = (
    "Live streams in, pushes to hundreds of destinations out. The push calls are OvenMediaEngine's.\n\n"
    "Every answer is `{statusCode, message, response}`. HEAD answers as GET does, without a body; a path without a "
    "method is a path that is not there, 404. A member that is not known is ignored, and one of OvenMediaEngine's "
    "that is of a wrong type counts as absent; others must be right."
)


@cache
def openapi_json() -> bytes:
    """The document as it is served."""
    return orjson.dumps(document())


def document() -> dict[str, Any]:
    """The document as an object."""
    paths: dict[str, Any] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, _path(each.path))[each.method] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pushcast",
            "version": "1",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "responses": {str(status): _refusal(status) for status in REFUSALS},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The credential is the token alone, in base64: no user name, no colon before it.",
                }
            },
        },
    }


def resolved(described: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """What an object of the document stands for: itself, or what its ``$ref`` leads to."""
    while "$ref" in shown:
        found: Any = described
        for step in shown["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        shown = found
    return shown


def _path(path: str) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "description": about, "schema": text(minLength=1)}
        for name, about in _PATH_PARAMETERS.items()
        if f"{{{name}}}" in path
    ]
    return {"parameters": parameters} if parameters else {}


def _operation(each: Operation) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "operationId": each.id,
        "tags": [each.tag],
        "summary": each.summary,
        "description": " ".join(filter(None, [each.description, _ROLES[each.role]])),
        "x-role": each.role,
        "responses": {
            **{str(status): _answer(each, status) for status in each.answers},
            **{
                str(status): {"$ref": f"#/components/responses/{status}"}
                for status in sorted({*ALWAYS, *each.refusals})
            },
        },
    }
    if each.headers or each.queries:
        shown["parameters"] = [*each.headers, *each.queries]
    if each.body:
        shown["requestBody"] = {
            "required": each.body_required,
            "content": {_JSON: {"schema": ref(each.body)}},
        }
    if each.deprecated:
        shown["deprecated"] = True
    return shown


def _answer(each: Operation, status: int) -> dict[str, Any]:
    schema = each.answers[status]
    described = {200: "OK", 201: "Created", 207: "An outcome for each"}[status]
    if each.event_stream:
        about = {"type": "string", "description": "`data` of a `push` event.", "contentSchema": EVENT}
        return {"description": described, "content": {"text/event-stream": {"schema": about}}}
    return {"description": described, "content": {_JSON: {"schema": schema}}}


def _refusal(status: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "description": REFUSALS[status],
        "content": {_JSON: {"schema": ref("Error")}},
    }
    if status in REFUSAL_HEADERS:
        shown["headers"] = REFUSAL_HEADERS[status]
    return shown
