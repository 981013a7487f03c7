"""OvenMediaEngine's StreamMap file: rules as XML.

The root is ``PushInfo``; each ``Push`` in it is a rule of the elements Enable, Id, StreamName, VariantNames (separated
by commas), Protocol, Url and StreamKey, white space around their texts aside.  As in OvenMediaEngine only an Enable of
``true`` makes a rule count.  Unlike there, an Id counts too; one that cannot is as if it were not there.

A file that is no such XML raises one ConfigError.  What is wrong within costs only the item it stands in, and is told
in one sentence each.  An item that is not enabled is not looked at: it may be a draft.

Whoever can write the file is not trusted with more than rules: a document type declaration, and with it every entity,
is refused, and size and number are bounded.  Nothing here runs on the event loop's time: reading may take a while.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from pushcast.config_types import ALLOWED_RULE_ID, RULE_ID
from pushcast.errors import ConfigError
from pushcast.log import printable
from pushcast.streammap_rule import Rule, flaws, shown

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_FILE_BYTES = 1 << 20  # as many rules as are allowed have room for a KiB each; a larger file is a mistaken path
MAX_RULES = 1000  # each is matched, for some 4 us, whenever a stream starts; a host sends some hundred pushes

_ELEMENTS = {"stream": "StreamName", "protocol": "Protocol", "url": "Url", "stream_key": "StreamKey"}
_FIELDS = ("Enable", "Id", "StreamName", "VariantNames", "Protocol", "Url", "StreamKey")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file holds: the rules that count, some of them without an id yet, and a sentence for each fault."""

    rules: tuple[Rule, ...]
    problems: tuple[str, ...]


def read_stream_map(path: Path, taken_ids: Collection[str] = ()) -> Reading:
    """The rules of the file; ``taken_ids`` belong to other rules of the app.  :raises ConfigError: it holds none."""
    root = _parse(path, _content(path))
    if root.tag != "PushInfo":
        raise ConfigError(f"{path}: found the root {shown(root.tag)}, allowed: PushInfo")
    if (number := sum(child.tag == "Push" for child in root)) > MAX_RULES:
        raise ConfigError(f"{path}: found {number} Push items, allowed: up to {MAX_RULES}")
    return _Reader(path, taken_ids).read(root)


def _content(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{path}: found a device or a pipe, allowed: a file")
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: found more than {MAX_FILE_BYTES} bytes, allowed: a file of at most that size")
    return content


def _open_at_once(path: str, flags: int) -> int:
    """A pipe without a writer would keep an open waiting."""
    return os.open(path, flags | os.O_NONBLOCK)


def _parse(path: Path, content: bytes) -> Element:
    try:
        root: Element = fromstring(content, forbid_dtd=True)
    except DefusedXmlException:
        raise ConfigError(f"{path}: found a document type declaration, allowed: XML without one") from None
    except (ParseError, LookupError, ValueError) as error:  # the latter two: an encoding that is none
        raise ConfigError(f"{path}: found no valid XML ({printable(str(error))}), allowed: XML 1.0") from None
    return root


class _Reader:
    """Goes through the items and keeps what is told about them."""

    def __init__(self, path: Path, taken_ids: Collection[str]) -> None:
        self._path = path
        self._ids = set(taken_ids)
        self._problems: list[str] = []

    def read(self, root: Element) -> Reading:
        rules: list[Rule] = []
        number = 0
        for child in root:
            if child.tag != "Push":
                self._tell(str(self._path), "PushInfo", f"an element {shown(child.tag)}", "Push")
                continue
            number += 1
            rule = self._rule(child, f"{self._path}: Push {number}", number)
            if rule is not None:
                rules.append(rule)
        return Reading(tuple(rules), tuple(self._problems))

    def _rule(self, item: Element, place: str, number: int) -> Rule | None:
        if not self._enabled(item, place):
            return None
        texts = self._texts(item, place)
        if texts is None:
            return None
        rule = Rule(
            place=place,
            number=number,
            id="",
            stream=texts["StreamName"],
            protocol=texts["Protocol"].lower(),
            url=texts["Url"],
            stream_key=texts["StreamKey"],
            variant_names=tuple(name.strip() for name in texts["VariantNames"].split(",") if name.strip()),
        )
        found = flaws(rule)
        for flaw in found:
            self._tell(place, _ELEMENTS[flaw.key], flaw.found, flaw.allowed)
        return None if found else replace(rule, id=self._id(texts["Id"], place))

    def _enabled(self, item: Element, place: str) -> bool:
        given = [_text(element) for element in item if element.tag == "Enable"]
        if given in (["true"], ["false"]):
            return given == ["true"]
        self._tell(place, "Enable", shown(" ".join(given)), "true or false")
        return False

    def _texts(self, item: Element, place: str) -> dict[str, str] | None:
        """The texts by element, empty for those that are not there; None when they cannot be told."""
        texts: dict[str, str] = {}
        right = True
        for element in item:
            if element.tag not in _FIELDS:
                self._tell(place, shown(element.tag), "an unknown element (it is ignored)", ", ".join(_FIELDS))
            elif element.tag in texts or len(element):
                found = "a second one" if element.tag in texts else f"an element {shown(element[0].tag)} in it"
                self._tell(place, element.tag, found, "one, with text only")
                right = False
            else:
                texts[element.tag] = _text(element)
        return {name: texts.get(name, "") for name in _FIELDS} if right else None

    def _id(self, given: str, place: str) -> str:
        """The id if it can be used.  OvenMediaEngine ignores it, so a wrong one in its files must not cost the rule."""
        if given and not RULE_ID.fullmatch(given):
            self._tell(place, "Id", f"{shown(given)} (it is ignored)", ALLOWED_RULE_ID)
            return ""
        if given in self._ids:
            self._tell(place, "Id", f"{shown(given)} a second time (it is ignored)", "each id once in its app")
            return ""
        if given:
            self._ids.add(given)
        return given

    def _tell(self, place: str, name: str, found: str, allowed: str) -> None:
        self._problems.append(f"{place}: {name}: found {found}, allowed: {allowed}")


def _text(element: Element) -> str:
    return (element.text or "").strip()
