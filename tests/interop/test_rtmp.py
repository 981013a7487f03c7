"""RTMP with real peers: ffmpeg publishes, nginx-rtmp and ffmpeg's listener record, and every packet is compared."""

from __future__ import annotations

import signal
from itertools import pairwise
from pathlib import Path

from serving import Process, ffmpeg_publish, free_port, serving, until

from interop.nginx import nginx
from interop.packets import check_same_media, packet_facts

HELD = "the stream is gone, and the connection is held for it"


def test_nginx_rtmp_records_what_was_published_for_an_early_and_a_late_push(tmp_path: Path, clip: Path) -> None:
    recorder, port = nginx(tmp_path / "nginx")
    try:
        with serving(tmp_path) as served:
            url = f"rtmp://127.0.0.1:{port}/rec"
            assert served.start("early", "rtmp", url, "early")["state"] == "ready"
            encoder = ffmpeg_publish(clip, f"rtmp://127.0.0.1:{served.rtmp_port}/app/live", tmp_path / "encoder.log")
            served.until_state("early", "pushing")
            until("two seconds were pushed", lambda: served.push("early")["sentTime"] > 2000)
            served.start("late", "rtmp", url, "late?with=query&more=1/2")
            served.until_state("late", "pushing")
            assert encoder.wait() == 0, encoder.log.read_text()
            encoder.stop()
            for push_id in ("early", "late"):
                served.until_state(push_id, "ready")
            until("nginx has closed both", lambda: recorder.log.read_text().count("deleteStream") >= 2)
        check_same_media(tmp_path / "nginx" / "early.flv", clip, from_start=True)
        late = next(path for path in (tmp_path / "nginx").glob("late*.flv"))
        check_same_media(late, clip, from_start=False)
    finally:
        recorder.stop(signal.SIGQUIT)


def test_ffmpeg_listener_records_what_was_published_for_an_early_and_a_late_push(tmp_path: Path, clip: Path) -> None:
    ports = {"early": free_port(), "late": free_port()}
    listeners = {
        name: Process(
            ["ffmpeg", "-v", "warning", "-y", "-listen", "1", "-i", f"rtmp://127.0.0.1:{port}/in/key", "-c", "copy",
             str(tmp_path / f"{name}.flv")],
            tmp_path / f"{name}.log",
        )
        for name, port in ports.items()
    }  # fmt: skip
    try:
        with serving(tmp_path) as served:
            served.start("early", "rtmp", f"rtmp://127.0.0.1:{ports['early']}/in", "key")
            encoder = ffmpeg_publish(clip, f"rtmp://127.0.0.1:{served.rtmp_port}/app/live", tmp_path / "encoder.log")
            served.until_state("early", "pushing")
            until("two seconds were pushed", lambda: served.push("early")["sentTime"] > 2000)
            served.start("late", "rtmp", f"rtmp://127.0.0.1:{ports['late']}/in/key")
            assert encoder.wait() == 0, encoder.log.read_text()
            encoder.stop()
            for name, listener in listeners.items():
                assert listener.wait() == 0, f"{name}: {listener.log.read_text()}"
        check_same_media(tmp_path / "early.flv", clip, from_start=True)
        check_same_media(tmp_path / "late.flv", clip, from_start=False)
    finally:
        for listener in listeners.values():
            listener.stop()


def test_a_publisher_that_returns_is_one_recording_where_the_connection_is_held(tmp_path: Path, clip: Path) -> None:
    """nginx-rtmp and ffmpeg's listener take two publications as one, with times that go on."""
    recorder, port = nginx(tmp_path / "nginx")
    listening = free_port()
    listener = Process(
        ["ffmpeg", "-v", "warning", "-y", "-listen", "1", "-i", f"rtmp://127.0.0.1:{listening}/in/key", "-c", "copy",
         str(tmp_path / "listener.flv")],
        tmp_path / "listener.log",
    )  # fmt: skip
    try:
        with serving(tmp_path) as served:
            destinations = {
                "nginx": f"rtmp://127.0.0.1:{port}/rec/held",
                "ffmpeg": f"rtmp://127.0.0.1:{listening}/in/key",
            }
            for push_id, url in destinations.items():
                body = {"id": push_id, "stream": {"name": "live"}, "protocol": "rtmp", "url": url, "holdMs": 20_000}
                assert served.call("POST", f"{served.app}:startPush", body)[0] == 200
            for number in range(2):
                log = tmp_path / f"encoder-{number}.log"
                encoder = ffmpeg_publish(clip, f"rtmp://127.0.0.1:{served.rtmp_port}/app/live", log)
                for push_id in destinations:
                    served.until_state(push_id, "pushing")
                assert encoder.wait() == 0, log.read_text()
                encoder.stop()
                for push_id in destinations:
                    until("it is held", lambda push_id=push_id: served.push(push_id).get("healthReason") == HELD)
            for push_id in destinations:
                assert served.push(push_id)["sequence"] == 0
                assert served.call("POST", f"{served.app}:stopPush", {"id": push_id})[0] == 200
            until("nginx has closed it", lambda: "deleteStream" in recorder.log.read_text())
            assert listener.wait() == 0, listener.log.read_text()
        sent = packet_facts(clip)
        for recorded in (tmp_path / "nginx" / "held.flv", tmp_path / "listener.flv"):
            got = packet_facts(recorded)
            for kind, packets in sent.items():
                assert [each.digest for each in got[kind]] == [each.digest for each in packets] * 2
                times = [each.dts_ms for each in got[kind]]
                assert all(later > earlier for earlier, later in pairwise(times))
    finally:
        listener.stop()
        recorder.stop(signal.SIGQUIT)
