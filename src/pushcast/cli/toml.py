"""A table of plain values as TOML 1.0: str, bool, int, float, None, lists and dicts.

TOML has no null: a key without a value is left out.  A Masked value, or a list that holds one, stands in a
comment, since a file that has ``***`` where a token belongs would load, and open the server to whoever guesses it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Masked(str):
    """What stands where a secret was; as JSON a string."""

    __slots__ = ()


MASK = Masked("***")


def write_toml(table: Mapping[str, Any]) -> str:
    return "\n".join(_lines(table, "")).strip("\n") + "\n"


def _lines(table: Mapping[str, Any], path: str) -> Iterator[str]:
    """Plain keys before tables: what stands behind the head of a table belongs to that."""
    tables = [key for key, value in table.items() if isinstance(value, dict) or _is_table_array(value)]
    for key, value in table.items():
        if key not in tables and value is not None:
            masked = any(isinstance(each, Masked) for each in (value if isinstance(value, list) else (value,)))
            comment = "# " if masked else ""
            yield f"{comment}{_key(key)} = {_value(value)}"
    for key in tables:
        inner = f"{path}.{_key(key)}" if path else _key(key)
        many = not isinstance(table[key], dict)
        for each in table[key] if many else (table[key],):
            yield ""
            yield f"[[{inner}]]" if many else f"[{inner}]"
            yield from _lines(each, inner)


def _is_table_array(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items() if each is not None)
        return f"{{{inner}}}"
    return f"[{', '.join(_value(each) for each in value)}]"


def _string(text: str) -> str:
    # JSON's escapes are among TOML's; TOML wants DEL escaped too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
