"""The words that schemas of bodies are made of: JSON Schema 2020-12, as OpenAPI 3.1 has it."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TIME = {
    "type": "string",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$",
    "description": "ISO 8601 in the server's zone; what has not happened yet is the epoch.",
    "examples": ["2026-11-25T18:00:00.000+01:00"],
}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def closed(properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    """An object of an answer: it has these members and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def asked(properties: dict[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    """An object of a request."""
    return {"type": "object", "properties": properties} | ({"required": list(required)} if required else {})


def listed(items: Schema, **more: object) -> Schema:
    return {"type": "array", "items": items, **more}


def text(description: str = "", **more: object) -> Schema:
    return _typed({"type": "string"}, description, more)


def whole(description: str = "", **more: object) -> Schema:
    return _typed({"type": "integer", "minimum": 0}, description, more)


def number(description: str = "") -> Schema:
    return _typed({"type": "number", "minimum": 0}, description, {})


def _typed(kind: Schema, description: str, more: Schema) -> Schema:
    return kind | ({"description": description} if description else {}) | more


def enveloped(response: Schema | None, status: int = 200, message: str = "OK") -> Schema:
    """The whole body of an answer: ``{"statusCode", "message", "response"}``, without ``response`` for None."""
    members: dict[str, Schema] = {"statusCode": {"const": status}, "message": {"const": message}}
    return closed(members if response is None else members | {"response": response})
