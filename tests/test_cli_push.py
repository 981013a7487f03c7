"""The commands of pushes and streams: the requests they make, and what they make of the answers."""

from __future__ import annotations

import json
import os
import pty
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest
from cli_server import APP, DEADLINE_S, KEY, PUSH, TOKEN, ApiServer, changed, pushcast

# (arguments behind "push start", the request's body, what is said of the protocol)
STARTS: list[tuple[list[str], dict[str, Any], str]] = [
    (
        ["p1", "rtmp://h.example/live", "--stream", "gala", "--key", KEY],
        {
            "id": "p1",
            "stream": {"name": "gala"},
            "protocol": "rtmp",
            "url": "rtmp://h.example/live",
            "streamKey": KEY,
        },
        "pushcast: the protocol is rtmp, as the URL begins with rtmp://\n",
    ),
    (
        ["--stream=gala", "p 2", "udp://239.7.7.7:5004?ttl=3", "--variant=v720", "--variant=aac", "--track=9"],
        {
            "id": "p 2",
            "stream": {"name": "gala", "variantNames": ["v720", "aac"], "trackIds": [9]},
            "protocol": "mpegts",
            "url": "udp://239.7.7.7:5004?ttl=3",
        },
        "pushcast: the protocol is mpegts, as the URL begins with udp://\n",
    ),
    (
        ["p3", "whip://h.example", "--stream", "gala", "--protocol", "whip", "--max-duration", "90"],
        {"id": "p3", "stream": {"name": "gala"}, "protocol": "whip", "url": "whip://h.example", "maxDuration": 90},
        "",
    ),
    (
        ["p4", "srt://h:9", "--stream", "ü", "--start-at", "2031-05-01T20:00", "--stop-at", "2031-05-01T18:00:00Z"],
        {
            "id": "p4",
            "stream": {"name": "ü"},
            "protocol": "srt",
            "url": "srt://h:9",
            "startAt": "2031-05-01T20:00:00.000+05:30",
            "stopAt": "2031-05-01T18:00:00.000+00:00",
        },
        "pushcast: the protocol is srt, as the URL begins with srt://\n",
    ),
    (
        [
            *(
                "p5",
                "rtmps://h.example/live",
                "--stream",
                "gala",
                "--set",
                "tls.insecure=true",
                "--set",
                "tls.serverName=x",
            ),
            *("--set", "retry.max=5", "--set", 'backupUrls=["rtmps://b/live"]', "--set", "note=a=b"),
        ],
        {
            "id": "p5",
            "stream": {"name": "gala"},
            "protocol": "rtmp",
            "url": "rtmps://h.example/live",
            "tls": {"insecure": True, "serverName": "x"},
            "retry": {"max": 5},
            "backupUrls": ["rtmps://b/live"],
            "note": "a=b",
        },
        "pushcast: the protocol is rtmp, as the URL begins with rtmps://\n",
    ),
]


@pytest.mark.parametrize("given", ["retry", "=5", ".max=5", "retry.=5", ""])
def test_settings_that_are_none(api: ApiServer, variables: dict[str, str], given: str) -> None:
    answer = pushcast(variables, "push", "start", "p", "udp://h:1", "--stream", "s", "--set", given)
    assert answer.returncode == 2
    assert "allowed: NAME=VALUE, with dots inside an object" in answer.stderr
    assert not api.seen


def test_a_member_cannot_be_a_value_and_an_object(api: ApiServer, variables: dict[str, str]) -> None:
    twice = ("--set", "retry=5", "--set", "retry.max=5")
    answer = pushcast(variables, "push", "start", "p", "udp://h:1", "--stream", "s", *twice)
    assert answer.returncode == 2
    assert "found 'retry.max', allowed: NAME=VALUE" in answer.stderr


def test_show_with_details(api: ApiServer, variables: dict[str, str]) -> None:
    more = {
        "statistics": {
            "bitsPerS": 2_600_123,
            "rttMs": 1.25,
            "lastConfirmedTime": "2026-11-25T18:00:00.000+05:30",
            "transportStream": {"packets": 1000, "patError": 0, "ptsError": 2, "longestPcrMs": 35.0},
        },
        "history": [{"time": "2026-11-25T18:00:00.000+05:30", "from": "ready", "to": "connecting", "reason": ""}],
    }
    api.on(":pushes", [changed(**more)])
    answer = pushcast(variables, "push", "show", "studio", "--details")
    assert api.seen[0].body == {"id": "studio", "details": True}
    lines = [line.split(maxsplit=1) for line in answer.stdout.splitlines()]
    assert ["bitsPerS", "2600123"] in lines
    assert ["rttMs", "1.25"] in lines
    assert ["transportStream", "1000 packets, 2 ptsError"] in lines
    assert any(name == "history" and value.endswith("ready -> connecting") for name, value in lines)


@pytest.mark.parametrize(("arguments", "body", "said"), STARTS, ids=[body["id"] for _, body, _ in STARTS])
def test_start_makes_the_request(
    api: ApiServer, variables: dict[str, str], arguments: list[str], body: dict[str, Any], said: str
) -> None:
    api.on(":startPush", changed(id=body["id"], state="ready"))
    answer = pushcast(variables, "push", "start", *arguments)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, f"{body['id']}: ready\n", said)
    (seen,) = api.seen
    assert (seen.method, seen.path, seen.token, seen.body) == ("POST", f"{APP}:startPush", TOKEN, body)


@pytest.mark.parametrize("way", ["file", "stdin", "variable", "file beats variable"])
def test_the_key_need_not_stand_in_the_list_of_processes(
    api: ApiServer, variables: dict[str, str], tmp_path: Path, way: str
) -> None:
    api.on(":startPush", PUSH)
    (tmp_path / "key").write_text(f"{KEY}\n")
    arguments = ["push", "start", "p", "rtmp://h/live", "--stream", "gala"]
    if "variable" in way:
        variables |= {"PUSHCAST_STREAM_KEY": "of-the-variable" if "beats" in way else KEY}
    if "file" in way:
        arguments += ["--key-file", str(tmp_path / "key")]
    if way == "stdin":
        arguments += ["--key-file", "-"]
    answer = pushcast(variables, *arguments, stdin=f"{KEY}\n" if way == "stdin" else "")
    assert answer.returncode == 0, answer.stderr
    assert api.seen[0].body["streamKey"] == KEY
    assert KEY not in answer.stdout + answer.stderr


# (arguments, path, body, response, stdout)
ACTIONS: list[tuple[list[str], str, Any, Any, str]] = [
    (["push", "stop", "p1"], f"{APP}:stopPush", {"id": "p1"}, None, "p1: stop asked for\n"),
    (["push", "pause", "p1"], f"{APP}:pausePush", {"id": "p1"}, changed(state="stopping"), "p1: pause asked for\n"),
    (["push", "resume", "p1"], f"{APP}:resumePush", {"id": "p1"}, changed(state="ready"), "p1: resume asked for\n"),
    (["push", "restart", "p1"], f"{APP}:restartPush", {"id": "p1"}, None, "p1: restart asked for\n"),
    (["push", "stop", "p1", "--json"], f"{APP}:stopPush", {"id": "p1"}, None, "null\n"),
    (
        ["push", "stop", "p1", "--vhost", "a b", "--app", "ü/1"],
        "/v1/vhosts/a%20b/apps/%C3%BC%2F1:stopPush",
        {"id": "p1"},
        None,
        "p1: stop asked for\n",
    ),
    (["stream", "list"], f"{APP}/streams", None, ["gala", "x\x1b[2Jy"], "gala\nx\\x1b[2Jy\n"),
    (["stream", "list", "--json"], f"{APP}/streams", None, [], "[]\n"),
]


@pytest.mark.parametrize(
    ("arguments", "path", "body", "response", "out"), ACTIONS, ids=[" ".join(each[0]) for each in ACTIONS]
)
def test_an_action_is_one_request(
    api: ApiServer,
    variables: dict[str, str],
    arguments: list[str],
    path: str,
    body: Any,
    response: Any,
    out: str,
) -> None:
    api.on(path, response)
    answer = pushcast(variables, *arguments)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, out, "")
    (seen,) = api.seen
    assert (seen.path, seen.token, seen.body) == (path, TOKEN, body)


def test_the_list_fits_80_columns_and_shows_no_secret(api: ApiServer, variables: dict[str, str]) -> None:
    api.on(
        ":pushes",
        [
            PUSH,
            changed(
                id="very-long-identifier-of-a-push-that-nobody-would-type",
                state="error",
                protocol="srt",
                url="srt://user:hidden1@203.0.113.77:9000?mode=caller&latency=200000&streamid=hidden2&passphrase=hidden3",
                streamKey="",
            ),
            changed(id="p\x1b]0;x\x07", state="ready", paused=True, url="rtmp://h.example/app/hidden4", streamKey=""),
            changed(id="q", url=f"rtmp://h.example/{'a' * 300}?auth=hidden5"),
        ],
    )
    forced = variables | {"COLUMNS": "200", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}
    answer = pushcast(forced, "push", "list")
    assert (answer.returncode, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    assert len(lines) == 5
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in answer.stdout
    assert "\x07" not in answer.stdout
    assert "hidden" not in answer.stdout
    assert KEY not in answer.stdout
    assert lines[0].split() == ["ID", "STATE", "STREAM", "DESTINATION", "SENT", "SINCE"]
    assert lines[1].startswith("studio")
    assert lines[1].endswith("2.5 GB  2019-07-10")  # 20:00 in Greenwich is the next day in the zone of the test
    assert "…" in lines[2]
    assert " paused " in lines[3]


# (arguments behind "push list", what of the pushes is asked for)
SELECTIONS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["b", "a"], {"ids": ["b", "a"]}),
    (
        ["--state", "error", "--stream", "gala", "--protocol", "srt", "--limit", "7", "--after", "m"],
        {"state": "error", "stream": "gala", "protocol": "srt", "limit": 7, "after": "m"},
    ),
]


@pytest.mark.parametrize(("arguments", "body"), SELECTIONS)
def test_the_list_is_selected_by_the_server(
    api: ApiServer, variables: dict[str, str], arguments: list[str], body: dict[str, Any]
) -> None:
    api.on(":pushes", [PUSH])
    answer = pushcast(variables, "push", "list", "--json", *arguments)
    assert (answer.returncode, json.loads(answer.stdout)) == (0, [PUSH])
    assert api.seen[0].body == body


def test_show_says_everything_but_the_key(api: ApiServer, variables: dict[str, str]) -> None:
    reason = "rtmp ingest.example.net:1940: the server answered NetStream.Publish.BadName: somebody publishes there"
    error = {"code": "rejected", "reason": reason, "time": "2019-07-09T20:00:01.000+00:00"}
    api.on(":pushes", [changed(state="error", lastError=error, retryCount=3, maxDuration=600)])
    answer = pushcast(variables, "push", "show", "studio")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert api.seen[0].body == {"id": "studio"}
    assert max(map(len, answer.stdout.splitlines())) <= 80
    shown = " ".join(answer.stdout.split())
    for words in (
        "stream default/app/gala",
        "tracks v720, 3",
        "url rtmp://ingest.example.net:1940/live2",
        "stream key set (not shown)",
        "sent 12.3 MB in 1:02:03",
        "sent in all 2.5 GB in 25:01:01",
        "sessions 4",
        "created 2019-07-09",
        "ends after 600 s",
        "made by a rule of the configuration",
        f"last error {reason}",
        "failures 3 in a row",
    ):
        assert words in shown
    assert "finished" not in shown  # the epoch is no time
    assert KEY not in answer.stdout


def test_show_of_an_unknown_id_is_a_refusal(api: ApiServer, variables: dict[str, str]) -> None:
    api.on(":pushes", [])
    answer = pushcast(variables, "push", "show", "absent")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == "pushcast: Could not find id 'absent': [default/app]\n"


def test_stream_show_lists_the_tracks(api: ApiServer, variables: dict[str, str]) -> None:
    video = {"codec": "H264", "width": 1280, "height": 720, "framerate": 29.97, "bitrate": 2_512_000}
    audio = {"codec": "AAC", "samplerate": 44100, "channel": 1, "bitrate": 0}
    api.on(
        f"{APP}/streams/g%20a",
        {
            "name": "g a",
            "input": {
                "sourceType": "Rtmp",
                "sourceUrl": "rtmp://user:hidden@h/app",
                "createdTime": "2019-07-08T23:30:00.000+00:00",
                "tracks": [
                    {"id": 5, "name": "v720", "type": "Video", "video": video},
                    {"id": 6, "name": "sound", "type": "Audio", "audio": audio},
                ],
            },
        },
    )
    answer = pushcast(variables, "stream", "show", "g a")
    assert (answer.returncode, answer.stderr) == (0, "")
    lines = [line.split() for line in answer.stdout.splitlines()]
    assert lines[:4] == [["name", "g", "a"], ["source", "Rtmp"], ["url", "rtmp://h/app"], ["since", "2019-07-09"]]
    assert lines[6] == ["5", "v720", "Video", "H264", "1280x720", "29.97", "fps", "2.5", "Mbit/s"]
    assert lines[7] == ["6", "sound", "Audio", "AAC", "44100", "Hz", "1", "ch", "-"]


# (steps, exit code, stdout, stderr)
CHECKS: list[tuple[list[dict[str, Any]], int, str, str]] = [
    (
        [
            {"step": "stream", "ok": True, "detail": "live, 2 tracks"},
            {"step": "connect", "ok": True, "detail": "accepted in 40 ms"},
        ],
        0,
        "stream   ok: live, 2 tracks\nconnect  ok: accepted in 40 ms\n",
        "",
    ),
    (
        [
            {"step": "policy", "ok": True, "detail": "allowed"},
            {"step": "resolve", "ok": False, "detail": "host 'h.example'\n has no \x1b address"},
        ],
        1,
        "policy   ok: allowed\nresolve  failed: host 'h.example' has no \\x1b address\n",
        "pushcast: p fails at resolve: host 'h.example' has no \\x1b address\n",
    ),
]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("steps", "code", "out", "err"), CHECKS, ids=["good", "bad"])
def test_check_tells_the_steps(
    api: ApiServer,
    variables: dict[str, str],
    steps: list[dict[str, Any]],
    code: int,
    out: str,
    err: str,
    as_json: bool,
) -> None:
    result = {"ok": code == 0, "steps": steps}
    api.on(":checkPush", result)
    command = ["push", "check", "p", "srt://h.example:9000", "--stream", "gala", "--protocol", "srt"]
    answer = pushcast(variables, *command, *(["--json"] if as_json else []))
    assert (answer.returncode, answer.stderr) == (code, err)
    assert json.loads(answer.stdout) == result if as_json else answer.stdout == out
    assert api.seen[0].body["url"] == "srt://h.example:9000"


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_has_colours_and_its_own_width(api: ApiServer, variables: dict[str, str], no_color: bool) -> None:
    url = f"rtmp://ingest.example.net/{'a' * 60}"
    api.on(":pushes", [changed(url=url)])
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 150, 0, 0))
    more = {"NO_COLOR": "1"} if no_color else {}
    command = [sys.executable, "-m", "pushcast", "push", "list"]
    ended = subprocess.run(command, env=variables | more, stdin=subprocess.DEVNULL, stdout=theirs, timeout=DEADLINE_S)
    os.close(theirs)
    shown = b""
    try:
        while content := os.read(ours, 65536):
            shown += content
    except OSError:
        pass  # the other side of a terminal that is gone
    os.close(ours)
    assert ended.returncode == 0
    assert url.encode() in shown
    assert (b"\x1b[32mpushing\x1b[0m" in shown) is not no_color
    assert (b"\x1b" in shown) is not no_color
