"""User and password at RTMP servers, against the server's side of both schemes; and servers that send us on."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from live import LiveStream, engine, settings, until
from rtmp_peer import SECRET, Script, Served, served

from pushcast.egress.rtmp import RtmpProtocol, RtmpTarget
from pushcast.errors import EngineError, InvalidRequest, Rejected, Retry, TlsError
from pushcast.push_state import PushState
from pushcast.rtmp.authentication import AuthenticationFailed, Credentials
from pushcast.rtmp.events import Connect, Refuse

USER, PASSWORD = "studio", "p4ss:w@rd/ü"
IN_URL = "studio:p4ss%3Aw%40rd%2F%C3%BC"
REJECTED = "NetConnection.Connect.Rejected"


def md5(text: str) -> hashlib._Hash:
    return hashlib.md5(text.encode())


def b64(text: str) -> str:
    return base64.b64encode(md5(text).digest()).decode()


@dataclass
class Adobe:
    """The server's side: a salt for the user, a challenge for the connection, and ``opaque``, each where a server has
    one.  ``stale``: so many challenges are too old when their answer comes."""

    opaque: str = ""
    salt: str = "5alt=="
    challenge: str = "chAll3ng/"
    stale: int = 0
    queries: list[str] = field(default_factory=list)

    def refusal(self, query: str, app: str) -> str | None:
        """What is said to a connect with this query; None: it may enter."""
        self.queries.append(query)
        given = dict(option.partition("=")[::2] for option in query.split("&"))
        if given.get("authmod") != "adobe":
            return "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : "
        if given.get("user") != USER:
            return "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=nosuchuser&opaque=x"
        if "response" not in given:
            return self.question()
        if self.stale:
            self.stale -= 1
            self.challenge += "+"
            return self.question()
        secret = b64(USER + self.salt + PASSWORD)
        wanted = b64(secret + (self.opaque or self.challenge) + given["challenge"])
        if given["response"] != wanted or given.get("opaque", "") != self.opaque:
            return "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed"
        return None

    def question(self) -> str:
        options = {"user": USER, "salt": self.salt, "challenge": self.challenge, "opaque": self.opaque}
        asked = "".join(f"&{name}={value}" for name, value in options.items() if value)
        return f"[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth{asked}"


@dataclass
class Limelight:
    nonce: str = "n0nce"
    stale: int = 0
    queries: list[str] = field(default_factory=list)

    def refusal(self, query: str, app: str) -> str | None:
        self.queries.append(query)
        given = dict(option.partition("=")[::2] for option in query.split("&"))
        if given.get("authmod") != "llnw":
            return "[ code=403 need auth; authmod=llnw ]"
        if given.get("user") != USER:
            return "[ authmod=llnw ] : ?reason=nosuchuser"
        if "response" in given and self.stale:
            self.stale -= 1
            self.nonce += "+"
            del given["response"]
        if "response" not in given:
            asked = f"&nonce={self.nonce}" if self.nonce else ""
            return f"[ authmod=llnw ] : ?reason=needauth&user={USER}{asked}"
        path = app if "/" in app else f"{app}/_definst_"
        h1, h2 = (md5(text).hexdigest() for text in (f"{USER}:live:{PASSWORD}", f"publish:/{path}"))
        wanted = md5(f"{h1}:{self.nonce}:{given['nc']}:{given['cnonce']}:auth:{h2}").hexdigest()
        return None if given["response"] == wanted else "[ authmod=llnw ] : ?reason=authfailed"


def guarded(check: Callable[[str, str], str | None]) -> Script:
    """A server that lets in whom ``check`` does not refuse."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Served(reader, writer)
        asked = await peer.event(Connect)
        assert isinstance(asked, Connect)
        app, _, query = asked.app.partition("?")
        assert asked.tc_url.partition("?")[2] == query
        assert PASSWORD not in asked.app + asked.tc_url
        refusal = check(query, app)
        if refusal is not None:
            writer.write(peer.connection.send(Refuse(REJECTED, refusal)))
            await reader.read(-1)
            return
        await peer.let_in()
        await reader.read(-1)

    return script


def to(target: RtmpTarget, user_info: str = "", app: str = "app") -> RtmpTarget:
    return RtmpProtocol().parse(f"rtmp://{f'{user_info}@' if user_info else ''}127.0.0.1:{target.port}/{app}", SECRET)


SERVERS: dict[str, Callable[[], Adobe | Limelight]] = {
    "adobe": Adobe,
    "adobe, opaque": lambda: Adobe(opaque="0paqu3="),
    "adobe, no salt": lambda: Adobe(salt=""),
    "adobe, no challenge": lambda: Adobe(challenge=""),
    "adobe, opaque and no challenge": lambda: Adobe(challenge="", opaque="0paqu3="),
    "adobe, neither": lambda: Adobe(salt="", challenge=""),
    "llnw": Limelight,
    "llnw, no nonce": lambda: Limelight(nonce=""),
}


@pytest.mark.parametrize("app", ["app", "app/instance"])
@pytest.mark.parametrize("kind", SERVERS)
async def test_a_user_that_the_server_knows(kind: str, app: str) -> None:
    server = SERVERS[kind]()
    async with served(guarded(server.refusal)) as target:
        link = await RtmpProtocol().connect(to(target, IN_URL, app), 0)
        await link.close()
    mode = f"authmod={kind.partition(',')[0]}"
    assert [query.partition("&")[0] for query in server.queries] == ["", mode, mode]


@pytest.mark.parametrize("kind", [Adobe, Limelight])
async def test_a_challenge_that_became_too_old_is_followed_by_another(kind: type[Adobe | Limelight]) -> None:
    server = kind(stale=1)
    async with served(guarded(server.refusal)) as target:
        link = await RtmpProtocol().connect(to(target, IN_URL), 0)
        await link.close()
    assert len(server.queries) == 4


@pytest.mark.parametrize("kind", [Adobe, Limelight])
async def test_challenges_without_end_are_left(kind: type[Adobe | Limelight]) -> None:
    server = kind(stale=1000)
    async with served(guarded(server.refusal)) as target:
        with pytest.raises(AuthenticationFailed, match=r"connect: .*: it takes no answer and asks again$"):
            await RtmpProtocol().connect(to(target, IN_URL), 0)
    assert len(server.queries) == 4


async def test_a_push_with_a_wrong_password_waits_for_another_one() -> None:
    server = Adobe()
    async with served(guarded(server.refusal)) as target, engine() as world:
        live = LiveStream(world.registry)
        live.up()
        live.feed()
        url = f"rtmp://{USER}:wr0ng@127.0.0.1:{target.port}/app"
        push = world.scheduler.start(settings("p", url, key=SECRET))
        await until(lambda: push.state is PushState.ERROR)
        assert push.last_error is not None
        assert push.last_error.code == "authentication"
        assert push.last_error.reason.endswith("the password is wrong")
        assert "wr0ng" not in push.last_error.reason
        await until(lambda: push.retry_count == 1)
        assert push.next_retry_time == 0.0, "it is not tried again by itself"
    assert len(server.queries) == 3


async def test_another_server_asks_anew() -> None:
    """The user that one server wants is told to the one that it sends us to, in rounds of its own."""
    there, here = Limelight(), Adobe()

    async with served(guarded(there.refusal)) as elsewhere:

        async def entrance(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = Served(reader, writer)
            asked = await peer.event(Connect)
            assert isinstance(asked, Connect)
            words = here.refusal(asked.app.partition("?")[2], "app")
            away = {"code": 302.0, "redirect": f"rtmp://127.0.0.1:{elsewhere.port}/app"}
            refusal = (
                peer.refuse_with(REJECTED, away) if words is None else peer.connection.send(Refuse(REJECTED, words))
            )
            writer.write(refusal)
            await reader.read(-1)

        async with served(entrance) as target:
            link = await RtmpProtocol().connect(to(target, IN_URL), 0)
            await link.close()
    assert (len(here.queries), len(there.queries)) == (3, 3)


@pytest.mark.parametrize("server", [Adobe(), Limelight()], ids=["adobe", "llnw"])
@pytest.mark.parametrize(
    ("user_info", "words"),
    [
        ("studio:wrong", "the server refuses user and password: the password is wrong"),
        ("nobody:wrong", "the server refuses user and password: it knows no such user"),
        ("", "the server asks for a user and a password: rtmp://user:password@host/app"),
    ],
)
async def test_users_that_it_does_not_take(server: Adobe | Limelight, user_info: str, words: str) -> None:
    async with served(guarded(server.refusal)) as target:
        with pytest.raises(AuthenticationFailed) as caught:
            await RtmpProtocol().connect(to(target, user_info), 0)
    assert str(caught.value) == f"rtmp {target.endpoint}: connect: {words}"
    assert caught.value.retry is Retry.NEVER


@pytest.mark.parametrize(
    "said",
    [
        "[ authmod=adobe ]",
        "[ authmod=adobe ] : ?reason=needauth",
        "[ authmod=adobe ] : ?reason=needauth&user=u&salt=s&challenge=c",
        "?reason=needauth&challenge=" + "c" * 60_000,
        "?reason=" + "x" * 5000,
        "?reason=needauth&&&=&=x&\x00\xff",
    ],
)
async def test_a_server_that_never_has_enough_is_left(said: str) -> None:
    asked: list[str] = []

    def never(query: str, app: str) -> str:
        asked.append(query)
        return said

    async with served(guarded(never)) as target:
        with pytest.raises(EngineError):
            await RtmpProtocol().connect(to(target, IN_URL), 0)
    assert len(asked) <= 3


async def test_any_other_refusal_is_one() -> None:
    async with served(guarded(lambda query, app: "come back tomorrow")) as target:
        with pytest.raises(Rejected, match="come back tomorrow") as caught:
            await RtmpProtocol().connect(to(target, IN_URL), 0)
    assert caught.value.retry is Retry.SLOWLY


def test_user_and_password_in_the_url() -> None:
    target = RtmpProtocol().parse(f"rtmp://{IN_URL}@h:1940/app/inst", "k")
    assert target.credentials == Credentials(USER, PASSWORD)
    assert (target.host, target.port, target.tc_url) == ("h", 1940, "rtmp://h:1940/app/inst")
    assert PASSWORD not in repr(target)
    assert "p4ss" not in repr(target)


@pytest.mark.parametrize("user_info", ["bob", ":pw9", ""])
def test_half_of_it(user_info: str) -> None:
    with pytest.raises(InvalidRequest, match="before the host stand user and password") as caught:
        RtmpProtocol().parse(f"rtmp://{user_info}@h/app", "k")
    assert "pw9" not in str(caught.value)


def sends_on(url: str, code: float = 302.0) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Served(reader, writer)
        await peer.event(Connect)
        writer.write(peer.refuse_with(REJECTED, {"code": code, "redirect": url}))
        await reader.read(-1)

    return script


async def live(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await Served(reader, writer).until_live()
    await reader.read(-1)


async def test_a_server_that_sends_us_on() -> None:
    async with served(live) as there, served(sends_on(f"rtmp://127.0.0.1:{there.port}/app")) as target:
        link = await RtmpProtocol().connect(target, 0)
        await link.close()


async def test_a_plain_server_may_send_us_on_to_tls() -> None:
    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.read(3))[:2] == b"\x16\x03", "a TLS handshake begins like this"

    async with served(closes) as there, served(sends_on(f"rtmps://127.0.0.1:{there.port}/app")) as target:
        with pytest.raises(TlsError, match=rf"rtmps 127.0.0.1:{there.port}: the TLS handshake failed"):
            await RtmpProtocol().connect(target, 0)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1/x", "which is no place to publish to: Unsupported protocol"),
        ("rtmp://169.254.169.254/app", "which is no place to publish to: "),
        ("nonsense", "sent on to nowhere, which is no place to publish to"),
        ("rtmp://user:s3cr3t@127.0.0.1:0/app", "which is no place to publish to: Could not parse url"),
    ],
)
async def test_places_where_we_do_not_go(url: str, words: str) -> None:
    async with served(sends_on(url)) as target:
        with pytest.raises(Rejected) as caught:
            await RtmpProtocol().connect(target, 0)
    assert words in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


async def test_a_circle_ends() -> None:
    urls: list[str] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sends_on(urls[0])(reader, writer)

    async with served(script) as target:
        urls.append(f"rtmp://127.0.0.1:{target.port}/app")
        with pytest.raises(Rejected, match="after 3 other servers"):
            await RtmpProtocol().connect(target, 0)
