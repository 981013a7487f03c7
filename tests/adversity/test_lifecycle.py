"""Streams come, go and return, receivers die and return, ids are used again: pushes follow, and nobody else notices."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
from serving import Process, Served, ffmpeg_publish, free_port, port_bound, serving, until

from adversity.conftest import GOP_S
from adversity.recording import recording
from adversity.sinks import Sink, sinks, url
from pushcast.verify import TsChecker

PROTOCOLS = ("rtmp", "srt", "tcp", "udp")
WRAP = 1 << 33  # of a time stamp in MPEG-TS
FRAME_MS = 40


def publish(served: Served, clip: Path, log: Path) -> Process:
    """ffmpeg plays the clip over and over, until it is stopped."""
    return ffmpeg_publish(clip, f"rtmp://127.0.0.1:{served.rtmp_port}/app/live", log, loop=True)


def states(served: Served) -> dict[str, str]:
    return {push["id"]: push["state"] for push in served.pushes()}


def until_all(served: Served, ids: Iterable[str], state: str, deadline_s: float = 20.0) -> None:
    wanted = dict.fromkeys(ids, state)
    until(f"all are {state}", lambda: {i: s for i, s in states(served).items() if i in wanted} == wanted, deadline_s)


def until_sent(served: Served, ids: Iterable[str], ms: int) -> None:
    """Each push has been sending for so long in its current session."""
    wanted = set(ids)
    until(
        f"all have sent for {ms} ms",
        lambda: all(push["sentTime"] > ms for push in served.pushes() if push["id"] in wanted),
    )


def check_row(protocol: str, row: dict[str, Any]) -> None:
    """Nothing is wrong with what one sender sent, and no frame is missing."""
    assert row["errors"] == {}, f"{protocol}: {row}"
    assert row["video_frames"] > 0, f"{protocol}: {row}"
    assert row["max_dts_step_ms"] < 2 * FRAME_MS, f"{protocol}: frames are missing: {row}"


def test_pushes_follow_a_publisher_that_leaves_and_returns(tmp_path: Path, clip: Path) -> None:
    with serving(tmp_path) as served, sinks("rtmp", "srt", "tcp") as receivers, recording() as recorder:
        ports = {"udp": recorder.port, **{protocol: sink.port for protocol, sink in receivers.items()}}
        for protocol, port in ports.items():
            assert served.start(protocol, *url(protocol, port))["state"] == "ready"
        for number, how in enumerate((signal.SIGTERM, signal.SIGKILL)):
            publisher = publish(served, clip, tmp_path / f"publisher-{number}.log")
            try:
                served.until_stream()
                until_all(served, PROTOCOLS, "pushing", GOP_S)
                until_sent(served, PROTOCOLS, 1300)
            finally:
                publisher.stop(how)
            until_all(served, PROTOCOLS, "ready")
            assert all(push["sequence"] == number + 1 for push in served.pushes())
            assert all("lastError" not in push for push in served.pushes())
        for protocol, sink in receivers.items():
            rows = sink.rows()
            assert len(rows) == 2, f"{protocol}: one connection for each publication"
            for row in rows:
                check_row(protocol, row)
            if protocol != "rtmp":  # whose time begins at zero in each connection
                check_later(rows[0], rows[1])
        check_recording(recorder.by_sender())


def check_later(first: dict[str, Any], second: dict[str, Any]) -> None:
    """The second publication's time lies behind the first's, by less than a minute."""
    step = (second["first_dts"] - first["last_dts"]) % WRAP
    assert 0 < step < 60 * 90_000, f"the time goes from {first['last_dts']} to {second['first_dts']}"


def check_recording(publications: list[list[bytes]]) -> None:
    """A receiver that knows nothing of connections sees one TS without a continuity error."""
    whole, parts = TsChecker(), [TsChecker() for _ in publications]
    assert len(parts) == 2
    for part, datagrams in zip(parts, publications, strict=True):
        for datagram in datagrams:
            part.feed_datagram(datagram)
            whole.feed_datagram(datagram)
    for checker in (whole, *parts):
        assert not checker.errors(), checker.errors()
    check_later(parts[0].stats(), parts[1].stats())


def test_a_killed_receiver_is_retried_until_it_returns_and_the_others_go_on(tmp_path: Path, clip: Path) -> None:
    victims = ("rtmp", "srt", "tcp")
    with ExitStack() as running:
        served = running.enter_context(serving(tmp_path))
        others = running.enter_context(sinks(*PROTOCOLS))
        killed = running.enter_context(sinks(*victims))
        for protocol, sink in others.items():
            served.start(f"other-{protocol}", *url(protocol, sink.port))
        for protocol, sink in killed.items():
            served.start(f"victim-{protocol}", *url(protocol, sink.port))
        publisher = publish(served, clip, tmp_path / "publisher.log")
        running.callback(publisher.stop)
        ids = [f"victim-{protocol}" for protocol in victims]
        until_all(served, states(served), "pushing")
        until_sent(served, ids, 500)
        for sink in killed.values():
            sink.kill()
        returned: dict[str, Sink] = {}
        for protocol in sorted(victims, key=lambda protocol: protocol == "srt"):  # which takes 5 s of silence to notice
            check_failed(until_waiting(served, f"victim-{protocol}"), killed[protocol].port)
            returned[protocol] = Sink(protocol, port=killed[protocol].port)
            running.callback(returned[protocol].kill)
        until_all(served, states(served), "pushing")
        until_sent(served, ids, 500)
        for protocol, sink in (*others.items(), *returned.items()):
            (row,) = sink.rows()
            check_row(protocol, row)
        assert all(push["sequence"] == 1 for push in served.pushes() if push["id"] in ids)
        assert all("lastError" not in push for push in served.pushes() if push["id"] not in ids)


def until_waiting(served: Served, push_id: str) -> dict[str, Any]:
    """The push while it waits for its next attempt."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        push = served.push(push_id)
        if push["state"] == "error" and "nextRetryTime" in push:
            found.append(push)
        return bool(found)

    until(f"push {push_id} waits to retry", look)
    return found[0]


def check_failed(push: dict[str, Any], port: int) -> None:
    error = push["lastError"]
    assert error["code"] in ("connection_lost", "connect_refused", "connect_timeout"), error
    assert f"127.0.0.1:{port}" in error["reason"], error
    assert push["nextRetryTime"] > error["time"]
    assert push["retryCount"] >= 1


def test_an_id_is_free_at_once_twenty_times(tmp_path: Path, clip: Path) -> None:
    """Each second time the push is not even given the time to connect."""
    rounds = 20
    with serving(tmp_path) as served, sinks(*PROTOCOLS) as receivers:
        publisher = publish(served, clip, tmp_path / "publisher.log")
        try:
            served.until_stream()
            for protocol, sink in receivers.items():
                served.start(protocol, *url(protocol, sink.port))
            until_all(served, PROTOCOLS, "pushing")
            until("each has sent", lambda: all(push["sentBytes"] for push in served.pushes()), 5.0)
            for number in range(rounds):
                for protocol, sink in receivers.items():
                    served.stop(protocol)
                    assert served.start(protocol, *url(protocol, sink.port))["sequence"] == 0
                if number % 2:
                    until_all(served, PROTOCOLS, "pushing", 5.0)
                    until("each has sent", lambda: all(push["sentBytes"] for push in served.pushes()), 5.0)
            for protocol in receivers:
                served.stop(protocol)
            assert served.pushes() == []
            assert publisher.child.poll() is None
            for protocol, sink in receivers.items():
                until(f"{protocol}: all have left", lambda sink=sink: all(row["silent"] for row in sink.rows()), 8)
                check_rounds(protocol, sink.summary(), rounds)
        finally:
            publisher.stop()


def check_rounds(protocol: str, summary: dict[str, Any], rounds: int) -> None:
    # One that was stopped while it still connected never came to publish, and that is all that may be said against it.
    found = [row["errors"] for row in summary["senders"] if set(row["errors"]) - {"no_publish"}]
    assert not found, f"{protocol}: {found}"
    sending = [row for row in summary["senders"] if row["bytes"]]
    assert rounds // 2 + 1 <= len(sending) <= rounds + 1, f"{protocol}: {len(sending)} connections"
    assert not any(row.get("cut") for row in summary["senders"]), f"{protocol}: a connection ended in the middle"


def test_a_push_takes_the_tracks_it_asked_for(tmp_path: Path, clip: Path) -> None:
    """Sound alone over RTMP, pictures alone over SRT, to ffmpeg; every packet is the publisher's."""
    with ExitStack() as running:
        listeners: dict[tuple[str, str], Process] = {}
        targets: dict[tuple[str, str], tuple[str, str, str]] = {}
        paths: dict[tuple[str, str], Path] = {}
        for by in ("variantNames", "trackIds"):
            rtmp_port, srt_port = free_port(), free_port(socket.SOCK_DGRAM)
            paths["audio", by], paths["video", by] = tmp_path / f"audio-{by}.flv", tmp_path / f"video-{by}.ts"
            targets["audio", by] = "rtmp", f"rtmp://127.0.0.1:{rtmp_port}/in", "key"
            listeners["audio", by] = record(
                ["-listen", "1", "-i", f"rtmp://127.0.0.1:{rtmp_port}/in/key"], paths["audio", by]
            )
            targets["video", by] = "srt", f"srt://127.0.0.1:{srt_port}?latency=120000", ""
            listeners["video", by] = record(["-i", f"srt://127.0.0.1:{srt_port}?mode=listener"], paths["video", by])
        for listener in listeners.values():
            running.callback(listener.stop)
        with serving(tmp_path) as served:
            publisher = publish(served, clip, tmp_path / "publisher.log")
            running.callback(publisher.stop)
            served.until_stream()
            for _, target, _ in targets.values():
                port = int(target.partition("127.0.0.1:")[2].partition("/")[0].partition("?")[0])
                until(f"ffmpeg listens on {port}", lambda port=port: port_bound(port))
            for track in tracks(served):
                kind = track["type"].lower()
                served.start(f"{kind}-1", *targets[kind, "variantNames"], variantNames=[track["name"]])
                served.start(f"{kind}-2", *targets[kind, "trackIds"], trackIds=[track["id"]])
            ids = states(served)
            until_all(served, ids, "pushing")
            until_sent(served, ids, 1500)
            publisher.stop()
            until_all(served, ids, "ready")
            for listener in listeners.values():
                assert listener.wait() == 0, listener.log.read_text()
        for kind, by in listeners:
            check_alone(kind, paths[kind, by], clip)


def record(source: list[str], path: Path) -> Process:
    """ffmpeg keeps what it receives, packets as they are."""
    return Process(
        ["ffmpeg", "-v", "warning", "-y", *source, "-map", "0", "-c", "copy", str(path)], path.with_suffix(".log")
    )


def tracks(served: Served) -> list[dict[str, Any]]:
    return list(served.call("GET", f"{served.app}/streams/live")[1]["response"]["input"]["tracks"])


def check_alone(kind: str, recorded: Path, published: Path) -> None:
    """The recording holds this kind only, and what the publisher sent of it without a hole, in time's order."""
    got, stamps = payloads(recorded)
    sent, _ = payloads(published)
    assert list(got) == [kind]
    first = sent[kind].index(got[kind][0])
    assert len(got[kind]) > 25
    assert got[kind] == (sent[kind] * 4)[first : first + len(got[kind])], "the clip is played over and over"
    assert stamps[kind] == sorted(set(stamps[kind]))


def payloads(path: Path) -> tuple[dict[str, list[bytes]], dict[str, list[int]]]:
    """What a decoder gets, and DTS, by kind: of video the slices, because containers differ in what stands beside."""
    found: dict[str, list[bytes]] = {}
    stamps: dict[str, list[int]] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.dts is None or packet.size == 0:
                continue
            kind, data = packet.stream.type, bytes(packet)
            found.setdefault(kind, []).append(slices(data) if kind == "video" else data)
            stamps.setdefault(kind, []).append(packet.dts)
    return found, stamps


def slices(unit: bytes) -> bytes:
    """The slices of an H.264 access unit, in Annex B's or in the file format's framing."""
    parts: list[bytes] = []
    if unit.startswith((b"\0\0\0\1", b"\0\0\1")):
        parts = [part.rstrip(b"\0") for part in unit.split(b"\0\0\1")]
    else:
        at = 0
        while at < len(unit):
            size = int.from_bytes(unit[at : at + 4], "big")
            parts.append(unit[at + 4 : at + 4 + size].rstrip(b"\0"))
            at += 4 + size
    return b"".join(part for part in parts if part and part[0] & 31 in (1, 5))
