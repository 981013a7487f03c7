"""Who may call the API: the forms of the Authorization header and their answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from api_client import Client, serving
from authorization_forms import ADMITTED, REFUSED, TOKEN

FORMS = [*REFUSED, *((header, None) for header in ADMITTED)]


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    async with serving(token=TOKEN) as made:
        yield made


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
