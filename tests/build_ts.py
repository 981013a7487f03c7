"""MPEG-TS by hand from ISO/IEC 13818-1, for tests: slow, plain, and of nobody else's making."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

PAT, PMT, VIDEO, AUDIO = 0, 0x0421, 0x0131, 0x0132
TICKS = 3600  # 90 kHz between video frames: 25 a second
KEY_EVERY = 10
SOUND = bytes.fromhex("fff14c801b9ffc") + bytes(213)  # an ADTS frame of AAC, 48 kHz, stereo


def crc32(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


def section(table_id: int, number: int, body: bytes, version: int = 3) -> bytes:
    head = bytes((table_id,)) + (0xB000 | len(body) + 9).to_bytes(2) + number.to_bytes(2)
    head += bytes((0xC1 | version << 1, 0, 0)) + body
    return head + crc32(head).to_bytes(4)


def pat(pmt: int = PMT, **options: int) -> bytes:
    return section(0, 77, (5).to_bytes(2) + (0xE000 | pmt).to_bytes(2), **options)


def pmt(streams: dict[int, int], descriptors: bytes = b"", **options: int) -> bytes:
    body = (0xE000 | VIDEO).to_bytes(2) + (0xF000 | len(descriptors)).to_bytes(2) + descriptors
    for pid, stream_type in streams.items():
        body += bytes((stream_type,)) + (0xE000 | pid).to_bytes(2) + b"\xf0\x00"
    return section(2, 5, body, **options)


def stamp(prefix: int, value: int) -> bytes:
    value %= 1 << 33
    return bytes(
        (
            prefix << 4 | value >> 29 & 14 | 1,
            value >> 22 & 255,
            value >> 14 & 254 | 1,
            value >> 7 & 255,
            value << 1 & 254 | 1,
        )
    )


def pes(stream_id: int, pts: int, dts: int, data: bytes, *, declared: bool, extra: int = 0) -> bytes:
    stamps = stamp(2, pts) if pts == dts else stamp(3, pts) + stamp(1, dts)
    rest = bytes((0x84, 0x80 if pts == dts else 0xC0, len(stamps))) + stamps + data
    return b"\0\0\1" + bytes((stream_id,)) + (len(rest) + extra if declared else 0).to_bytes(2) + rest


def clock(pcr: int) -> bytes:
    """``pcr`` in 27 MHz."""
    base, extension = pcr // 300 % (1 << 33), pcr % 300
    return (base << 15 | 0x3F << 9 | extension).to_bytes(6)


@dataclass
class Packet:
    """One packet and what a test needs to find it."""

    label: str
    frame: int
    data: bytearray


@dataclass
class Muxer:
    """Packets of a clip in their order; counters run by themselves."""

    packets: list[Packet] = field(default_factory=list)
    counters: dict[int, int] = field(default_factory=dict)

    def add(self, label: str, frame: int, pid: int, data: bytes, flags: int = 0, pcr: int | None = None) -> None:
        """``data`` as one or more packets; ``flags`` are those of the first one's adaptation field."""
        start = True
        while start or data:
            adaptation = bytearray()
            if start and (flags or pcr is not None):
                adaptation = bytearray((flags | (0x10 if pcr is not None else 0),)) + (
                    clock(pcr) if pcr is not None else b""
                )
            room = 184 - (1 + len(adaptation) if adaptation else 0)
            if len(data) < room:
                if not adaptation and len(data) < 183:
                    adaptation = bytearray(1)
                length = 183 - len(data)
                adaptation = bytearray((length,)) + adaptation + b"\xff" * (length - len(adaptation))
            elif adaptation:
                adaptation = bytearray((len(adaptation),)) + adaptation
            chunk, data = data[: 184 - len(adaptation)], data[184 - len(adaptation) :]
            counter = self.counters.get(pid, 4)
            if chunk:
                counter = self.counters[pid] = counter + 1 & 15
            control = (0x20 if adaptation else 0) | (0x10 if chunk else 0)
            head = bytes((0x47, (0x40 if start and chunk else 0) | pid >> 8, pid & 255, control | counter))
            self.packets.append(Packet(label if start else label + "+", frame, bytearray(head + adaptation + chunk)))
            assert len(self.packets[-1].data) == 188
            start = False

    def table(self, label: str, frame: int, pid: int, table: bytes) -> None:
        """A section from the beginning of a packet on, the rest stuffed with bytes."""
        room = 184 * -(-(1 + len(table)) // 184)
        self.add(label, frame, pid, (b"\0" + table).ljust(room, b"\xff"))


@dataclass(frozen=True)
class Clip:
    """What the frames of a clip are; the defaults make a clip without a fault."""

    frames: int = 24
    start: int = 900_000  # DTS of the first frame, 90 kHz
    delay: int = 18_000  # of DTS behind PCR
    audio_delay: int = 18_000
    video_type: int = 0x1B
    first_key: int = 0
    random_access: bool = True
    tables_every: int = 2
    no_pat: frozenset[int] = frozenset()
    no_pmt: frozenset[int] = frozenset()
    no_pcr: frozenset[int] = frozenset()
    pcr_shift: dict[int, int] = field(default_factory=dict)  # frame: 27 MHz
    no_delimiter: frozenset[int] = frozenset()
    pts_shift: dict[int, int] = field(default_factory=dict)
    audio_shift: dict[int, int] = field(default_factory=dict)
    audio_extra: dict[int, int] = field(default_factory=dict)  # frame: by how much PES_packet_length is too large

    def access_unit(self, frame: int, key: bool) -> bytes:
        names = {0x1B: ("0910", "6742c01e", "65b8", "419a"), 0x24: ("460150", "4201", "2601af", "0201d0")}
        delimiter, parameters, idr, other = (b"\0\0\0\1" + bytes.fromhex(name) for name in names[self.video_type])
        unit = b"" if frame in self.no_delimiter else delimiter
        unit += parameters + idr if key else other
        return unit + bytes(i * 7 + frame & 0x7F | 0x80 for i in range(700))

    def packets(self) -> list[Packet]:
        mux = Muxer()
        streams = {VIDEO: self.video_type, AUDIO: 0x0F}
        for frame in range(self.frames):
            at = self.start + frame * TICKS
            key = frame >= self.first_key and (frame - self.first_key) % KEY_EVERY == 0
            if (frame % self.tables_every == 0 or key) and frame not in self.no_pat:
                mux.table("pat", frame, PAT, pat())
            if (frame % self.tables_every == 0 or key) and frame not in self.no_pmt:
                mux.table("pmt", frame, PMT, pmt(streams))
            pcr = None
            if frame not in self.no_pcr:
                pcr = (at - self.delay) % (1 << 33) * 300 + self.pcr_shift.get(frame, 0)
            flags = 0x40 if key and self.random_access else 0
            unit = self.access_unit(frame, key)
            shown = at + TICKS + self.pts_shift.get(frame, 0)
            mux.add("video", frame, VIDEO, pes(0xE3, shown, at, unit, declared=False), flags, pcr)
            heard = at + self.audio_delay - self.delay + self.audio_shift.get(frame, 0)
            sound = pes(0xC1, heard, heard, SOUND, declared=True, extra=self.audio_extra.get(frame, 0))
            mux.add("audio", frame, AUDIO, sound)
        return mux.packets


def join(packets: list[Packet]) -> bytes:
    return b"".join(packet.data for packet in packets)


def of(packets: list[Packet], label: str, frame: int) -> int:
    """Index of the first packet with this label and frame."""
    return next(i for i, packet in enumerate(packets) if packet.label == label and packet.frame == frame)


__all__ = [
    "AUDIO",
    "PAT",
    "PMT",
    "VIDEO",
    "Clip",
    "Muxer",
    "Packet",
    "clock",
    "join",
    "of",
    "pat",
    "pes",
    "pmt",
    "replace",
]
