"""What one peer does, or fails to do, is its own affair: peers that stop reading, networks out of reach, hostile
publishers.  And nothing secret is ever said.
"""

from __future__ import annotations

import asyncio
import base64
import signal
import time
from pathlib import Path

import pytest
from live import LiveStream, engine, until
from serving import TOKEN, Served, ffmpeg_publish, serving
from serving import until as until_true

from adversity.gaps import FRAME_TICKS, attachment, check_gaps, longest_gaps, play, start
from adversity.hostile import attack
from adversity.sinks import Sink, sinks, url
from adversity.storm import live_pushes
from pushcast.errors import EngineError
from pushcast.push import Push as RunningPush
from pushcast.push_state import LastError, PushState

PROTOCOLS = ("rtmp", "srt", "tcp", "udp")
STALL_S, STALL_SLACK_S = 10.0, 4.0
JUMP_LAG_MS = 5050  # just more than what a jump needs
GROWTH_BYTES = 12 << 20  # the ring grows to the media it keeps, and no further
GAP_MS = 250


def resident_bytes() -> int:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


async def test_peers_that_stop_reading_disturb_nobody_and_end_or_jump() -> None:
    """Two receivers are frozen for good and end as stalled; one comes back when it is late, and jumps."""
    with sinks(*PROTOCOLS) as others, sinks("rtmp", "tcp") as frozen, sinks("tcp") as paused:
        async with engine() as built:
            stream = LiveStream(built.registry)
            stream.up()
            player = asyncio.create_task(play(stream))
            live = start(built, "live", live_pushes(others, 3))
            stuck = start(built, "stuck", [url(protocol, sink.port) for protocol, sink in frozen.items()])
            (late,) = start(built, "late", [url("tcp", paused["tcp"].port)])
            await until(lambda: all(push.state is PushState.PUSHING for push in (*live, *stuck, late)))
            for sink in (*frozen.values(), *paused.values()):
                sink.child.send_signal(signal.SIGSTOP)
            began, resident = time.monotonic(), resident_bytes()
            windows = [await longest_gaps(live, 1.2) for _ in range(3)]
            session = attachment(late)
            await until(lambda: session.counters().lag_ms > JUMP_LAG_MS, STALL_S)
            paused["tcp"].child.send_signal(signal.SIGCONT)
            await until(lambda: session.counters().jumps == 1 and session.counters().lag_ms < 200)
            errors = [await first_error(push) for push in stuck]
            stalled_s = time.monotonic() - began
            assert attachment(late) is session
            assert resident_bytes() - resident < GROWTH_BYTES
            player.cancel()
            await asyncio.wait({player})
        assert stalled_s < STALL_S + STALL_SLACK_S
        assert [error.code for error in errors] == ["stalled", "stalled"], errors
        check_gaps(windows)
        for protocol, sink in others.items():
            assert sink.summary()["errors"] == 0, f"{protocol}: {sink.rows()}"
        (row,) = paused["tcp"].rows()
        assert row["errors"] == {}, "a jump is announced in the stream"
        carried_ms = (row["last_dts"] - row["first_dts"]) / 90
        assert carried_ms - row["video_frames"] * FRAME_TICKS / 90 > 1000, f"nothing was left out: {row}"


async def first_error(push: RunningPush) -> LastError:
    found: list[LastError] = []

    def look() -> bool:
        if push.last_error is not None:
            found.append(push.last_error)
        return bool(found)

    await until(look, STALL_S + STALL_SLACK_S)
    return found[0]


SECRETS = {
    "key": "stream-key-7f3a",
    "key in the path": "path-key-91bc",
    "passphrase": "passphrase-of-the-test",
    "wrong passphrase": "another-passphrase",
    "stream id": "stream-id-55d0",
    "token of the publisher": "publisher-token-2e6f",
    "user": "user-4c1d",
    "password": "password-8a9e",
}


def test_hostile_publishers_and_networks_out_of_reach_disturb_no_push(tmp_path: Path, clip: Path) -> None:
    encrypted = Sink("srt", "--passphrase", SECRETS["passphrase"])
    try:
        with serving(tmp_path, extra='[log]\nlevel = "DEBUG"\n') as served, sinks("rtmp", "tcp", "udp") as others:
            begin = f"rtmp://127.0.0.1:{served.rtmp_port}/app"
            token = SECRETS["token of the publisher"]
            publisher = ffmpeg_publish(clip, f"{begin}/live?token={token}", tmp_path / "publisher.log", loop=True)
            late = None
            try:
                served.until_stream()
                receivers = {**others, "srt": encrypted}
                start_pushes(served, receivers)
                for protocol in receivers:
                    served.until_state(protocol, "pushing")
                met = asyncio.run(attack(served.rtmp_port, 4.0, random_ones=10, half=20, drips=200))
                assert met.open >= 200, f"those that only dawdle keep their connection until a deadline: {met}"
                assert met.closed >= 10, f"noise is not listened to: {met}"
                check_failures(served)
                late = ffmpeg_publish(clip, f"{begin}/late?token={token}", tmp_path / "late.log", loop=True)
                served.until_stream("late")
                for protocol, sink in receivers.items():
                    assert served.push(protocol)["state"] == "pushing"
                    check_undisturbed(protocol, sink)
            finally:
                publisher.stop()
                if late is not None:
                    late.stop()
        log = (tmp_path / "serve.log").read_text()
    finally:
        encrypted.kill()
    assert "Traceback" not in log
    assert "internal error" not in log
    for what, secret in {
        **SECRETS,
        "API token": TOKEN,
        "its base64": base64.b64encode(TOKEN.encode()).decode(),
    }.items():
        assert secret not in log, f"the {what} stands in the log"


def start_pushes(served: Served, receivers: dict[str, Sink]) -> None:
    """One to each receiver, with every kind of secret; and some that must fail."""
    srt = f"srt://127.0.0.1:{receivers['srt'].port}?latency=120000&streamid={SECRETS['stream id']}&passphrase="
    served.start("rtmp", "rtmp", f"rtmp://127.0.0.1:{receivers['rtmp'].port}/in", SECRETS["key"])
    served.start("srt", "srt", srt + SECRETS["passphrase"])
    served.start("tcp", *url("tcp", receivers["tcp"].port))
    served.start("udp", *url("udp", receivers["udp"].port))
    served.start("wrong", "srt", srt + SECRETS["wrong passphrase"])
    # A loopback address cannot send anywhere else.
    served.start("unreachable", "mpegts", "udp://203.0.113.9:5004?localaddr=127.0.0.1")
    served.start("refused", "rtmp", f"rtmp://127.0.0.1:9/in/{SECRETS['key in the path']}")
    served.start("nobody", "mpegts", "udp://127.0.0.1:9")
    served.start("user", "rtmp", f"rtmp://{SECRETS['user']}:{SECRETS['password']}@127.0.0.1:9/in", SECRETS["key"])


def check_failures(served: Served) -> None:
    failing = {"wrong": "srt", "unreachable": "transport", "refused": "connect_refused", "user": "connect_refused"}
    for push_id, code in failing.items():
        until_true(f"{push_id} has failed", lambda push_id=push_id: "lastError" in served.push(push_id))
        error = served.push(push_id)["lastError"]
        assert error["code"] == code, error
        assert not any(secret in str(error) for secret in SECRETS.values()), error
    assert served.push("nobody")["state"] == "pushing", "over UDP nobody needs to listen"


def check_undisturbed(protocol: str, sink: Sink) -> None:
    (row,) = [row for row in sink.rows() if row["bytes"]]
    assert row["errors"] == {}, f"{protocol}: {row}"
    assert row["longest_gap_ms"] < GAP_MS, f"{protocol}: {row}"
    assert row["video_frames"] > 75, f"{protocol}: {row}"


def test_no_error_text_of_a_url_holds_its_secrets() -> None:
    """Whatever is wrong with a URL, the API's words name the option and never a secret value."""
    from pushcast.egress import PROTOCOLS

    for word, wrong in (
        ("srt", f"srt://host:99999?passphrase={SECRETS['passphrase']}"),
        ("srt", f"srt://host:7001?passphrase={SECRETS['passphrase'] * 9}"),
        ("srt", f"srt://host:7001?streamid={SECRETS['stream id'] * 99}"),
        ("srt", f"srt://{SECRETS['user']}:{SECRETS['password']}@host?passphrase={SECRETS['passphrase']}"),
        ("rtmp", f"rtmp://{SECRETS['user']}:{SECRETS['password']}@host:99999/app"),
        ("rtmp", f"rtmp://{SECRETS['password']}@host/app"),
        ("rtmp", f"rtmp://host?{SECRETS['key']}"),
    ):
        with pytest.raises(EngineError) as raised:
            PROTOCOLS[word].parse(wrong, SECRETS["key"])
        assert not any(secret in str(raised.value) for secret in SECRETS.values()), str(raised.value)
