"""Which URLs may be pulled, and what is shown of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pull_bench import SECRET

from pushcast.errors import InvalidRequest, MediaError
from pushcast.file_url import below
from pushcast.ingest.network import open_input
from pushcast.ingest.pull import PullSettings
from pushcast.pull_url import check_url, shown_url, source_type

BELOW = Path("/srv/clips")
GOOD_URLS = [
    "rtmp://10.0.0.7/app/key",
    "rtsp://user:pass@cam.example:8554/axis?x=1",
    "RTSP://cam/1",
    "srt://10.0.0.7:9000?mode=caller&passphrase=0123456789",
    "udp://@239.1.2.3:1234?localaddr=10.0.0.8&sources=10.0.0.1",
    "udp://@:1234",
    "tcp://[::1]:1234",
    "http://h/live.flv?token=a",
    "https://h:8443/x/list.m3u8",
    "file:///srv/clips/a.ts?loop=1",
    "file:///srv/clips/deep/../b.ts",
]
BAD_URLS = [
    ("ftp://h/x", r'its scheme is "ftp", allowed: file, http, https, rtmp, rtsp, srt, tcp, udp'),
    ("x.ts", 'its scheme is "x.ts"'),
    ("", 'its scheme is ""'),
    ("concat:a|b", 'its scheme is "concat"'),
    ("http:///x", "it names no host"),
    ("rtmp:app/x", "it names no host"),
    ("tcp://h", "it names no port"),
    ("udp://239.1.2.3", "it names no port"),
    ("tcp://h:77777", "it is not a URL"),
    ("http://[::1/x", "it is not a URL"),
    ("tcp://h:1?listen=1", r'it has the option "listen", allowed: none'),
    ("udp://h:1?fifo_size=99999999", r'it has the option "fifo_size", allowed: block, localaddr, reuse, sources'),
    ("http://h/a b", "printable ASCII"),
    ("http://h/a\r\nX-Evil: 1", "printable ASCII"),
    ("http://h/ä", "printable ASCII"),
    ("http://h/" + "a" * 2048, "printable ASCII"),
    ("file:///srv/other/a.ts", "only files below /srv/clips may be pulled"),
    ("file:///srv/clips/../a.ts", "only files below /srv/clips may be pulled"),
    ("file:///srv/clips2/a.ts", "only files below /srv/clips may be pulled"),
    ("file:///srv/clips/%2e%2e/a.ts", "only files below /srv/clips may be pulled"),
    ("file://host/srv/clips/a.ts", "it names a host"),
]


@pytest.mark.parametrize("url", GOOD_URLS)
def test_urls_that_may_be_pulled(url: str) -> None:
    check_url(url, BELOW)


@pytest.mark.parametrize(("url", "words"), BAD_URLS)
def test_urls_that_may_not(url: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=f"Url cannot be pulled: .*{words}"):
        check_url(url, BELOW)


def test_files_need_a_folder() -> None:
    with pytest.raises(InvalidRequest, match="files may not be pulled here"):
        check_url("file:///srv/clips/a.ts", None)


@pytest.mark.parametrize(
    ("url", "shown", "word"),
    [
        (f"rtmp://u:{SECRET}@h:1936/app/{SECRET}", "rtmp://h:1936/***", "RtmpPull"),
        (f"rtsp://u:{SECRET}@cam/user=a&password={SECRET}", "rtsp://cam/***", "RtspPull"),
        (f"https://h/live/u/{SECRET}/1.ts?sig={SECRET}#{SECRET}", "https://h/***", "HttpPull"),
        (f"srt://h:9000?passphrase={SECRET}", "srt://h:9000/***", "SRT"),
        ("udp://@239.1.2.3:1234", "udp://239.1.2.3:1234", "MPEGTS"),
        ("tcp://[::1]:1234", "tcp://[::1]:1234", "MPEGTS"),
        ("file:///srv/clips/a.ts?loop=1", "file:///srv/clips/a.ts?loop=1", "File"),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str, word: str) -> None:
    assert (shown_url(url), source_type(url)) == (shown, word)
    assert SECRET not in repr(PullSettings((url,)))


def test_links_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "out.ts"
    folder.mkdir()
    outside.write_bytes(b"x")
    (folder / "link.ts").symlink_to(outside)
    (folder / "deep").symlink_to(tmp_path)
    (tmp_path / "alias").symlink_to(folder)
    assert below(folder / "link.ts", folder) is None
    assert below(folder / "deep" / "out.ts", folder) is None
    assert below(folder / "a.ts", folder) == (folder / "a.ts").resolve()
    assert below(folder / "a.ts", tmp_path / "alias") == (folder / "a.ts").resolve()
    with pytest.raises(MediaError, match="does not lie below the folder whose files may be pulled"):
        open_input(f"file://{folder}/link.ts", folder, 1.0)
