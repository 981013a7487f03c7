"""One sentence for what is wrong in a configuration: ``where: key: found X, allowed: Y``.

pydantic says what is wrong where in the models; what was written there, in the file or in which variable, is looked up
in the raw keys.  A value is shown only where it cannot be a secret: never a secret's own, that of an unknown key, that
which a reference points to, or the path of a URL that is no file's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pushcast.log import redact

MAX_SHOWN = 200  # characters of a value in a sentence: a whole file pasted into a key would hide the rest

Location: TypeAlias = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """What the file (named ``place``) and the environment (variables beginning with ``prefix``) really say."""

    place: str
    keys: dict[str, Any]
    variables: dict[str, Any]
    prefix: str

    def value(self, location: Location) -> tuple[Any] | None:
        """The value that counts at this key, in a tuple; None when nobody wrote one."""
        return _find(self.variables, location) or _find(self.keys, location)

    def origin(self, location: Location) -> str:
        """The file, or the variable that sets this key or the table around it."""
        if not _find(self.variables, location) and _find(self.keys, location[:-1]):
            return self.place
        given = {variable.upper(): variable for variable in os.environ}
        for length in range(len(location), 0, -1):
            variable = self.prefix + "__".join(str(part) for part in location[:length]).upper()
            if variable in given:
                return given[variable]
        return self.place


@dataclass(frozen=True, slots=True)
class Sentence:
    """Puts pydantic's findings about ``model`` into words."""

    model: type[BaseModel]
    written: Written

    def about(self, error: ErrorDetails) -> str:
        context = error.get("ctx", {})
        location: Location = context.get("location", error["loc"])
        model, field = self._field_at(location)
        value = self.written.value(location)
        if error["type"] == "extra_forbidden":
            found, allowed = "an unknown key", ", ".join(model.model_fields)
        elif error["type"] == "misnamed":
            again = "" if context["default"] else " a second time"
            found, allowed = json.dumps(value[0] if value else context["default"]) + again, context["allowed"]
        else:
            found = _shown(value[0], field) if value else "nothing"
            found += f" ({context['reason']})" if context.get("reason") else ""
            allowed = (
                field.description if field and field.description else f"a table with {', '.join(model.model_fields)}"
            )
        return f"{self.written.origin(location)}: {_dotted(location)}: found {found}, allowed: {allowed}"

    def _field_at(self, location: Location) -> tuple[type[BaseModel], FieldInfo | None]:
        """The model around the last key, and the key's field; no field where the place is a table, or unknown."""
        model = self.model
        field: FieldInfo | None = None
        for part in location:
            field = model.model_fields.get(part) if isinstance(part, str) else None
            inner = [leaf for leaf in _leaves(field.annotation) if _is_model(leaf)] if field else []
            if field is not None and inner:
                model = inner[0]
                field = field if field.description else None
        return model, field


def _dotted(location: Location) -> str:
    key = ""
    for part in location:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
    return key


def _find(keys: Any, location: Location) -> tuple[Any] | None:
    for part in location:
        if isinstance(keys, dict) and str(part) in keys:
            keys = keys[str(part)]
        elif isinstance(keys, list) and isinstance(part, int) and part < len(keys):
            keys = keys[part]
        else:
            return None
    return (keys,)


def _leaves(annotation: Any) -> Sequence[Any]:
    """The plain types within an annotation: those of ``tuple[App, ...]`` are App and Ellipsis."""
    arguments = get_args(annotation)
    return [leaf for argument in arguments for leaf in _leaves(argument)] if arguments else [annotation]


def _is_model(leaf: Any) -> bool:
    return isinstance(leaf, type) and issubclass(leaf, BaseModel)


def _shown(value: Any, field: FieldInfo | None) -> str:
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "a list"
    leaves = _leaves(field.annotation) if field else []
    if not leaves or SecretStr in leaves or any(_is_model(leaf) for leaf in leaves):
        return f"a {'string' if isinstance(value, str) else 'single value'} (not shown)"
    if isinstance(value, str) and "://" in value:
        # A push URL, whose path holds a stream key, may have slipped in where a file's URL belongs.
        value = redact(value, keep_path=value.startswith("file:"))
    return json.dumps(value, default=str, ensure_ascii=False)[:MAX_SHOWN]
