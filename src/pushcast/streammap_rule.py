"""Rules: which streams get which push by themselves, and what that push is.

A rule holds a pattern of stream names and the texts of a push.  In the pattern ``*`` stands for any characters and
``?`` for one or none, as in OvenMediaEngine's StreamMap; every other character, and a name that a macro puts there,
stands for itself.  The whole name must match, and case counts.

Macros are filled in once: what a value holds is not looked at again.  Stream names are chosen by publishers.  In a URL
they are percent-encoded and stand behind host and port only, so they neither say where a push goes nor add an option;
in a stream key, which has no syntax, they are as they are, and a name with control characters gets no push.

Where rules come from is not known here: the configuration's are made by :func:`configured_rules`, those of an XML file
in streammap_file.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import NamedTuple
from urllib.parse import quote

from pushcast.config_sections import App
from pushcast.egress import PROTOCOLS
from pushcast.errors import ConfigError, InvalidRequest
from pushcast.log import printable, redact
from pushcast.settings import PushSettings, read_settings
from pushcast.wildcard import MAX_PATTERN_CHARS, fits, pieces

APPLICATION, STREAM, SOURCE_STREAM = "${Application}", "${Stream}", "${SourceStream}"
MAX_TEXT_CHARS = 4096  # no protocol takes a longer URL or key

_MACRO = re.compile(r"\$\{[^{}]*\}")
_UP_TO_HOST = re.compile(r"[^/?#]*(?://[^/?#]*)?")  # scheme and authority
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MAX_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.  Two are equal when they ask for the same; where they stand does not count.

    ``place`` names it in messages, ``number`` is its place among its like, from 1.  ``id`` is empty until
    :func:`named` gave it one.
    """

    place: str = field(compare=False)
    number: int = field(compare=False)
    id: str
    stream: str
    protocol: str
    url: str = field(repr=False)
    stream_key: str = field(default="", repr=False)
    variant_names: tuple[str, ...] = ()

    def matches(self, name: str, source: str) -> bool:
        return match(self.stream, name, source)

    def settings(self, vhost: str, app: str, name: str, source: str) -> PushSettings:
        """The push that an output stream of the input ``source`` gets.

        :raises InvalidRequest: with these names it is none; no secret is told.
        """
        values = {APPLICATION: app, STREAM: name, SOURCE_STREAM: source}
        encoded = {macro: quote(value, safe="", errors="replace") for macro, value in values.items()}
        stream_key = _filled(self.stream_key, values)
        if not stream_key.isprintable():
            raise InvalidRequest("Could not parse streamKey: a name in it holds a control character")
        request = {
            "id": f"{self.id}:{name}",
            "stream": {"name": name, "variantNames": list(self.variant_names)},
            "protocol": self.protocol,
            "url": _filled(self.url, encoded),
            "streamKey": stream_key,
        }
        return read_settings(vhost, app, request, is_config=True)


class Flaw(NamedTuple):
    """What is wrong with the attribute ``key`` of a rule; holds no secret."""

    key: str
    found: str
    allowed: str


class _Text(NamedTuple):
    key: str
    what: str
    least: int
    most: int
    macros: tuple[str, ...]


_TEXTS = (
    _Text("stream", "a stream name with * and ? as wildcards,", 1, MAX_PATTERN_CHARS, (SOURCE_STREAM,)),
    _Text("url", "a URL", 1, MAX_TEXT_CHARS, (APPLICATION, STREAM, SOURCE_STREAM)),
    _Text("stream_key", "a text", 0, MAX_TEXT_CHARS, (APPLICATION, STREAM, SOURCE_STREAM)),
)


def flaws(rule: Rule) -> list[Flaw]:
    """Everything that is wrong with a rule, whatever the stream; its id apart."""
    found = [
        Flaw(text.key, wrong, f"{text.what} of {text.least} to {text.most} characters; macros {', '.join(text.macros)}")
        for text in _TEXTS
        if (wrong := _wrong(getattr(rule, text.key), text))
    ]
    if rule.protocol.lower() not in PROTOCOLS:
        found.append(Flaw("protocol", shown(rule.protocol), " or ".join(PROTOCOLS)))
    return found or list(_url_flaws(rule))


def _wrong(value: str, text: _Text) -> str:
    if len(value) < text.least:
        return "nothing"
    if len(value) > text.most:
        return f"{len(value)} characters"
    if not value.isprintable():
        return "a character that is not printable"
    return "an unknown macro" if any(macro not in text.macros for macro in _MACRO.findall(value)) else ""


def _url_flaws(rule: Rule) -> Iterator[Flaw]:
    head = _UP_TO_HOST.match(rule.url)
    if head is not None and _names_stream(head[0]):
        yield Flaw("url", "a stream's name in scheme, host or port", f"{STREAM} and {SOURCE_STREAM} behind them only")
    elif not _names_stream(rule.url) and not _names_stream(rule.stream_key):
        # It is the same for all streams, so it need not wait for one to be found wrong.
        try:
            rule.settings("vhost", "app", "stream", "stream")
        except InvalidRequest as error:
            yield Flaw("url", f"{_shown_url(rule.url)} ({printable(str(error))})", f"a URL for {rule.protocol}")


def _names_stream(text: str) -> bool:
    return STREAM in text or SOURCE_STREAM in text


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _MACRO.sub(lambda macro: values.get(macro[0], macro[0]), text)


def shown(text: str) -> str:
    """A text that is no secret, as messages show it."""
    return f'"{printable(text[:_MAX_SHOWN_CHARS])}"' if text else "nothing"


def _shown_url(url: str) -> str:
    return shown(redact(url, keep_path=False)) if _SCHEME.match(url) else "a text without a scheme"


def match(pattern: str, name: str, source: str) -> bool:
    """Whether the whole name fits the pattern; ``source`` is what ``${SourceStream}`` stands for."""
    first, *others = pattern.split(SOURCE_STREAM)
    return fits(chain(pieces(first), *((source, *pieces(other)) for other in others)), name)


def named(rules: Sequence[Rule], word: str, taken: Collection[str] = (), before: Iterable[Rule] = ()) -> list[Rule]:
    """The rules, with an id for those that have none: ``<word>-<number>``, and none of ``taken``.

    A rule that stood among those of ``before`` keeps its id wherever it stands now: a line more at the top of a file
    must not interrupt the pushes of all rules below it.
    """
    given = {*taken, *(rule.id for rule in rules if rule.id)}
    known: dict[Rule, list[str]] = {}
    for rule in before:
        if rule.id not in given:
            known.setdefault(replace(rule, id=""), []).append(rule.id)
    kept = [replace(rule, id=known[rule].pop(0)) if known.get(rule) else rule for rule in rules]
    used = given | {rule.id for rule in kept}
    result: list[Rule] = []
    for rule in kept:
        if not rule.id:
            rule = replace(rule, id=next(each for n in count(rule.number) if (each := f"{word}-{n}") not in used))
            used.add(rule.id)
        result.append(rule)
    return result


def configured_rules(app: App, place: str) -> list[Rule]:
    """The enabled rules of the app that stands at ``place`` in the configuration, ``vhosts[0].apps[1]``.

    :raises ConfigError: one is wrong, or two have the same id.
    """
    rules: list[Rule] = []
    for index, push in enumerate(app.pushes):
        if not push.enable:
            continue
        rule = Rule(
            place=f"{place}.pushes[{index}]",
            number=index + 1,
            id=push.id,
            stream=push.stream,
            protocol=push.protocol.strip().lower(),
            url=push.url.get_secret_value().strip(),
            stream_key=push.stream_key.get_secret_value().strip(),
            variant_names=push.variant_names,
        )
        if found := flaws(rule):
            raise ConfigError(f"{rule.place}.{found[0].key}: found {found[0].found}, allowed: {found[0].allowed}")
        if rule.id and any(rule.id == other.id for other in rules):
            raise ConfigError(f"{rule.place}.id: found {shown(rule.id)} a second time, allowed: each push id once")
        rules.append(rule)
    return named(rules, "config")
