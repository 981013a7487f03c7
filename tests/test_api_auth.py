"""Who may call the API: the forms of the Authorization header and their answers."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import uvloop
from api_client import Client, basic, serving

from pushcast.access import Access, Grant, Role
from pushcast.errors import Unauthorized

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture")

TOKEN = "user:pa:ss wörd"
REQUIRED = "Authorization header is required to call API"
RIGHT = basic(TOKEN).removeprefix("Basic ")

FORMS = [
    (None, REQUIRED),
    ("", REQUIRED),
    ("  ", REQUIRED),
    ("Basic", "Invalid authorization header"),
    (f"Basic {RIGHT} more", "Invalid authorization header"),
    (f"Basic  {RIGHT}", "Invalid authorization header"),
    (RIGHT, "Invalid authorization header"),
    (f"Bearer {RIGHT}", "Not supported credential type: Bearer"),
    ("basicx abc", "Not supported credential type: basicx"),
    ("Basic ab$c", "Invalid credential format"),
    ("Basic abcde", "Invalid credential format"),
    ("Basic \u00fc\u00fc\u00fc\u00fc", "Invalid credential format"),
    (basic("wrong"), "Invalid credential"),
    (basic(TOKEN + "x"), "Invalid credential"),
    (basic(TOKEN[:-1]), "Invalid credential"),
    (basic("user"), "Invalid credential"),
    ("Basic ====", "Invalid credential format"),
    (f"Basic {RIGHT}", None),
    (f"bAsIc {RIGHT}", None),
    (f" Basic {RIGHT} ", None),
]


@pytest.fixture
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    async with serving(token=TOKEN) as made:
        yield made


@pytest.mark.parametrize(("header", "refusal"), FORMS)
def test_forms(header: str | None, refusal: str | None) -> None:
    if refusal is None:
        Access([(TOKEN, Grant("t", Role.ADMIN))]).check(header)
        return
    with pytest.raises(Unauthorized) as caught:
        Access([(TOKEN, Grant("t", Role.ADMIN))]).check(header)
    assert str(caught.value) == refusal
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(("header", "refusal"), [form for form in FORMS if form[0] is None or form[0].strip()])
@pytest.mark.parametrize("path", ["/v1/version", "/v1/vhosts/none/apps/none:startPush", "/nowhere"])
async def test_answers(client: Client, header: str | None, refusal: str | None, path: str) -> None:
    """Authorization is looked at before the path, the names and the body."""
    answer = await client.request("POST", path, "{bad", authorization=header)
    if refusal is None:
        assert answer.status in {400, 404}
        return
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="OvenMediaEngine"'
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert answer.json == {"statusCode": 401, "message": f"[HTTP] {refusal} (401)"}


async def test_options_needs_none(client: Client) -> None:
    for path in ("/v1/vhosts/v/apps/a:startPush", "/nowhere"):
        answer = await client.request("OPTIONS", path, authorization=None)
        assert (answer.status, answer.text) == (204, "")
        assert "WWW-Authenticate" not in answer.headers


def test_any_bytes_make_a_token() -> None:
    token = bytes(range(1, 256))
    access = Access([(token.decode(errors="surrogateescape"), Grant("odd", Role.READ))])
    assert access.check("Basic " + base64.b64encode(token).decode()).name == "odd"
    with pytest.raises(Unauthorized):
        access.check("Basic " + base64.b64encode(token[:-1]).decode())
