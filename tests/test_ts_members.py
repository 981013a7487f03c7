"""``mpegtsOptions``: what is asked for, what is refused, and what stands in the stream then."""

from __future__ import annotations

import pytest
from read_ts import AUDIO, SDT_PID, VIDEO, Transport, audio_frames, interleave, mux, parse, shared, video_frames

from pushcast.egress import PROTOCOLS
from pushcast.egress.ts_members import MEMBERS, read_ts_options
from pushcast.errors import InvalidRequest, MediaError
from pushcast.settings import read_settings
from pushcast.tsoptions import TsOptions

ASKED = [
    (None, None, False),
    ({}, None, False),
    ({"pacing": "none", "serviceName": "pushcast"}, None, False),
    ({"pacing": "frame"}, None, True),
    ({"serviceName": "Kanal 3 Süd"}, TsOptions(service_name="Kanal 3 Süd"), False),
    ({"serviceId": 0xFFFF, "transportStreamId": 0}, TsOptions(service_id=0xFFFF, transport_stream_id=0), False),
    ({"pmtPid": 32, "videoPid": 0x1FFE}, TsOptions(pmt_pid=32, video_pid=0x1FFE), False),
    ({"pcrPeriodMs": 20, "sdtPeriodMs": None}, TsOptions(pcr_period_ms=20), False),
    ({"muxrateBitsPerSecond": 250_000}, TsOptions(mux_bits_per_s=250_000, decode_delay_ms=600), False),
    (
        {"muxrateBitsPerSecond": 9_000_000, "decodeDelayMs": 300},
        TsOptions(mux_bits_per_s=9_000_000, decode_delay_ms=300),
        False,
    ),
]
REFUSED = [
    ("x", "mpegtsOptions: found str, allowed an object"),
    ({"muxrate": 1}, f"mpegtsOptions.muxrate: not known, allowed are {', '.join(MEMBERS)}, pacing"),
    ({"serviceId": 0}, "mpegtsOptions.serviceId: found 0, allowed: 1 to 65535"),
    ({"serviceId": True}, "mpegtsOptions.serviceId: found true, allowed: 1 to 65535"),
    ({"serviceId": "1"}, 'mpegtsOptions.serviceId: found "1", allowed: 1 to 65535'),
    ({"pmtPid": 31}, "mpegtsOptions.pmtPid: found 31, allowed: 32 to 8190"),
    ({"audioPid": 8191}, "mpegtsOptions.audioPid: found 8191, allowed: 32 to 8190"),
    ({"serviceName": ""}, 'mpegtsOptions.serviceName: found "", allowed: printable text of 1 to 120 bytes'),
    ({"providerName": "a\tb"}, 'mpegtsOptions.providerName: found "a\\tb", allowed: printable text of 1 to 78 bytes'),
    ({"pcrPeriodMs": 101}, "mpegtsOptions.pcrPeriodMs: found 101, allowed: 10 to 100 milliseconds"),
    (
        {"pcrPeriodMs": 80, "tablesPeriodMs": 60},
        "mpegtsOptions.tablesPeriodMs: found 60, allowed: no less than pcrPeriodMs, 80",
    ),
    (
        {"muxrateBitsPerSecond": 249_999},
        "mpegtsOptions.muxrateBitsPerSecond: found 249999, allowed: 250000 to 200000000 bits per second",
    ),
    ({"decodeDelayMs": 901}, "mpegtsOptions.decodeDelayMs: found 901, allowed: 0 to 900 milliseconds"),
    ({"pacing": "even"}, 'mpegtsOptions.pacing: found "even", allowed: none or frame'),
    ({"pacing": [1]}, "mpegtsOptions.pacing: found [1], allowed: none or frame"),
]


@pytest.mark.parametrize(("asked", "options", "spreads"), ASKED)
def test_what_is_asked_for(asked: object, options: TsOptions | None, spreads: bool) -> None:
    assert read_ts_options(asked) == (options, spreads)
    for protocol, url in (
        ("mpegts", "udp://h:9"),
        ("mpegts", "rtp://h:9"),
        ("mpegts", "tcp://h:9"),
        ("srt", "srt://h:9"),
    ):
        target = PROTOCOLS[protocol].parse(url, "", {"mpegtsOptions": asked} if asked is not None else {})
        assert (target.ts_options, target.spreads_frames) == (options, spreads)
        assert target.pace == (options.mux_bits_per_s if options and options.mux_bits_per_s else 0 if spreads else None)


@pytest.mark.parametrize(("asked", "text"), REFUSED)
def test_what_is_refused(asked: object, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_ts_options(asked)
    assert str(caught.value) == text


def test_the_longest_names_fit() -> None:
    longest = {name: "n" * member.high for name, member in MEMBERS.items() if member.kind is str}
    options, _ = read_ts_options(longest)
    mux([AUDIO], audio_frames(0.1), options=options)
    longest = {name: "ü" * (member.high // 2) for name, member in MEMBERS.items() if member.kind is str}
    options, _ = read_ts_options(longest)
    mux([AUDIO], audio_frames(0.1), options=options)


def test_settings_keep_them_and_backups_share_them() -> None:
    asked = {
        "id": "p",
        "stream": {"name": "s"},
        "protocol": "mpegts",
        "url": "udp://h:9",
        "backupUrls": ["tcp://h:10"],
        "mpegtsOptions": {"serviceId": 7, "pacing": "frame"},
    }
    made = read_settings("v", "a", asked)
    kept = read_settings("v", "a", made.members())
    assert [target.ts_options for target in kept.targets] == [TsOptions(service_id=7)] * 2
    assert kept.members()["mpegtsOptions"] == asked["mpegtsOptions"]


def made(options: TsOptions) -> Transport:
    frames = interleave(video_frames(25, 2), audio_frames(2))
    return parse(shared(mux([VIDEO, AUDIO], frames, options=options)))


def test_identifiers_stand_in_the_tables() -> None:
    seen = made(
        TsOptions(
            service_name="Süd",
            provider_name="them",
            service_id=0x1234,
            transport_stream_id=0x5678,
            original_network_id=0x9ABC,
        )
    )
    pat, sdt = seen.sections[0][0][1], seen.sections[SDT_PID][0][1]
    assert pat[3:5] == bytes.fromhex("5678")
    assert pat[8:10] == bytes.fromhex("1234")
    assert seen.sections[0x1000][0][1][3:5] == bytes.fromhex("1234")
    assert sdt[3:5] == bytes.fromhex("5678")
    assert sdt[8:10] == bytes.fromhex("9abc")
    assert sdt[11:13] == bytes.fromhex("1234")
    assert b"\x04them\x05\x15S\xc3\xbcd" in sdt


def test_pids() -> None:
    seen = made(TsOptions(video_pid=0x44, audio_pid=0x300))
    assert {pes.pid for pes in seen.pes} == {0x44, 0x300}
    assert seen.pcr_pids == {0x44}
    pmt = seen.sections[0x1000][0][1]
    assert pmt[8:10] == bytes.fromhex("e044")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            TsOptions(video_pid=0x200, audio_pid=0x200),
            r"^track 9 \(AAC\): PID 0x200 is that of track 5 \(H264\): other PIDs",
        ),
        (TsOptions(pmt_pid=0x100), r"^track 5 \(H264\): PID 0x100 is that of the PMT"),
        (TsOptions(audio_pid=0x1FFF), r"^track 9 \(AAC\): PID 0x1fff is that of null packets"),
    ],
)
def test_pids_that_meet_are_named(options: TsOptions, text: str) -> None:
    with pytest.raises(MediaError, match=text):
        made(options)
