"""An RTMP server that keeps to the letter of RTMP 1.0 and to nothing that is usual, and checks what it is sent.

It shares no code of the connection with the client: chunks are followed by the stream checker of the sink.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pushcast.chunk import ChunkReader, write_message
from pushcast.message import Message
from pushcast.rtmp import messages
from pushcast.rtmp.messages import Command, Limit, Type
from pushcast.verify import RtmpChecker

BLOCK_BYTES = 1536
# Of the event loop, between two writes: the client hears that it may read in one, and reads in another.
TURNS = 3
_CSID = 3
_HEADER_BYTES = 12  # of a first chunk on that csid
_MESSAGE_BYTES = 0xFFFFFF  # a chunk holds no more, whatever is announced
_CONTINUATION = bytes((0xC0 | _CSID,))
_RANDOM = bytes(range(7, 199)) * 8
_COMMANDS = (Type.COMMAND, Type.COMMAND_AMF3)


def faithful(block: bytes) -> bytes:
    """S2 as the specification has it: the client's block again."""
    return block


@dataclass(frozen=True, kw_only=True)
class Habits:
    """``chunk_sizes``: each message has the next of them, from behind its first chunk on.  ``chatter``: said as (type,
    payload) with S2, around each answer, and while media come.  ``piece_bytes``: in each write to the socket.
    ``transaction_id``: of the answer to createStream, None for that of the question.
    """

    echo: Callable[[bytes], bytes] = faithful
    transaction_id: float | None = None
    message_stream_id: float = 3.0
    chunk_sizes: tuple[int, ...] = (128,)
    chatter: tuple[tuple[int, bytes], ...] = ()
    piece_bytes: int = 1 << 20
    window_bytes: int = 4_000_000


class OddServer:
    """``script`` is for rtmp_peer.served.  ``heard``: all messages but media; ``told``: how many of each (type,
    payload) were said, ``said_bytes`` counts from the end of the handshake."""

    def __init__(self, habits: Habits) -> None:
        self.habits = habits
        self.checker = RtmpChecker(0)
        self.heard: list[Message] = []
        self.told: Counter[tuple[int, bytes]] = Counter()
        self.said_bytes = 0
        self.connections = 0
        self.left = asyncio.Event()
        self._reader = ChunkReader()
        self._chunk_size = 128
        self._chunk_sizes = itertools.cycle(habits.chunk_sizes)
        self._writer: asyncio.StreamWriter

    @property
    def frames(self) -> int:
        """Of video, that came."""
        return self.checker.stats()["video_frames"] or 0

    def commands(self, name: str) -> list[tuple[int, tuple[object, ...]]]:
        """What was called by this name, as (message stream id, arguments)."""
        parsed = [(each, messages.parse(each.type, each.payload)) for each in self.heard if each.type in _COMMANDS]
        return [
            (each.message_stream_id, command.arguments)
            for each, command in parsed
            if isinstance(command, Command) and command.name == name
        ]

    def payloads(self, type: Type) -> list[bytes]:
        return [each.payload for each in self.heard if each.type == type]

    async def script(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writer = writer
        try:
            hello = await reader.readexactly(1 + BLOCK_BYTES)
            block = b"\0\1\2\3" + b"\4\5\6\7" + _RANDOM[: BLOCK_BYTES - 8]
            chatter = b"".join(self._written(*each) for each in self.habits.chatter)
            await self._write(hello[:1] + block + self.habits.echo(hello[1:]) + chatter)
            assert (await reader.readexactly(BLOCK_BYTES))[8:] == block[8:]
            while data := await reader.read(65536):
                await self._take(data)
        finally:
            self.left.set()

    async def _take(self, data: bytes) -> None:
        frames = self.frames
        self.heard += [each for each in self._reader.receive(data) if each.type not in (Type.AUDIO, Type.VIDEO)]
        for type, payload in self.checker.feed(data):
            command = messages.parse(type, payload)
            if isinstance(command, Command):
                await self._chat()
                await self._answer(command)
                await self._chat()
        # Not for each read: acknowledgements of what is said here come back as one.
        if self.frames > frames:
            await self._chat()

    async def _chat(self) -> None:
        for type, payload in self.habits.chatter:
            await self._write(self._written(type, payload))

    async def _answer(self, command: Command) -> None:
        call = command.transaction_id
        match command.name:
            case "connect":
                await self._say(messages.WindowAckSize(self.habits.window_bytes))
                await self._say(messages.SetPeerBandwidth(self.habits.window_bytes, Limit.HARD))
                await self._say(Command("_result", call, {"fmsVer": "odd"}, (_info("NetConnection.Connect.Success"),)))
            case "createStream":
                answered = call if self.habits.transaction_id is None else self.habits.transaction_id
                await self._say(Command("_result", answered, None, (self.habits.message_stream_id,)))
            case "publish":
                self.checker.publish(int(self.habits.message_stream_id))
                await self._say(Command("onStatus", 0.0, None, (_info("NetStream.Publish.Start"),)))
            case _:
                await self._say(Command("_error", call, None, ({"level": "error", "code": "no such call"},)))

    async def _say(self, message: messages.Parsed) -> None:
        await self._write(self._written(*messages.build(message)))

    def _written(self, type: int, payload: bytes) -> bytes:
        """One message, whose first chunk has the size that counted until now and all further ones the next."""
        before, following = self._chunk_size, next(self._chunk_sizes)
        whole = write_message(_CSID, type, 0, 0, payload, min(before, _MESSAGE_BYTES))
        change = write_message(2, Type.SET_CHUNK_SIZE, 0, 0, following.to_bytes(4), min(before, _MESSAGE_BYTES))
        rest = range(before, len(payload), following)
        further = b"".join(_CONTINUATION + payload[at : at + following] for at in rest)
        self._chunk_size = following
        self.told[type, payload] += 1
        written = whole[: _HEADER_BYTES + before] + change + further
        self.said_bytes += len(written)
        return written

    async def _write(self, data: bytes) -> None:
        for at in range(0, len(data), self.habits.piece_bytes):
            self._writer.write(data[at : at + self.habits.piece_bytes])
            for _ in range(TURNS):
                await asyncio.sleep(0)


def _info(code: str) -> Mapping[str, str]:
    return {"level": "status", "code": code, "description": "as you like"}
