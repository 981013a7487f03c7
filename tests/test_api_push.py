"""The push endpoints over real HTTP: documented bodies, texts and order of checks."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from api_client import Client, basic, serving
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from live import LiveStream, UdpSink, refusing_tcp_port, silent_udp_port, until

from pushcast.api import times
from pushcast.api.body import read_json
from pushcast.api.times import iso_time
from pushcast.errors import InvalidRequest

CASES = json.loads((Path(__file__).parent / "data/api_cases.json").read_text())["cases"]
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$")
JSON_TYPE = "application/json;charset=UTF-8"
START: dict[str, Any] = {
    "id": "p",
    "stream": {"name": "s"},
    "protocol": "mpegts",
    "url": "udp://127.0.0.1:9",
}


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    async with serving() as made:
        yield made


def without_times(value: object) -> object:
    """The same value, with <now> and <epoch> for the times; what is no time of the right form stays as it is."""
    if isinstance(value, list):
        return [without_times(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _time_word(item) if key.endswith("Time") else without_times(item) for key, item in value.items()}


def _time_word(text: object) -> object:
    if not isinstance(text, str) or not TIME.match(text):
        return text
    return "<epoch>" if text == iso_time(0) else "<now>"


async def test_replay() -> None:
    """Whole answers, members in the documented order."""
    async with serving({"default": ("app",)}) as client:
        for case in CASES:
            authorization = case.get("authorization", basic("labtoken"))
            answer = await client.request(
                case["method"],
                case["path"],
                case.get("body"),
                authorization=authorization,
                headers=case.get("headers"),
            )
            assert answer.status == case["status"], case["case"]
            assert answer.headers["Server"] == "pushcast"
            assert "Alt-Svc" not in answer.headers
            if case["status"] == 204:
                assert answer.text == ""
                assert answer.headers["Access-Control-Allow-Methods"] == (
                    "OPTIONS, HEAD, GET, POST, PUT, PATCH, DELETE"
                )
                continue
            assert answer.headers["Content-Type"] == JSON_TYPE, case["case"]
            assert answer.headers.get("WWW-Authenticate") == (
                'Basic realm="OvenMediaEngine"' if case["status"] == 401 else None
            ), case["case"]
            if case["method"] == "HEAD":
                assert answer.text == ""
                assert int(answer.headers["Content-Length"]) > 0
                continue
            assert json.dumps(without_times(answer.json)) == json.dumps(case["answer"]), case["case"]


async def test_times_are_local_with_a_numeric_offset(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for zone, epoch in (("Asia/Seoul", "1970-01-01T09:00:00.000+09:00"), ("UTC", "1970-01-01T00:00:00.000+00:00")):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        times.local_second.cache_clear()
        shown = (await client.post("startPush", {**START, "id": zone})).json["response"]
        assert shown["startTime"] == shown["finishTime"] == epoch
        assert TIME.match(shown["createdTime"])
        assert shown["createdTime"].endswith(epoch[-6:])
    monkeypatch.undo()
    time.tzset()
    times.local_second.cache_clear()


async def test_a_push_from_start_to_stop(client: Client) -> None:
    sink = UdpSink()
    port = await sink.open()
    live = LiveStream(client.engine.registry)
    live.up()
    live.feed(30)
    began = (await client.post("startPush", {**START, "url": f"udp://127.0.0.1:{port}/"})).json["response"]
    assert began["state"] == "ready"
    assert began["url"] == f"udp://127.0.0.1:{port}"
    push = client.engine.scheduler.get("v", "a", "p")
    assert push is not None
    async with live.playing():
        await until(lambda: push.progress().sent_time_ms > 0)
        (shown,) = (await client.post("pushes", {"id": "p"})).json["response"]
    assert shown["state"] == "pushing"
    assert shown["sentBytes"] == shown["totalsentBytes"] > 0
    assert shown["sentTime"] == shown["totalsentTime"] > 0
    assert shown["sequence"] == 0
    assert shown["startTime"] != iso_time(0) == shown["finishTime"]
    assert "lastError" not in shown
    live.down()
    await until(lambda: push.state == "ready")
    (shown,) = (await client.post("pushes")).json["response"]
    assert (shown["state"], shown["sequence"], shown["sentBytes"], shown["sentTime"]) == ("ready", 1, 0, 0)
    assert shown["totalsentBytes"] == sum(map(len, sink.received.values()))
    assert shown["finishTime"] != iso_time(0)
    assert (await client.post("stopPush", {"id": "p"})).text == '{"statusCode":200,"message":"OK"}'
    assert (await client.post("startPush", START)).status == 200, "the id is free at once"
    sink.close()


async def test_an_error_is_told_behind_the_documented_members(client: Client) -> None:
    live = LiveStream(client.engine.registry)
    live.up()
    port = refusing_tcp_port()
    await client.post("startPush", {**START, "url": f"tcp://127.0.0.1:{port}"})
    push = client.engine.scheduler.get("v", "a", "p")
    assert push is not None
    await until(lambda: push.next_retry_time)
    (shown,) = (await client.post("pushes")).json["response"]
    assert shown["state"] == "error"
    assert list(shown)[-4:] == ["isConfig", "lastError", "retryCount", "nextRetryTime"]
    assert shown["lastError"]["code"] == "connect_refused"
    assert str(port) in shown["lastError"]["reason"]
    assert TIME.match(shown["lastError"]["time"])
    assert shown["retryCount"] == 1
    assert shown["nextRetryTime"] > shown["lastError"]["time"]


async def test_no_request_waits_for_a_destination(client: Client) -> None:
    live = LiveStream(client.engine.registry)
    live.up()
    mute, port = silent_udp_port()
    began = time.monotonic()
    for number in range(20):
        body = {**START, "id": f"p{number}", "protocol": "srt", "url": f"srt://127.0.0.1:{port}"}
        assert (await client.post("startPush", body)).status == 200
    listed = (await client.post("pushes")).json["response"]
    assert {shown["state"] for shown in listed} == {"connecting"}
    for number in range(20):
        assert (await client.post("stopPush", {"id": f"p{number}"})).status == 200
    assert (await client.post("pushes")).json["response"] == []
    assert time.monotonic() - began < 1.0
    mute.close()


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v1/vhosts/v/apps/a%3Apushes", 200, "OK"),
        ("/v1/vhosts/v/apps/%61:pushes", 200, "OK"),
        ("/v1/vhosts/%76/apps/a:pushes", 200, "OK"),
        ("/v1/vhosts/v/apps/a:pushes/", 404, "[HTTP] Controller not found (404)"),
        ("/v1/vhosts/v/apps/:pushes", 404, "[HTTP] Could not find the application: [v/] (404)"),
        ("/v1/vhosts/v/apps/a%2Fb:pushes", 404, "[HTTP] Could not find the application: [v/a/b] (404)"),
        ("/v1/vhosts/v/apps/x%3Ay:pushes", 404, "[HTTP] Could not find the application: [v/x:y] (404)"),
        ("/v1/vhosts/v%C3%BC/apps/a:pushes", 404, "[HTTP] Could not find the virtual host: [vü] (404)"),
        ("/v1/vhosts/v/apps/%FF:pushes", 404, "[HTTP] Could not find the application: [v/\ufffd] (404)"),
        ("/v1/vhosts/v/apps/a:Pushes", 404, "[HTTP] Controller not found (404)"),
        ("/v1/vhosts/v/apps/a:", 404, "[HTTP] Controller not found (404)"),
        ("/v1/vhosts/v/apps/a", 404, "[HTTP] Controller not found (404)"),
        ("//v1/vhosts/v/apps/a:pushes", 404, "[HTTP] Controller not found (404)"),
        ("/V1/vhosts/v/apps/a:pushes", 404, "[HTTP] Controller not found (404)"),
    ],
)
async def test_paths(client: Client, path: str, status: int, message: str) -> None:
    answer = await client.request("POST", path, {})
    assert (answer.status, answer.json["message"]) == (status, message)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
@pytest.mark.parametrize("action", ["startPush", "stopPush", "pushes"])
async def test_methods(client: Client, method: str, action: str) -> None:
    answer = await client.request(method, f"/v1/vhosts/v/apps/a:{action}")
    served = action == "pushes" and method in {"GET", "HEAD"}
    assert answer.status == (200 if served else 404)


async def test_configured_names_in_unicode() -> None:
    async with serving({"bühne": ("größe",)}) as client:
        path = "/v1/vhosts/b%C3%BChne/apps/gr%C3%B6%C3%9Fe"
        body = {**START, "id": "ключ/1:2", "stream": {"name": "поток"}}
        shown = (await client.request("POST", f"{path}:startPush", body)).json["response"]
        assert (shown["vhost"], shown["app"], shown["id"]) == ("bühne", "größe", "ключ/1:2")
        assert (await client.request("POST", f"{path}:stopPush", {"id": "ключ/1:2"})).status == 200


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"id": None}, " id"),
        ({"id": ""}, " id"),
        ({"id": ["x"]}, " id"),
        ({"stream": None}, " stream.name"),
        ({"stream": []}, " stream.name"),
        ({"stream": {"name": 5}}, " stream.name"),
        ({"url": {}}, " url"),
        ({"url": "   "}, " url"),
        ({"id": 0, "stream": {}, "url": False}, " id stream.name url"),
    ],
)
async def test_missing_parameters(client: Client, change: dict[str, object], missing: str) -> None:
    answer = await client.post("startPush", {**START, **change})
    assert answer.status == 400
    assert answer.json == {
        "statusCode": 400,
        "message": f"[HTTP] There is no required parameter [{missing}] (400)",
    }


@pytest.mark.parametrize("word", ["", "  ", "RTMPS", "webrtc", 7, None, ["rtmp"]])
async def test_protocol_words(client: Client, word: object) -> None:
    answer = await client.post("startPush", {**START, "protocol": word})
    shown = word.strip().lower() if isinstance(word, str) else ""
    assert answer.json["message"] == f"[HTTP] Could not find protocol '{shown}': [v/a] (400)"


async def test_a_bad_url_is_told_before_a_duplicate_id(client: Client) -> None:
    assert (await client.post("startPush", START)).status == 200
    assert (await client.post("startPush", {**START, "url": "srt://127.0.0.1:9"})).status == 400
    answer = await client.post("startPush", START)
    assert (answer.status, answer.json["message"]) == (409, "[HTTP] Duplicate ID (409)")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b" " * (1 << 20) + b"{}", 413),
        (b'{"id": "' + b"x" * (1 << 20), 413),
        (b"[" * 900_000, 400),
        (b'{"a":' * 150_000, 400),
        (b'{"id": "x",' + b" " * 70_000 + b"}", 400),
        (b"\xff\xfe", 400),
        (b'{"id": "\\ud800"}', 400),
        (b'{"id": "\x00"}', 400),
        (b"nul", 400),
        (b"NaN", 400),
        (b"9" * 5000, 400),
    ],
)
async def test_hostile_bodies(client: Client, body: bytes, status: int) -> None:
    began = time.monotonic()
    answer = await client.request("POST", "/v1/vhosts/v/apps/a:stopPush", body)
    assert time.monotonic() - began < 1.0
    assert answer.status == status
    assert answer.json["statusCode"] == status
    assert answer.json["message"].startswith("[HTTP] ")
    assert answer.json["message"].endswith(f" ({status})")
    assert (await client.post("pushes")).json["response"] == []


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ('{"a": 1,}', {"a": 1}),
        ("[1, 2,]", [1, 2]),
        ('{"a": 1} trailing', {"a": 1}),
        ('// first\n{"a": /* why */ [true, false, null]} }', {"a": [True, False, None]}),
        ('{"a": "\\u00fc\\n"} x', {"a": "ü\n"}),
        ("{} {", {}),
        ("-1.5e3 x", -1500.0),
        ("12 x", 12),
        ('{"a": {"b": [{}, []]}},', {"a": {"b": [{}, []]}}),
        ('{"a": 1, "a": 2,}', {"a": 2}),
    ],
)
def test_lenient_json(body: str, value: object) -> None:
    assert read_json(body.encode()) == value


@pytest.mark.parametrize(
    ("body", "line", "column", "message"),
    [
        ("{", 1, 2, "Missing '}' or object member name"),
        ("{bad", 1, 2, "Missing '}' or object member name"),
        ('{"id":"a"', 1, 10, "Missing ',' or '}' in object declaration"),
        ('{"id" "a"}', 1, 7, "Missing ':' after object member name"),
        ('{\n "id": 1\n "b": 2}', 3, 2, "Missing ',' or '}' in object declaration"),
        ("[1 2]", 1, 4, "Missing ',' or ']' in array declaration"),
        ('{"a": }', 1, 7, "Syntax error: value, object or array expected."),
        ('{"a": "open', 1, 7, "Syntax error: value, object or array expected."),
        ("  ", 1, 3, "Syntax error: value, object or array expected."),
        ('{"a": "\\x"}', 1, 7, "Bad escape sequence in string"),
        ('{"a": /* open', 1, 7, "Syntax error: value, object or array expected."),
        ("[" * 300, 1, 201, "Exceeded stackLimit in readValue()."),
    ],
)
def test_json_errors_say_where(body: str, line: int, column: int, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_json(body.encode())
    assert str(caught.value) == f"[JSON] * Line {line}, Column {column}\n  {message}\n"


RIGHT = b"Authorization: " + basic("labtoken").encode() + b"\r\n"
PUSHES = b"POST /v1/vhosts/v/apps/a:pushes HTTP/1.1\r\n" + RIGHT


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET /" + b"x" * 20_000, 413),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"GET ?x HTTP/1.1\r\n" + RIGHT + b"\r\n", 404),
        (b"GET ?x HTTP/1.1\r\n\r\n", 401),
        (b"NONE /v1/version HTTP/1.1\r\n\r\n", 401),
        (PUSHES + b"Content-Length: -5\r\n\r\n{}", 400),
        (PUSHES + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
        (PUSHES + b"Content-Length: 99999999999\r\n\r\n{}", 413),
        (PUSHES + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200),
        (PUSHES + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (PUSHES + b"Content-Type: image/png\r\nContent-Length: 2\r\n\r\n{}", 200),
    ],
)
async def test_hostile_requests(client: Client, sent: bytes, status: int, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(sent)
    async with asyncio.timeout(2):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        body = json.loads(await reader.readexactly(int(length[1])))
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert body["statusCode"] == status
    writer.close()
    assert "Traceback" not in caplog.text
    assert (await client.post("pushes")).status == 200


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@examples(deadline=None, max_examples=200)
@given(value=JSON_VALUES)
def test_the_lenient_reading_reads_what_the_strict_one_reads(value: object) -> None:
    assert read_json((json.dumps(value) + " x").encode()) == value


@examples(deadline=None, max_examples=300)
@given(body=st.binary(max_size=60) | st.text('{}[]:,"\\/*u0123 \n', max_size=40).map(str.encode))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    refused: InvalidRequest | None = None
    try:
        read_json(body)
    except InvalidRequest as error:
        refused = error
    assert refused is None or str(refused).startswith("[JSON] * Line ")


async def test_what_a_request_says_comes_back(client: Client) -> None:
    body = {
        **START,
        "protocol": " Rtmp\t",
        "url": "rtmp://127.0.0.1:2/live///",
        "streamKey": " key?a=b/c ",
        "stream": {"name": " s ", "trackIds": [4, 4294967296, -1, "7"], "tracks": [9], "variantNames": ["a b", 1]},
    }
    shown = (await client.post("startPush", body)).json["response"]
    assert shown["protocol"] == "rtmp"
    assert shown["url"] == "rtmp://127.0.0.1:2/live"
    assert shown["streamKey"] == "key?a=b/c"
    assert shown["stream"] == {"name": " s ", "trackIds": [4], "variantNames": ["a b"]}


async def test_keys_stay_out_of_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    live = LiveStream(client.engine.registry)
    live.up()
    live.feed(3)
    port = refusing_tcp_port()
    secrets = ("k-77-stream-key", "passphrase-88-words", "user-99")
    bodies = [
        {**START, "id": "1", "protocol": "rtmp", "url": f"rtmp://127.0.0.1:{port}/live", "streamKey": secrets[0]},
        {**START, "id": "2", "protocol": "srt", "url": f"srt://127.0.0.1:{port}?passphrase={secrets[1]}&timeout=50000"},
        {**START, "id": "3", "protocol": "rtmp", "url": f"rtmp://{secrets[2]}@127.0.0.1:{port}/live/{secrets[0]}"},
        {**START, "id": "4", "protocol": "rtmp", "url": f"rtmp://127.0.0.1:{port}/live/{secrets[0]}"},
    ]
    with caplog.at_level("DEBUG"):
        answers = [await client.post("startPush", body) for body in bodies]
        pushes = client.engine.scheduler.pushes("v", "a")
        await until(lambda: all(push.last_error for push in pushes))
        await client.request("POST", "/v1/vhosts/v/apps/a:pushes", "{bad")
    assert [answer.status for answer in answers] == [200, 200, 400, 200]
    reasons = [push.last_error.reason for push in pushes if push.last_error]
    for secret in (*secrets, "labtoken"):
        assert secret not in caplog.text
        assert all(secret not in reason for reason in reasons)
        assert secret not in answers[2].text


async def test_requests_at_once(client: Client) -> None:
    answers = await asyncio.gather(*(client.post("startPush", {**START, "id": f"p{n % 40}"}) for n in range(120)))
    assert sorted(answer.status for answer in answers) == [200] * 40 + [409] * 80
    listed = (await client.post("pushes")).json["response"]
    assert [shown["id"] for shown in listed] == sorted(f"p{n}" for n in range(40))
