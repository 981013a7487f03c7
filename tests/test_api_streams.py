"""Reading what there is to push: version, virtual hosts, applications and streams."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from api_client import Client, serving
from live import LiveStream

from pushcast import __version__
from pushcast.api.streams import track_json
from pushcast.api.times import iso_time
from pushcast.media import Codec, Track

APP = "/v1/vhosts/v/apps/a"


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    async with serving({"v": ("a", "b"), "w": ("a",)}) as made:
        yield made


def ok(response: object) -> dict[str, object]:
    return {"statusCode": 200, "message": "OK", "response": response}


def not_found(text: str) -> dict[str, object]:
    return {"statusCode": 404, "message": f"[HTTP] {text} (404)"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/version", ok({"version": __version__, "gitVersion": f"v{__version__}"})),
        ("/v1/vhosts", ok(["v", "w"])),
        ("/v1/vhosts/v", ok({"name": "v", "host": {"names": ["*"]}})),
        ("/v1/vhosts/x", not_found("Could not find the virtual host: [x]")),
        ("/v1/vhosts/v/apps", ok(["a", "b"])),
        ("/v1/vhosts/x/apps", not_found("Could not find the virtual host: [x]")),
        (
            APP,
            ok(
                {
                    "name": "a",
                    "type": "live",
                    "dynamic": False,
                    "providers": {"rtmp": {}, "srt": {}, "mpegts": {}, "file": {}},
                    "publishers": {"push": {}},
                }
            ),
        ),
        ("/v1/vhosts/w/apps/b", not_found("Could not find the application: [w/b]")),
        ("/v1/vhosts/x/apps/b", not_found("Could not find the virtual host: [x]")),
        (f"{APP}/streams", ok([])),
        ("/v1/vhosts/w/apps/b/streams", not_found("Could not find the application: [w/b]")),
        (f"{APP}/streams/s", not_found("Could not find the stream: [v/#v#a/s]")),
        (f"{APP}/streams/", not_found("Controller not found")),
        (f"{APP}/streams/s/x", not_found("Controller not found")),
        ("/v1/vhosts/", not_found("Controller not found")),
    ],
)
async def test_nothing_live(client: Client, path: str, body: dict[str, object]) -> None:
    answer = await client.request("GET", path)
    assert (answer.status, answer.json) == (body["statusCode"], body)
    head = await client.request("HEAD", path)
    assert (head.status, head.text) == (answer.status, "")
    assert head.headers["Content-Length"] == answer.headers["Content-Length"]
    if body["statusCode"] == 200:
        assert (await client.request("DELETE", path)).json == not_found("Controller not found")


async def test_what_a_stream_has_brought_is_measured(client: Client) -> None:
    live = LiveStream(client.engine.registry, "s")
    live.up()
    live.feed(60)
    shown = (await client.request("GET", f"{APP}/streams/s")).json["response"]
    video, audio = (track[kind] for track, kind in zip(shown["input"]["tracks"], ("video", "audio"), strict=True))
    assert (video["framerateAvg"], video["framerateLatest"]) == (25.0, 25.0)
    assert (video["keyFrameInterval"], video["keyFrameIntervalAvg"]) == (25, 25.0)
    assert (video["deltaFramesSinceLastKeyFrame"], video["hasBframes"]) == (9, False)
    assert abs(video["bitrateAvg"] - video["bitrateLatest"]) < 0.05 * video["bitrateAvg"]
    assert 80_000 < video["bitrateAvg"] < 110_000  # 25 frames a second of some 450 bytes
    assert 28_000 < audio["bitrateAvg"] < 32_000  # 47 of 80 bytes
    assert shown["outputs"] == [{"name": "s", "tracks": shown["input"]["tracks"], "playlists": []}]


async def test_a_live_stream(client: Client) -> None:
    live = LiveStream(client.engine.registry, "säng 1")
    live.up()
    LiveStream(client.engine.registry, "b").up()
    assert (await client.request("GET", f"{APP}/streams")).json == ok(["b", "säng 1"])
    shown = (await client.request("GET", f"{APP}/streams/s%C3%A4ng%201")).json["response"]
    tracks = [
        {
            "id": 7,
            "name": "cam",
            "type": "Video",
            "video": {
                "bypass": True,
                "codec": "H264",
                "width": 640,
                "maxWidth": 640,
                "height": 360,
                "maxHeight": 360,
                "bitrate": 0,
                "bitrateConf": 0,
                "bitrateAvg": 0,
                "bitrateLatest": 0,
                "framerate": 25.0,
                "framerateConf": 25.0,
                "framerateAvg": 0.0,
                "framerateLatest": 0.0,
                "timebase": {"num": 1, "den": 90000},
                "hasBframes": False,
                "keyFrameInterval": 0,
                "keyFrameIntervalConf": 0,
                "keyFrameIntervalAvg": 0.0,
                "keyFrameIntervalLatest": 0,
                "deltaFramesSinceLastKeyFrame": 0,
            },
        },
        {
            "id": 9,
            "name": "Audio",
            "type": "Audio",
            "audio": {
                "bypass": True,
                "codec": "AAC",
                "samplerate": 48000,
                "channel": 2,
                "bitrate": 96000,
                "bitrateConf": 96000,
                "bitrateAvg": 0,
                "bitrateLatest": 0,
                "timebase": {"num": 1, "den": 90000},
            },
        },
    ]
    assert shown == {
        "name": "säng 1",
        "input": {
            "sourceType": "File",
            "sourceUrl": "file:///clip.ts",
            "createdTime": iso_time(live.stream.created_time),
            "tracks": tracks,
        },
        "outputs": [{"name": "säng 1", "tracks": tracks, "playlists": []}],
    }
    live.down()
    assert (await client.request("GET", f"{APP}/streams")).json == ok(["b"])


@pytest.mark.parametrize(
    ("codec", "name"), [(Codec.H264, "H264"), (Codec.HEVC, "H265"), (Codec.OPUS, "OPUS"), (Codec.AAC, "AAC")]
)
def test_codec_names(codec: Codec, name: str) -> None:
    shown = track_json(Track(id=1, codec=codec), {})
    assert shown[codec.kind.value.lower()]["codec"] == name
