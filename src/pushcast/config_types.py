"""The kinds of values that a configuration holds: how each is read, and in its description what it may be.

Any string or number may be a reference, ``env:NAME`` or ``file:/path`` (its content, stripped).  What is wrong with a
value is a PydanticCustomError of its own or pydantic's; config_sentence.py makes the sentence.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from pushcast.config_sentence import MAX_SHOWN
from pushcast.destinations import ALLOWED_NETWORKS, ALLOWED_RULES, parse_rule, read_network
from pushcast.listen_url import ALLOWED_URL as ALLOWED_LISTEN_URL
from pushcast.listen_url import parse_listen_url
from pushcast.log import redact
from pushcast.pull_url import ALLOWED_URL, MAX_URLS, check_source_url
from pushcast.wildcard import MAX_PATTERN_CHARS

MAX_FILE_BYTES = 1 << 20  # thousands of sources fit; a larger file is a mistaken path (a clip, a device)

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"[0-9A-Za-z._:%-]{1,255}")
# Names are segments of the API's paths, and a colon there divides an app from its action.
NAME_PATTERN = re.compile(r"[^/:\x00-\x20\x7f?#%\\]{1,128}")
_TOKEN = re.compile(r"[^\x00-\x1f\x7f]{1,1024}")
# Nothing but its length stands between a token and who guesses (login_limit.py).
_LONG_TOKEN = re.compile(r"[^\x00-\x1f\x7f]{16,1024}")
# RFC 6454, and "*." for all names below a domain.
_ORIGIN = re.compile(r"\*|https?://(?:(?:\*\.)?[0-9a-z._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", re.IGNORECASE)
# A rule's id stands before a colon in the ids of its pushes (streammap_rule.py).
RULE_ID = re.compile(r"[^:\x00-\x1f\x7f]{1,128}")
ALLOWED_RULE_ID = "1 to 128 characters, none of them a colon or a control character"


def _wrong(reason: str = "") -> PydanticCustomError:
    return PydanticCustomError("pushcast", "{reason}", {"reason": reason})


def _read_reference(value: str) -> str:
    scheme, _, where = value.partition(":")
    if scheme == "env":
        if not _VARIABLE.fullmatch(where):
            raise _wrong("no variable has such a name")
        if where not in os.environ:
            raise _wrong("that variable is not set")
        return os.environ[where].strip()
    if not where.startswith("/"):
        raise _wrong("file: is followed by an absolute path")
    try:
        with open(where, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise _wrong(f"that file has more than {MAX_FILE_BYTES} bytes")
        return content.decode().strip()
    except OSError as error:
        raise _wrong(f"that file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _wrong("that file is not UTF-8 text") from error


def _resolve(value: Any) -> Any:
    return _read_reference(value) if isinstance(value, str) and value.startswith(("env:", "file:")) else value


def _resolve_url(value: Any) -> Any:
    """A source's URL begins with ``file:`` itself, so only ``env:`` is a reference there."""
    return _read_reference(value) if isinstance(value, str) and value.startswith("env:") else value


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise _wrong()
    return value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _expand_home(value: Any) -> Any:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _wrong()
    return os.path.expanduser(value)


def _absolute(value: Path) -> Path:
    if not value.is_absolute():
        raise _wrong()
    return value


def _matching(pattern: re.Pattern[str]) -> AfterValidator:
    def check(value: Any) -> Any:
        if not pattern.fullmatch(value.get_secret_value() if isinstance(value, SecretStr) else value):
            raise _wrong()
        return value

    return AfterValidator(check)


def _parsed_by(parse: Callable[[str], object]) -> AfterValidator:
    """Whatever ``parse`` reads; the text stays as it is."""

    def check(value: str) -> str:
        try:
            parse(value)
        except ValueError as error:
            raise _wrong(str(error)) from error
        return value

    return AfterValidator(check)


def _by_index(value: Any) -> Any:
    """Lists travel as ``{"0": ..., "1": ...}``, so that the environment can set one key of one of the file's items."""
    if isinstance(value, dict) and value and all(str(key).isdecimal() for key in value):
        if sorted(map(int, value)) != list(range(len(value))):
            raise _wrong("its numbers do not run from 0 without a gap")
        return [value[key] for key in sorted(value, key=int)]
    return value


def _texts(value: Any) -> Any:
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        raise _wrong("not all of it are texts")
    return value


def _numbers(value: Any) -> Any:
    if isinstance(value, list) and not all(isinstance(item, int) and not isinstance(item, bool) for item in value):
        raise _wrong("not all of it are whole numbers")
    return value


def _each(check: Callable[[str], object], resolve: Callable[[Any], Any] = _resolve) -> BeforeValidator:
    """Look at every text of a list.  A place in it has no words of its own, so what is wrong is said of the list."""

    def look(value: Any) -> Any:
        if not isinstance(value, list):
            raise _wrong()
        return [read(item) for item in value]

    def read(written: Any) -> str:
        text = resolve(written)
        if not isinstance(text, str):
            raise _wrong("not all of it are texts")
        try:
            check(text)
        except ValueError as error:
            shown = redact(written, keep_path=False) if "://" in written else written
            raise _wrong(f"{json.dumps(shown, ensure_ascii=False)[:MAX_SHOWN]}: {error}") from error
        return text

    return BeforeValidator(look)


def _secret(written: Any, pattern: re.Pattern[str], what: str) -> SecretStr:
    """One of several secrets; what is wrong with it is said without it."""
    text = _resolve(written.get_secret_value() if isinstance(written, SecretStr) else written)
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise _wrong(f"not all of it are {what}")
    return SecretStr(text)


def _secrets(pattern: re.Pattern[str], what: str) -> BeforeValidator:
    """A list of secrets."""

    def look(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise _wrong()
        return [_secret(item, pattern, what) for item in value]

    return BeforeValidator(look)


def _secrets_by_name(pattern: re.Pattern[str], what: str) -> BeforeValidator:
    """A table of secrets; its keys are patterns of stream names."""

    def look(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _wrong()
        if not all(isinstance(key, str) and 0 < len(key) <= MAX_PATTERN_CHARS for key in value):
            raise _wrong(f"a stream name in it has not 1 to {MAX_PATTERN_CHARS} characters")
        return {key: _secret(item, pattern, what) for key, item in value.items()}

    return BeforeValidator(look)


def _check_http_url(value: SecretStr) -> SecretStr:
    """A URL to which requests are sent; it may hold a secret."""
    try:
        parts = urlsplit(value.get_secret_value())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not value.get_secret_value().isprintable():
        raise _wrong()
    return value


def _check_name(text: str) -> None:
    if not NAME_PATTERN.fullmatch(text):
        raise ValueError("it is no name")


def _check_origin(text: str) -> None:
    if not _ORIGIN.fullmatch(text):
        raise ValueError("it is no origin")


ORIGIN_STREAM_NAME = "${OriginStreamName}"
_OUTPUT_STREAM_NAME = re.compile(rf"(?:[^\s\x00-\x1f\x7f/:?#%\\\\${{}}]|{re.escape(ORIGIN_STREAM_NAME)}){{1,128}}")
_VARIANT_NAME = re.compile(r"[^\x00-\x1f\x7f:,]{0,128}")
_VARIANT_INDEX = re.compile(r"[^\x00-\x1f\x7f:,]{1,128}(?::[0-9]{1,5})?")
_LANGUAGE = re.compile(r"(?:[a-z]{3})?")


# Validators in Annotated: "before" ones run from the right, "after" ones from the left.
REFERENCE = BeforeValidator(_resolve)
_NUMBER = BeforeValidator(_not_bool)
LIST = BeforeValidator(_by_index)


def _number(low: float, high: float, what: str = "a whole number") -> Any:
    return Field(ge=low, le=high, description=f"{what} from {low} to {high}")


Host = Annotated[
    str,
    Field(description="an IPv4 address, an IPv6 address without brackets, or a host name"),
    _matching(_HOST),
    REFERENCE,
]
Port = Annotated[int, _number(0, 65535), _NUMBER, REFERENCE]
Name = Annotated[
    str,
    Field(description="1 to 128 characters, none of them a space or / : ? # % \\"),
    _matching(NAME_PATTERN),
    REFERENCE,
]
Token = Annotated[
    SecretStr,
    Field(description="1 to 1024 characters, none of them a control character"),
    _matching(_TOKEN),
    REFERENCE,
]
LongToken = Annotated[
    SecretStr,
    Field(description="16 to 1024 characters, none of them a control character"),
    _matching(_LONG_TOKEN),
    REFERENCE,
]
# libsrt takes 10 to 79 bytes: SRT's API-socket-options, SRTO_PASSPHRASE.
_PASSPHRASE = re.compile(r"[^\x00-\x1f\x7f]{10,79}")
Passphrase = Annotated[SecretStr, _matching(_PASSPHRASE), REFERENCE]
# A key stands in URLs and stream ids, where other characters would have to be percent-encoded (RFC 3986, 2.3), and an
# SRT stream id holds no more than 512 characters.  Its length is what stands between it and who guesses.
_PUBLISH_KEY = re.compile(r"[0-9A-Za-z._~-]{16,256}")
PublishKeys = Annotated[
    tuple[SecretStr, ...],
    Field(description="a list of keys of 16 to 256 letters, digits and . _ ~ -"),
    _secrets(_PUBLISH_KEY, "such keys"),
    LIST,
]
# RFC 7518, 3.2: an HS256 key has at least as many bits as the hash.
_TOKEN_SECRET = re.compile(r"[^\x00-\x1f\x7f]{32,1024}")
TokenSecret = Annotated[SecretStr, _matching(_TOKEN_SECRET), REFERENCE]
SrtPassphrases = Annotated[
    dict[str, SecretStr],
    Field(description='a table of stream names, with wildcards "cam*", and passphrases of 10 to 79 characters'),
    _secrets_by_name(_PASSPHRASE, "passphrases"),
]
PublisherNetworks = Annotated[tuple[str, ...], Field(description=ALLOWED_NETWORKS), _each(read_network), LIST]
HttpUrl = Annotated[
    SecretStr, Field(description="an http:// or https:// URL"), AfterValidator(_check_http_url), REFERENCE
]
MaxStreams = Annotated[int, _number(1, 100_000), _NUMBER, REFERENCE]
MaxTracks = Annotated[int, _number(1, 64), _NUMBER, REFERENCE]
MaxBitrateKbps = Annotated[int, _number(1, 10_000_000, "a whole number of kbit/s"), _NUMBER, REFERENCE]
WebhookTimeoutMs = Annotated[int, _number(100, 10_000, "a whole number of milliseconds"), _NUMBER, REFERENCE]
# 16 bits on the wire.
LatencyMs = Annotated[int, _number(0, 65_535, "a whole number of milliseconds"), _NUMBER, REFERENCE]
Scope = Annotated[tuple[str, ...], Field(min_length=1), _each(_check_name), LIST]
Origins = Annotated[
    tuple[str, ...],
    Field(description='origins (https://a.example, http://*.b.example:8080), or "*"'),
    _each(_check_origin),
    LIST,
]
DestinationRules = Annotated[tuple[str, ...], Field(description=ALLOWED_RULES), _each(parse_rule), LIST]
PemFile = Annotated[Path, BeforeValidator(_expand_home), REFERENCE]
Folder = Annotated[Path, Field(description="the path of a folder"), BeforeValidator(_expand_home), REFERENCE]
AbsolutePath = Annotated[Path, AfterValidator(_absolute), BeforeValidator(_expand_home), REFERENCE]
RuleId = Annotated[str, Field(description=ALLOWED_RULE_ID), _matching(RULE_ID), REFERENCE]
# What a rule's texts hold is checked with the protocols at hand, in streammap_rule.py.
Word = Annotated[str, Field(description="a text"), REFERENCE]
SecretWord = Annotated[SecretStr, Field(description="a text"), REFERENCE]
Texts = Annotated[tuple[str, ...], Field(description="a list of texts"), BeforeValidator(_texts), LIST]
SourceUrl = Annotated[
    str,
    Field(description=ALLOWED_URL),
    _parsed_by(check_source_url),
    BeforeValidator(_resolve_url),
]
SourceUrls = Annotated[
    tuple[str, ...],
    Field(max_length=MAX_URLS, description=f"up to {MAX_URLS} URLs, each {ALLOWED_URL}"),
    _each(check_source_url, _resolve_url),
    LIST,
]
# A silent server holds a thread for so long.
NoInputS = Annotated[float, _number(0.5, 600, "seconds"), _NUMBER, REFERENCE]
UnusedS = Annotated[float, _number(1, 86_400, "seconds"), _NUMBER, REFERENCE]
TsListenUrl = Annotated[str, Field(description=ALLOWED_LISTEN_URL), _parsed_by(parse_listen_url), REFERENCE]
OutputStreamName = Annotated[
    str,
    Field(description=f"1 to 128 characters, none of them a space or / : ? # % \\, and {ORIGIN_STREAM_NAME}"),
    _matching(_OUTPUT_STREAM_NAME),
    REFERENCE,
]
VariantName = Annotated[
    str,
    Field(description="up to 128 characters, none of them a colon, a comma or a control character"),
    _matching(_VARIANT_NAME),
    REFERENCE,
]
VariantIndex = Annotated[
    str,
    Field(description='a variant name, or one with an index, "Video:1"'),
    _matching(_VARIANT_INDEX),
    REFERENCE,
]
Language = Annotated[
    str, Field(description="three lower case letters of ISO 639-2, deu"), _matching(_LANGUAGE), REFERENCE
]
TrackIds = Annotated[
    tuple[int, ...], Field(description="a list of whole numbers, the ids of tracks"), BeforeValidator(_numbers), LIST
]
TrackIndex = Annotated[int, _number(0, 31), _NUMBER, REFERENCE]
TickMs = Annotated[int, _number(5, 100, "a whole number of milliseconds"), _NUMBER, REFERENCE]
TcpTickMs = Annotated[int, _number(5, 200, "a whole number of milliseconds"), _NUMBER, REFERENCE]
Threads = Annotated[int, _number(1, 64), _NUMBER, REFERENCE]
Connects = Annotated[int, _number(4, 10_000, "a whole number"), _NUMBER, REFERENCE]
Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"],
    Field(description="DEBUG, INFO, WARNING or ERROR"),
    BeforeValidator(_upper),
    REFERENCE,
]
