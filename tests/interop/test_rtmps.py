"""RTMPS with real peers: nginx's TLS in front of nginx-rtmp records, and openssl's server shows wrong certificates."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificates
from serving import Process, ffmpeg_publish, free_port, port_bound, serving, until

from interop.nginx import secure_nginx
from interop.packets import check_same_media


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def start(served: Any, push_id: str, url: str, tls: dict[str, Any]) -> None:
    stream = {"name": "live"}
    body = {"id": push_id, "stream": stream, "protocol": "rtmp", "url": url, "streamKey": push_id, "tls": tls}
    status, answer = served.call("POST", f"{served.app}:startPush", body)
    assert status == 200, answer


def test_nginx_records_what_came_over_tls(tmp_path: Path, clip: Path, certificates: Certificates) -> None:
    shown = certificates.issued("good")
    recorder, secure, plain = secure_nginx(tmp_path / "nginx", shown)
    url = f"rtmps://localhost:{secure}/rec"
    try:
        with serving(tmp_path) as served:
            start(served, "trusted", url, {"ca": certificates.authority.cert.read_text()})
            start(served, "pinned", url, {"fingerprint": shown.fingerprint})
            start(served, "unknown", url, {})
            start(served, "plain", f"rtmps://localhost:{plain}/rec", {"insecure": True})
            encoder = ffmpeg_publish(clip, f"rtmp://127.0.0.1:{served.rtmp_port}/app/live", tmp_path / "encoder.log")
            for push_id in ("trusted", "pinned"):
                served.until_state(push_id, "pushing")
                assert served.push(push_id)["connection"]["tls"]["version"] == "TLSv1.3"
                until("it is well", lambda push_id=push_id: served.push(push_id).get("health") == "ok")
            failed = {}
            for push_id in ("unknown", "plain"):
                served.until_state(push_id, "error")
                failed[push_id] = served.push(push_id)["lastError"]
            assert encoder.wait() == 0, encoder.log.read_text()
            encoder.stop()
            for push_id in ("trusted", "pinned"):
                served.until_state(push_id, "ready")
            until("nginx has closed both", lambda: recorder.log.read_text().count("deleteStream") >= 2)
        assert [failed[push_id]["code"] for push_id in ("unknown", "plain")] == ["tls", "connect_timeout"]
        assert "nobody that we trust has issued its certificate" in failed["unknown"]["reason"]
        assert "plain-text port" in failed["plain"]["reason"]
        for push_id in ("trusted", "pinned"):
            check_same_media(tmp_path / "nginx" / f"{push_id}.flv", clip, from_start=True)
    finally:
        recorder.stop(signal.SIGQUIT)


def test_openssls_server_with_each_wrong_certificate(tmp_path: Path, certificates: Certificates) -> None:
    trusted = {"ca": certificates.authority.cert.read_text()}
    shown = {
        "expired": (certificates.issued("expired", days=-1), trusted, "its certificate has expired"),
        "name": (certificates.issued("other", "DNS:other.example"), trusted, "is for another name than localhost"),
        "alone": (certificates.self_signed("alone"), {}, "its certificate is self-signed"),
        "issuer": (certificates.issued("good"), {}, "nobody that we trust has issued its certificate"),
        "pin": (certificates.issued("good"), {"fingerprint": "ab" * 32}, "the fingerprint of its certificate is"),
    }
    servers = []
    try:
        with serving(tmp_path) as served:
            for name, (certificate, tls, _) in shown.items():
                port = free_port()
                command = ["openssl", "s_server", "-accept", str(port), "-quiet"]
                files = ["-cert", str(certificate.cert), "-key", str(certificate.key)]
                servers.append(Process([*command, *files], tmp_path / f"{name}.log"))
                until("openssl listens", lambda port=port: port_bound(port))
                body = {"id": name, "stream": {"name": "live"}, "protocol": "rtmp", "tls": tls}
                body |= {"url": f"rtmps://localhost:{port}/app", "streamKey": "k"}
                status, answer = served.call("POST", f"{served.app}:checkPush", body)
                assert (status, answer["response"]["ok"]) == (200, False)
                assert shown[name][2] in answer["response"]["steps"][-1]["detail"]
    finally:
        for server in servers:
            server.stop()
