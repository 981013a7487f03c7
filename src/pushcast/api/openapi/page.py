"""The API's description as one HTML page: no script, and nothing that a browser would fetch from anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from html import escape
from typing import Any

from pushcast.api.openapi import document, resolved

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #0a66c2; }
@media (prefers-color-scheme: dark) { :root { --accent: #6cb4ff; } }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; display: grid; grid-template-columns: 17rem minmax(0, 1fr); }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 1rem; border-right: 1px solid var(--line); }
nav h2 { font-size: .8rem; margin: 1.2rem 0 .3rem; opacity: .7; }
nav a { display: block; padding: .1rem 0; color: inherit; text-decoration: none; font-size: .9rem; }
nav a:hover, nav a:focus { color: var(--accent); text-decoration: underline; }
main { padding: 1rem 2rem 4rem; max-width: 62rem; }
article { border-top: 1px solid var(--line); padding: 1rem 0; scroll-margin-top: .5rem; }
h1, h2, h3 { line-height: 1.2; } h3 { margin: 0 0 .4rem; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
.call { background: var(--soft); border-radius: .4rem; padding: .4rem .7rem; }
.call b { color: var(--accent); text-transform: uppercase; margin-right: .6rem; }
.old { opacity: .7; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { width: 34%; } th:nth-child(2), td:nth-child(2) { width: 22%; }
summary { cursor: pointer; padding: .2rem 0; }
@media (max-width: 50rem) { body { display: block; } nav { position: static; height: auto; border: 0; } }
"""


@cache
def docs_page() -> bytes:
    """The page, as UTF-8."""
    described = document()
    operations = list(_operations(described))
    menu, body = "", ""
    for tag in described["tags"]:
        mine = [(path, method, each) for path, method, each in operations if tag["name"] in each["tags"]]
        menu += f"<h2>{escape(tag['name'])}</h2>" + "".join(
            f'<a href="#{each["operationId"]}">{escape(each["summary"])}</a>' for _, _, each in mine
        )
        body += f"<h2>{escape(tag['name'])}</h2><p>{_prose(tag['description'])}</p>"
        body += "".join(_article(described, path, method, each) for path, method, each in mine)
    about = "".join(f"<p>{_prose(each)}</p>" for each in described["info"]["description"].split("\n\n"))
    token = _prose(described["components"]["securitySchemes"]["token"]["description"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>pushcast API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><nav><b>pushcast API</b>{menu}</nav>"
        f"<main><h1>pushcast API</h1>{about}<p>HTTP Basic authentication. {token}</p>"
        '<p>The same for programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p>'
        f"{body}</main></body></html>"
    ).encode()


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, each in methods.items():
            if method != "parameters":
                yield path, method, each


def _article(described: dict[str, Any], path: str, method: str, each: dict[str, Any]) -> str:
    parts = [
        f'<article id="{each["operationId"]}"{" class=old" if each.get("deprecated") else ""}>',
        f"<h3>{escape(each['summary'])}{' (deprecated)' if each.get('deprecated') else ''}</h3>",
        f'<p class="call"><b>{method}</b><code>{escape(path)}</code></p><p>{_prose(each["description"])}</p>',
    ]
    parameters = [
        (f"{parameter['name']} ({parameter['in']})", parameter["schema"], False, parameter["description"])
        for parameter in each.get("parameters", ())
    ]
    if parameters:
        parts.append(_table(parameters))
    if "requestBody" in each:
        schema = each["requestBody"]["content"]["application/json"]["schema"]
        parts.append("<b>Body</b>" + _table(list(_members(described, schema))))
    parts.append("<b>Answers</b>")
    parts += [_response(described, status, answer) for status, answer in each["responses"].items()]
    return "".join([*parts, "</article>"])


def _response(described: dict[str, Any], status: str, answer: dict[str, Any]) -> str:
    known = resolved(described, answer)
    label = f"<b>{status}</b> {_prose(known['description'])}"
    ((kind, content),) = known["content"].items()
    if "$ref" in answer:
        return f"<div>{label}</div>"
    schema = content["schema"]
    members = list(_members(described, schema.get("contentSchema", schema)))
    return f"<details><summary>{label} <code>{kind}</code></summary>{_table(members)}</details>"


_Member = tuple[str, dict[str, Any], bool, str]


def _members(described: dict[str, Any], schema: dict[str, Any], before: str = "") -> Iterator[_Member]:
    """(name, schema, required, description) of every member, those of members behind them."""
    known = resolved(described, schema)
    if "items" in known and known["type"] == "array":
        yield from _members(described, known["items"], f"{before}[]")
        return
    for name, member in known.get("properties", {}).items():
        found = resolved(described, member)
        path = f"{before}.{name}" if before else name
        yield path, found, name in known.get("required", ()), found.get("description", "")
        yield from _members(described, found, path)


def _table(members: list[_Member]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{'' if required else ' <small>optional</small>'}</td>"
        f"<td>{escape(_kind(schema))}</td><td>{_prose(description)}{_example(schema)}</td></tr>"
        for name, schema, required, description in members
    )
    return f"<table><tr><th>Name</th><th>Type</th><th></th></tr>{rows}</table>" if rows else ""


def _kind(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return str(schema["const"]).lower() if isinstance(schema["const"], bool) else str(schema["const"])
    if "enum" in schema:
        return ", ".join(schema["enum"])
    kind = schema["type"]
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _example(schema: dict[str, Any]) -> str:
    return "".join(f" <small>Such as <code>{escape(str(each))}</code></small>" for each in schema.get("examples", ()))


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
