"""What the API has beyond OvenMediaEngine's: many changes in one call, dry runs, pauses, keys, events, roles."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from api_client import Client, basic, serving
from live import LiveStream, UdpSink, refusing_tcp_port, until

from pushcast.access import Grant, Role

READER, PUSHER, ELSEWHERE = "reader-token", "pusher-token", "elsewhere-token"
TOKENS = (
    (READER, Grant("eyes", Role.READ)),
    (PUSHER, Grant("hands", Role.PUSH)),
    (ELSEWHERE, Grant("far", Role.ADMIN, apps=frozenset({"b"}))),
)
KEYED: dict[str, Any] = {
    "id": "keyed",
    "stream": {"name": "s"},
    "protocol": "rtmp",
    "url": "rtmp://127.0.0.1:9/live",
    "streamKey": "s3cret-key",
}


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    async with serving(tokens=TOKENS, origins=("https://page.example",)) as made:
        yield made


def plain(push_id: str, url: str = "udp://127.0.0.1:9", **more: Any) -> dict[str, Any]:
    return {"id": push_id, "stream": {"name": "s"}, "protocol": "mpegts", "url": url, **more}


async def test_many_starts_and_stops_have_an_item_each(client: Client) -> None:
    answer = await client.post("startPushes", {"pushes": [plain("a"), plain("a"), {"id": "x"}, 7, plain("b")]})
    assert (answer.status, answer.json["message"]) == (207, "Multi Status")
    items = answer.json["response"]
    assert [item["statusCode"] for item in items] == [200, 409, 400, 400, 200]
    assert [item.get("response", {}).get("id") for item in items] == ["a", None, None, None, "b"]
    stopped = await client.post("stopPushes", {"ids": ["b", "none", "a"]})
    assert [item["statusCode"] for item in stopped.json["response"]] == [200, 404, 200]
    assert (await client.post("pushes")).json["response"] == []


@pytest.mark.parametrize(
    ("action", "body"),
    [("startPushes", {}), ("startPushes", {"pushes": 1}), ("stopPushes", {"ids": "a"}), ("stopPushes", {"ids": [1]})],
)
async def test_a_list_that_is_none_is_refused(client: Client, action: str, body: object) -> None:
    assert (await client.post(action, body)).status == 400


async def test_filters_and_pages(client: Client) -> None:
    for push_id in ("p3", "p1", "p2"):
        await client.post("startPush", plain(push_id))
    await client.post("startPush", KEYED)

    async def ids(**body: Any) -> list[str]:
        answer = await client.post("pushes", body)
        assert answer.status == 200, answer.text
        return [push["id"] for push in answer.json["response"]]

    assert await ids(protocol="mpegts") == ["p1", "p2", "p3"]
    assert await ids(state=["ready", "error"], limit=2) == ["keyed", "p1"]
    assert await ids(after="p1", limit=5) == ["p2", "p3"]
    assert await ids(ids=["p3", "none", "keyed"]) == ["keyed", "p3"]
    assert await ids(stream="other") == []
    for wrong in ({"limit": 0}, {"limit": "2"}, {"state": 5}, {"ids": [5]}):
        assert (await client.post("pushes", wrong)).status == 400


async def test_a_push_is_changed_paused_and_resumed(client: Client) -> None:
    await client.post("startPush", KEYED)
    changed = await client.post("updatePush", {"id": "keyed", "url": "rtmp://127.0.0.1:9/other"})
    assert changed.json["response"]["url"] == "rtmp://127.0.0.1:9/other"
    assert changed.json["response"]["streamKey"] == "s3cret-key"
    refused = await client.post("updatePush", {"id": "keyed", "stream": {"name": "another"}})
    assert (refused.status, "cannot be changed" in refused.text) == (409, True)
    assert (await client.post("updatePush", {"id": "keyed", "url": "http://h"})).status == 400
    paused = (await client.post("pausePush", {"id": "keyed"})).json["response"]
    assert (paused["state"], paused["paused"], paused["halted"]) == ("stopped", True, "paused")
    resumed = (await client.post("resumePush", {"id": "keyed"})).json["response"]
    assert (resumed["state"], "paused" in resumed) == ("ready", False)
    assert (await client.post("restartPush", {"id": "keyed"})).status == 200
    for action in ("updatePush", "pausePush", "resumePush", "restartPush"):
        assert (await client.post(action, {"id": "none"})).status == 404
        assert (await client.post(action, {})).status == 400


@pytest.mark.parametrize("wrong", [{"startAt": "tomorrow"}, {"stopAt": "2026-01-01T00:00:00"}, {"maxDuration": -1}])
async def test_times_that_are_none_are_refused(client: Client, wrong: dict[str, Any]) -> None:
    answer = await client.post("startPush", plain("p", **wrong))
    assert answer.status == 400
    assert next(iter(wrong)) in answer.json["message"]
    assert (await client.post("pushes")).json["response"] == []


async def test_a_repeated_request_with_a_key_starts_once(client: Client) -> None:
    path, headers = "/v1/vhosts/v/apps/a:startPush", {"Idempotency-Key": "k-1"}
    first = await client.request("POST", path, plain("p"), headers=headers)
    again = await client.request("POST", path, plain("p"), headers=headers)
    assert (first.status, again.status, again.text) == (200, 200, first.text)
    other = await client.request("POST", path, plain("q"), headers=headers)
    assert (other.status, "another body" in other.text) == (400, True)
    await client.post("stopPush", {"id": "p"})
    assert (await client.request("POST", path, plain("p"), headers=headers)).text == first.text
    assert (await client.post("pushes")).json["response"] == []
    refused = {"Idempotency-Key": "k-2"}
    assert (await client.request("POST", path, {"id": "p"}, headers=refused)).status == 400
    assert (await client.request("POST", path, plain("p"), headers=refused)).status == 200


async def test_a_dry_run_says_how_far_it_got(client: Client) -> None:
    sink = UdpSink()
    port = await sink.open()

    async def steps(body: dict[str, Any]) -> tuple[bool, list[tuple[str, bool]]]:
        answer = (await client.post("checkPush", body)).json["response"]
        return answer["ok"], [(step["step"], step["ok"]) for step in answer["steps"]]

    assert await steps({"protocol": "none"}) == (False, [("request", False)])
    absent = plain("p", f"tcp://127.0.0.1:{refusing_tcp_port()}")
    assert await steps(absent) == (False, [("request", True), ("stream", True), ("connect", False)])
    live = LiveStream(client.engine.registry)
    live.up()
    good = plain("p", f"udp://127.0.0.1:{port}")
    assert await steps(good) == (True, [(step, True) for step in ("request", "stream", "codecs", "connect")])
    good["stream"] = {"name": "s", "variantNames": ["none"]}
    assert await steps(good) == (False, [("request", True), ("stream", True), ("codecs", False)])
    assert (await client.post("pushes")).json["response"] == []
    assert sink.received == {}
    sink.close()


async def test_events_tell_each_move_and_go_on_from_a_number(client: Client) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)

    async def ask(extra: str = "") -> None:
        head = f"GET /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: {basic(READER)}\r\n{extra}\r\n"
        writer.write(head.encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")

    async def moves(count: int) -> list[tuple[int, str, str]]:
        found: list[tuple[int, str, str]] = []
        number = 0
        while len(found) < count:
            line = (await asyncio.wait_for(reader.readline(), 10)).decode().strip()
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                data = json.loads(line[6:])
                found.append((number, data["from"], data["to"]))
        return found

    await ask()
    await client.post("startPush", plain("p"))
    await client.post("pausePush", {"id": "p"})
    await client.post("resumePush", {"id": "p"})
    told = await moves(3)
    assert [(before, after) for _, before, after in told] == [
        ("ready", "stopping"),
        ("stopping", "stopped"),
        ("stopped", "ready"),
    ]
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    await ask(f"Last-Event-ID: {told[0][0]}\r\n")
    assert await moves(2) == told[1:]
    writer.close()
    assert (await client.request("GET", "/v1/events?after=x")).status == 400


async def test_roles_and_scopes(client: Client) -> None:
    base = "/v1/vhosts/v/apps/a"
    await client.post("startPush", KEYED)
    for token, method, path, status in (
        (READER, "POST", f"{base}:pushes", 200),
        (READER, "POST", f"{base}:startPush", 403),
        (PUSHER, "POST", f"{base}:startPush", 400),
        (PUSHER, "POST", f"{base}/streams", 403),
        (PUSHER, "DELETE", f"{base}/streams/s", 403),
        (ELSEWHERE, "POST", f"{base}:pushes", 403),
        (ELSEWHERE, "POST", "/v1/vhosts/v/apps/b:pushes", 200),
        (ELSEWHERE, "GET", "/v1/stats/current", 403),
        (ELSEWHERE, "GET", "/v1/version", 200),
    ):
        answer = await client.request(method, path, b"{}", authorization=basic(token))
        assert answer.status == status, (token, method, path, answer.text)
    shown = await client.request("GET", "/v1/vhosts/v/apps", authorization=basic(ELSEWHERE))
    assert shown.json["response"] == ["b"]


async def test_keys_are_shown_to_those_who_may_push(client: Client) -> None:
    await client.post("startPush", KEYED)
    path = "/v1/vhosts/v/apps/a:pushes"
    seen = await client.request("POST", path, authorization=basic(READER))
    assert "s3cret-key" not in seen.text
    assert seen.json["response"][0]["streamKey"] == "***"
    assert "s3cret-key" in (await client.request("POST", path, authorization=basic(PUSHER))).text


async def test_a_key_in_a_url_is_masked_too(client: Client) -> None:
    for push_id, url in (("path", "rtmp://127.0.0.1:9/live/s3cret-key"), ("query", "rtmp://127.0.0.1:9/live?x=s3cret")):
        more = {"streamKey": "other"} if push_id == "query" else {"streamKey": ""}
        answer = await client.post("startPush", {**KEYED, "id": push_id, "url": url, **more})
        assert answer.status == 200, answer.text
    seen = await client.request("POST", "/v1/vhosts/v/apps/a:pushes", authorization=basic(READER))
    assert "s3cret" not in seen.text
    assert [push["url"] for push in seen.json["response"]] == ["rtmp://127.0.0.1:9/***"] * 2


async def test_metadata_addresses_are_refused_at_the_request(client: Client) -> None:
    answer = await client.post("startPush", plain("p", "udp://169.254.169.254:9"))
    assert answer.status == 400
    assert (await client.post("pushes")).json["response"] == []


async def test_wrong_logins_are_slowed_down_and_right_ones_are_not(client: Client) -> None:
    answers = [await client.request("GET", "/v1/vhosts", authorization=basic("wrong")) for _ in range(40)]
    assert {answer.status for answer in answers} == {401, 429}
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert (await client.request("GET", "/v1/vhosts")).status == 200


async def test_who_changed_what_is_written_down_without_keys(client: Client) -> None:
    await client.request("POST", "/v1/vhosts/v/apps/a:startPush", KEYED, authorization=basic(PUSHER))
    await client.post("stopPush", {"id": "none"})
    path = client.engine.audit.path
    await client.request("POST", "/v1/vhosts/v/apps/a:stopPush", {"id": "none"}, authorization=basic(READER))
    await until(lambda: path.read_text().count("\n") >= 3)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["token"], line["action"], line.get("push", ""), line["status"]) for line in lines] == [
        ("hands", "startPush", "keyed", 200),
        ("test", "stopPush", "none", 404),
        ("eyes", "stopPush", "", 403),
    ]
    assert "s3cret" not in path.read_text()


async def test_each_of_many_changes_is_written_down(client: Client) -> None:
    many = [plain("first"), {"id": "second"}, 5]
    await client.request("POST", "/v1/vhosts/v/apps/a:startPushes", {"pushes": many}, authorization=basic(PUSHER))
    await client.post("stopPushes", {"ids": ["first", "none"]})
    path = client.engine.audit.path
    await until(lambda: path.read_text().count("\n") >= 7)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["token"], line["action"], line.get("push", ""), line["status"]) for line in lines] == [
        *(
            ("hands", "startPushes", push, status)
            for push, status in (("first", 200), ("second", 400), ("", 400), ("", 207))
        ),
        *(("test", "stopPushes", push, status) for push, status in (("first", 200), ("none", 404), ("", 207))),
    ]


async def test_wrong_logins_are_written_down_as_long_as_they_are_few(client: Client) -> None:
    for _ in range(40):
        await client.request("POST", "/v1/vhosts/v/apps/a:stopPush", {"id": "p"}, authorization=basic("wrong-token"))
    await client.request("GET", "/v1/version", authorization=None)
    await client.post("stopPush", {"id": "none"})
    path = client.engine.audit.path
    await until(lambda: '"action":"stopPush"' in path.read_text())
    *logins, _ = [json.loads(line) for line in path.read_text().splitlines()]
    assert {(line["token"], line["action"], line["status"]) for line in logins} == {("", "login", 401)}
    assert 10 <= len(logins) < 20
    assert "wrong-token" not in path.read_text()


async def test_pages_of_configured_origins_may_read_answers(client: Client) -> None:
    headers = {"Origin": "https://page.example"}
    for method, authorization in (("GET", basic("labtoken")), ("OPTIONS", None), ("GET", None)):
        answer = await client.request(method, "/v1/version", authorization=authorization, headers=headers)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://page.example"
    other = await client.request("GET", "/v1/version", headers={"Origin": "https://other.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


async def test_statistics_of_every_place(client: Client) -> None:
    live = LiveStream(client.engine.registry)
    live.up()
    live.feed(30)
    await client.engine.statistics.sample()
    for path in ("", "/vhosts/v", "/vhosts/v/apps/a", "/vhosts/v/apps/a/streams/s"):
        answer = await client.request("GET", f"/v1/stats/current{path}")
        assert answer.status == 200, answer.text
        assert answer.json["response"]["totalBytesIn"] == live.source.byte_count
    assert (await client.request("GET", "/v1/stats/current/vhosts/v/apps/a/streams/none")).status == 404
    live.down()


async def test_strict_clients_get_400_for_a_duplicate_id() -> None:
    async with serving(strict=True) as client:
        await client.post("startPush", plain("p"))
        answer = await client.post("startPush", plain("p"))
        assert (answer.status, answer.json["message"]) == (400, "[HTTP] Duplicate ID (400)")
