"""Targets: values, chunks and media messages of RTMP.

``amf0`` takes a payload.  ``chunks`` takes one direction of a connection, behind two bytes that say how small the
portions and the limits are.  ``flv`` takes messages, each with its type, its time and its length, to a source with
feeds.
"""

from __future__ import annotations

from contextlib import suppress

from fuzz.exact import Fields, exact, portions
from fuzz.receiver import Receiver, new_source
from pushcast.chunk import ChunkReader, write_message
from pushcast.errors import MediaError, RemoteProtocolError
from pushcast.flvinput import FlvInput
from pushcast.flvtag import tags
from pushcast.message import MediaSink, Message
from pushcast.rtmp import amf0 as amf

SET_CHUNK_SIZE, ABORT, AUDIO, VIDEO, DATA, AGGREGATE = 1, 2, 8, 9, 18, 22
LONGEST = 0xFFFFFF
TYPES = (VIDEO, AUDIO, DATA, VIDEO)
LIMITS = ((16777215, 33554432, 64), (300, 500, 3), (5000, 5000, 2), (16777215, 8192, 64))


def amf0(data: bytes) -> None:
    try:
        values = amf.decode(data)
    except RemoteProtocolError:
        return
    assert len(values) <= min(len(data), amf.MAX_VALUES)
    written = amf.encode(*values)
    # What was read has one form: NaN and whatever else differs from itself is compared as bytes.  A letter that is no
    # UTF-8 becomes a longer one, so that the second form may pass the limit that the first one kept.
    if len(written) <= amf.MAX_BYTES:
        assert amf.encode(*amf.decode(written)) == written
    for value in values:
        if isinstance(value, dict):
            FlvInput(new_source()).metadata(dict(value))


class Kept(MediaSink):
    def __init__(self, into: list[Message]) -> None:
        self._into = into

    def take(self, message: Message) -> None:
        self._into.append(message)


def chunks(data: bytes) -> None:
    fields = Fields(data)
    step, how = fields.number() + 1, fields.number()
    wire = fields.rest()
    limits = LIMITS[how & 3]
    whole = _read(wire, max(1, len(wire)), limits)
    pieces = _read(wire, step, limits)
    # A message that lies whole in a portion needs no room, and none of a portion is returned that ends in an error.
    if limits is LIMITS[0]:
        assert pieces[2] == whole[2], "portions change what is refused"
        if not whole[2]:
            assert pieces == whole, "portions change what is read"
    for message in pieces[0] + pieces[1]:
        if message.type not in (SET_CHUNK_SIZE, ABORT, AGGREGATE):
            _written(message, 1 + 5 * how)


def _read(wire: bytes, step: int, limits: tuple[int, int, int]) -> tuple[list[Message], list[Message], str]:
    """The messages, those that went to a sink, and the error that ended them."""
    reader = ChunkReader(*limits)
    found: list[Message] = []
    media: list[Message] = []
    reader.media = Kept(media)
    for portion in portions(wire, step):
        try:
            found += reader.receive(portion)
        except RemoteProtocolError as refused:
            return found, media, str(refused)
        assert reader.partial_bytes <= limits[1]
    assert reader.bytes_received == len(wire)
    return found, media, ""


def _written(message: Message, size: int) -> None:
    """What was read can be written, and read again."""
    again = ChunkReader()
    again.receive(write_message(2, SET_CHUNK_SIZE, 0, 0, size.to_bytes(4, "big"), 128))
    wire = write_message(6, message.type, message.message_stream_id, message.timestamp_ms, message.payload, size)
    assert again.receive(wire) == [message]


def flv(data: bytes) -> None:
    fields = Fields(data)
    taken = FlvInput(new_source())
    receiver = Receiver(taken)
    # Each message lies whole in one chunk, which ends where the memory of its portion does.
    reader = ChunkReader()
    reader.media = taken
    reader.receive(write_message(2, SET_CHUNK_SIZE, 0, 0, LONGEST.to_bytes(4, "big"), 128))
    time = 0
    try:
        while fields.left:
            how = fields.number()
            type = TYPES[how & 3]
            time += fields.number() << (24 if how & 0x80 else 4 if how & 0x40 else 0)
            body = fields.take(fields.number(2) if how & 0x20 else fields.number())
            if type == DATA:
                _data(taken, time % (1 << 32), body)
            else:
                _tags(type == VIDEO, body)
                reader.receive(exact(write_message(6, type, 1, time % (1 << 32), body, LONGEST)))
            receiver.attend()
    except MediaError:
        pass
    receiver.check()


def _data(taken: FlvInput, time: int, body: bytes) -> None:
    """As ingest.rtmp does: onMetaData to the input, what is anything else as it came."""
    with suppress(RemoteProtocolError):
        values = amf.decode(body)
        if len(values) > 1 and values[0] in ("onMetaData", "@setDataFrame") and isinstance(values[-1], dict):
            taken.metadata(dict(values[-1]))
        elif values:
            taken.data(time, body)


def _tags(video: bool, body: bytes) -> None:
    found = tags(video, exact(body))
    if isinstance(found, list):
        assert sum(len(each["body"]) for each in found) <= len(body)
        assert all(each["nanos"] < 1_000_000 for each in found)
