"""The API's description: whole, true of a running server, and a page that needs nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import documented
import jsonschema_rs
import pytest
import pytest_asyncio
import requests
import schemathesis
from api_client import Client, basic, serving
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serving import TOKEN, Served, ffmpeg_publish, make_clip
from serving import serving as a_server

from pushcast.access import Grant, Role
from pushcast.api.openapi.operations import OPERATIONS, Operation

READER, PUSHER, ADMIN = "reader-token-of-16", "pusher-token-of-16", "admin-token-of-16"
TOKENS = tuple(
    (token, Grant(role.value, role)) for token, role in ((READER, Role.READ), (PUSHER, Role.PUSH), (ADMIN, Role.ADMIN))
)
LOWER = {Role.PUSH: READER, Role.ADMIN: PUSHER}


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    async with serving(tokens=TOKENS) as made:
        yield made


def path_of(operation: Operation) -> str:
    return operation.path.format(vhost="v", app="a", stream="s")


def by_id(operation: Operation) -> str:
    return operation.id


def test_each_schema_is_one() -> None:
    for name, schema in documented.DOCUMENT["components"]["schemas"].items():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
        documented.validator(f'{{"$ref": "#/components/schemas/{name}"}}')


def test_every_operation_has_an_id_of_its_own() -> None:
    assert len({each.id for each in OPERATIONS}) == len({(each.path, each.method) for each in OPERATIONS})
    assert len({each.id for each in OPERATIONS}) == len(OPERATIONS)


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if not each.event_stream], ids=by_id)
async def test_every_operation_is_there_for_its_role_alone(client: Client, operation: Operation) -> None:
    method, path = operation.method.upper(), path_of(operation)
    answer = await client.request(method, path, authorization=None)
    assert answer.status == 401
    if operation.role in LOWER:
        answer = await client.request(method, path, authorization=basic(LOWER[operation.role]))
        assert (answer.status, "needed" in answer.text) == (403, True)
    answer = await client.request(method, path, authorization=basic(ADMIN if operation.role else READER))
    assert answer.status not in (401, 403)
    assert "Controller not found" not in answer.text


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/openapi.json", "application/json;charset=UTF-8", '"openapi":"3.1.0"'),
        ("/docs", "text/html; charset=utf-8", "<!doctype html>"),
    ],
)
async def test_anybody_may_read_the_description(client: Client, path: str, kind: str, words: str) -> None:
    answer = await client.request("GET", path, authorization=None)
    assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
    assert words in answer.text
    head = await client.request("HEAD", path, authorization=None)
    assert (head.status, head.text, head.headers["Content-Length"]) == (200, "", answer.headers["Content-Length"])
    assert (await client.request("POST", path, b"{}")).status == 404


async def test_the_page_has_every_operation_and_fetches_nothing(client: Client) -> None:
    page = await client.request("GET", "/docs")
    for operation in OPERATIONS:
        assert f'id="{operation.id}"' in page.text
        assert f'href="#{operation.id}"' in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert not re.search(r"<(script|img|link|iframe)|@import|url\(|(src|href)=\"(?!#|openapi\.json)", page.text)


# 2,000 cases for the whole API: half of them as described, half of them wrong in some way.
CASES = 2000
EACH = 60
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# What a gateway says when nothing came from a URL; any other 5xx is a fault.
BAD_GATEWAY = 502
# Its answer never ends; test_api_beyond.py speaks to it.
ENDLESS = "events"
# They take away what the others are aimed at.
LAST = ("stopPushes", "stopPush", "deleteStream")
# Nobody serves what it asks for.
NEVER_DONE = {"createStream"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("openapi")
    clip = make_clip(folder / "clip.mp4", 2, video="-c:v libx264 -preset ultrafast -s 160x90 -g 25")
    # Made-up URLs lead nowhere: what is not of this machine is refused.
    with a_server(folder, extra='[destinations]\nallow = ["127.0.0.0/8"]') as server:
        publisher = ffmpeg_publish(
            clip, f"rtmp://127.0.0.1:{server.rtmp_port}/app/live", folder / "ffmpeg.log", loop=True
        )
        server.until_stream()
        yield server
        publisher.stop()
        assert not server.process.said("unexpected error"), server.process.log.read_text()


def test_a_running_server_answers_as_described(served: Served) -> None:
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{served.api_port}/openapi.json")
    operations = {each.definition.raw["operationId"]: each for each in (op.ok() for op in schema.get_all_operations())}
    del operations[ENDLESS]
    asked = 0
    with requests.Session() as session:
        session.headers["Authorization"] = basic(TOKEN)
        for name in [*(name for name in operations if name not in LAST), *LAST]:
            statuses = Counter[int]()
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                ask(operations[name], mode, session, statuses)
            asked += statuses.total()
            assert name in NEVER_DONE or {200, 201, 207} & statuses.keys(), (name, statuses)
    assert asked >= CASES


def ask(
    operation: APIOperation[Any, Any, Any], mode: GenerationMode, session: requests.Session, seen: Counter[int]
) -> None:
    """Cases of one kind; three in four are aimed at what is there."""

    @given(case=operation.as_strategy(generation_mode=mode), aim=st.integers(0, 3))
    @examples(
        max_examples=EACH, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    def run(case: Case, aim: int) -> None:
        if aim:
            at_what_is_there(case, push_id=f"p{aim}")
        answer = case.call(session=session)
        seen[answer.status_code] += 1
        assert answer.status_code < 500 or answer.status_code == BAD_GATEWAY, answer.text
        case.validate_response(answer, checks=CHECKS)

    run()


# A push of these members alone is one that can be had: of all that it may ask for something is wrong nearly always.
PLAIN, PLAIN_ID = frozenset({"id", "stream", "protocol", "url", "streamKey"}), "p1"


def at_what_is_there(case: Case, push_id: str) -> None:
    """The same case, of the application and the stream that are there, and to a destination of this machine."""
    there = {"vhost": "default", "app": "app", "stream": "live"}
    case.path_parameters = {name: there[name] for name in case.path_parameters}
    for wanted in [case.body, *members_of(case.body, "pushes")]:
        if isinstance(wanted, dict) and (isinstance(wanted.get("url"), str) or "stream" in wanted):
            wanted |= {"protocol": "mpegts", "url": "udp://127.0.0.1:9"}
            if push_id == PLAIN_ID:
                for name in wanted.keys() - PLAIN:
                    del wanted[name]
    if isinstance(case.body, dict) and isinstance(case.body.get("id"), str):
        case.body["id"] = push_id
    if isinstance(case.body, dict) and isinstance(case.body.get("urls"), list):
        case.body["urls"] = ["rtmp://127.0.0.1:9/app/live" for _ in case.body["urls"]]


def members_of(body: object, name: str) -> list[Any]:
    found = body.get(name) if isinstance(body, dict) else None
    return found if isinstance(found, list) else []
