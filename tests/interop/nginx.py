"""nginx-rtmp as a recorder, and what of nginx stands before it."""

from __future__ import annotations

from pathlib import Path

from certificates import Certificate
from serving import Process, free_port, port_bound, until

CONFIG = """
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
worker_processes 1;
error_log stderr info;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
{before}
rtmp {{ server {{ listen 127.0.0.1:{port}; application rec {{ live on; record all; record_path {folder}; }} }} }}
"""

TLS = """
stream {{ server {{
  listen 127.0.0.1:{secure} ssl; proxy_pass 127.0.0.1:{{port}};
  ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;
}} }}
"""


def nginx(folder: Path, before: str = "") -> tuple[Process, int]:
    """nginx-rtmp that records what is published to rtmp://127.0.0.1:port/rec/<key> as <key>.flv.

    ``before``: a block of its configuration, in which ``{port}`` is that port.
    """
    port = free_port()
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, before=before.replace("{port}", str(port))))
    folder.chmod(0o777)
    process = Process(["nginx", "-c", str(config), "-p", str(folder)], folder / "nginx.log")
    until("nginx listens", lambda: port_bound(port))
    return process, port


def secure_nginx(folder: Path, shown: Certificate) -> tuple[Process, int, int]:
    """(nginx, its TLS port, its plain port); it records rtmps://localhost:port/rec/<key> as <key>.flv."""
    secure = free_port()
    process, plain = nginx(folder, TLS.format(secure=secure, cert=shown.cert, key=shown.key))
    until("nginx listens for TLS", lambda: port_bound(secure))
    return process, secure, plain
