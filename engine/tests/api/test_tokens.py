"""API tokens: shown once, kept as hashes, bounded in number and time, and never more than their owner."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from src.api.config.settings import Settings
from src.api.ports import Reader, Transaction
from src.api.schemas.records import ApiToken
from src.api.services.tokens import MOST_TOKENS
from src.api.utils.redaction import Redactor
from tests.support.app import PASSWORD, Running, problem, registered, running, signed_in

pytestmark = pytest.mark.promise("authorised")

ANA, BOB = "ana@example.com", "bob@example.com"
DAY = 86_400_000


class Desk:
    """An engine's client, with Ana, the admin, and Bob, a member."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.ana, self.bob, self.bobs_id = "", "", ""

    async def call(self, token: str, method: str, path: str, body: object = None) -> httpx.Response:
        self.client.cookies.clear()
        return await self.client.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})

    async def lent(self, owner: str, **wanted: object) -> dict[str, Any]:
        answer = await self.call(owner, "POST", "/auth/tokens", {"name": "bot", **wanted})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def listed(self, token: str, query: str = "") -> list[str]:
        return [each["id"] for each in (await self.call(token, "GET", f"/auth/tokens{query}")).json()["data"]]

    async def role(self, role: str) -> None:
        answer = await self.call(self.ana, "PATCH", f"/team/members/{self.bobs_id}", {"role": role})
        assert answer.status_code == 200


async def opened(client: httpx.AsyncClient) -> Desk:
    desk = Desk(client)
    await registered(client, ANA)
    desk.ana = await signed_in(client, ANA)
    made = await desk.call(desk.ana, "POST", "/team/members", {"email": BOB, "password": PASSWORD, "role": "member"})
    desk.bobs_id = made.json()["id"]
    desk.bob = await signed_in(client, BOB)
    return desk


async def rows(engine: Running) -> list[ApiToken]:
    async def body(reader: Reader) -> list[ApiToken]:
        return await reader.find(ApiToken, {}, "created_at,id")

    return await engine.services.conversations._store.read(body)


async def aged(engine: Running) -> None:
    async def body(tx: Transaction) -> None:
        for each in await tx.find(ApiToken, {}):
            await tx.change(ApiToken, {"id": each.id}, expires_at=1)

    await engine.services.conversations._store.transaction(body)


async def test_a_token_is_shown_once_and_kept_as_a_hash(
    settings: Callable[..., Settings], database: str | None
) -> None:
    async with running(settings(postgres_database_url=database)) as engine, engine.client() as client:
        desk = await opened(client)
        made = await desk.lent(desk.bob, name="deploy", scopes=["chat"])
        assert made["token"].startswith("sky_")
        assert len(made["token"]) >= 47
        assert (made["name"], made["scopes"], made["user_id"]) == ("deploy", ["chat", "read"], desk.bobs_id)
        assert made["expires_at"] - made["created_at"] == 90 * DAY
        listed = await desk.call(desk.bob, "GET", "/auth/tokens")
        assert listed.json()["data"] == [{name: value for name, value in made.items() if name != "token"}]
        (row,) = await rows(engine)
        assert row.token_sha256 == hashlib.sha256(made["token"].encode()).hexdigest()
        assert made["token"] not in str(row)
        assert (await desk.call(made["token"], "GET", "/auth/me")).json()["email"] == BOB
        assert (await desk.call(desk.bob, "DELETE", f"/auth/tokens/{made['id']}")).status_code == 204
        problem(await desk.call(made["token"], "GET", "/auth/me"), 401)
        problem(await desk.call(desk.bob, "DELETE", f"/auth/tokens/{made['id']}"), 404)


@pytest.mark.parametrize(
    "wanted",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"scopes": []},
        {"scopes": ["admin"]},
        {"expires_in_days": 0},
        {"expires_in_days": 366},
        {"role": "admin"},
    ],
)
async def test_what_makes_no_token(engine: Running, wanted: dict[str, object]) -> None:
    async with engine.client() as client:
        await registered(client, ANA)
        token = await signed_in(client, ANA)
        body = {"name": "bot", **wanted}
        problem(await client.post("/auth/tokens", json=body, headers={"Authorization": f"Bearer {token}"}), 422)


async def test_a_token_may_what_its_owner_may_now(engine: Running) -> None:
    """A machine never decides and manages neither tokens nor people, an admin's no more than another's."""
    async with engine.client() as client:
        desk = await opened(client)
        await desk.role("admin")
        token = (await desk.lent(desk.bob, scopes=["chat"]))["token"]
        assert (await desk.call(token, "GET", "/auth/me")).json()["role"] == "admin"
        own = (await desk.call(desk.ana, "POST", "/conversations", {})).json()["id"]
        assert (await desk.call(token, "GET", f"/conversations/{own}")).status_code == 200
        for method, path in (("GET", "/team/members"), ("GET", "/auth/tokens"), ("POST", "/auth/tokens")):
            problem(await desk.call(token, method, path, {"name": "x"} if method == "POST" else None), 403)
        problem(await desk.call(token, "PATCH", "/auth/me", {"full_name": "x"}), 403)
        problem(await desk.call(token, "DELETE", f"/auth/users/{desk.bobs_id}"), 403)
        await desk.role("viewer")
        assert (await desk.call(token, "GET", "/auth/me")).json()["role"] == "viewer"
        problem(await desk.call(token, "GET", f"/conversations/{own}"), 404)


async def test_a_scope_is_all_that_there_is(engine: Running) -> None:
    message = {"messages": [{"role": "user", "content": "hi"}], "conversation_id": "not-one"}
    async with engine.client() as client:
        desk = await opened(client)
        reads, chats = [(await desk.lent(desk.bob, scopes=[scope]))["token"] for scope in ("read", "chat")]
        assert "only read" in problem(await desk.call(reads, "POST", "/agent/chat", message), 403)["detail"]
        problem(await desk.call(chats, "POST", "/agent/chat", message), 422)
        assert (await desk.call(reads, "GET", "/conversations")).status_code == 200
        assert (await desk.call(chats, "POST", "/conversations", {})).status_code == 200


async def test_a_token_ends_with_its_owner_for_good(engine: Running) -> None:
    async with engine.client() as client:
        desk = await opened(client)
        made = await desk.lent(desk.bob)
        await desk.call(desk.ana, "DELETE", f"/team/members/{desk.bobs_id}")
        problem(await desk.call(made["token"], "GET", "/auth/me"), 401)
        await desk.call(desk.ana, "PATCH", f"/team/members/{desk.bobs_id}", {"status": "active"})
        problem(await desk.call(made["token"], "GET", "/auth/me"), 401)


async def test_a_token_is_over_in_its_time(engine: Running) -> None:
    async with engine.client() as client:
        desk = await opened(client)
        made = await desk.lent(desk.bob, expires_in_days=1)
        assert made["expires_at"] - made["created_at"] == DAY
        await aged(engine)
        problem(await desk.call(made["token"], "GET", "/auth/me"), 401)
        fresh = await desk.lent(desk.bob)
        assert await desk.listed(desk.bob) == [fresh["id"]], "what is over is forgotten"


@pytest.mark.promise("bounded")
async def test_nobody_has_more_than_twenty(settings: Callable[..., Settings], database: str | None) -> None:
    async with running(settings(postgres_database_url=database)) as engine, engine.client() as client:
        desk = await opened(client)
        for _ in range(MOST_TOKENS - 2):
            await desk.lent(desk.bob)
        wanted = [desk.call(desk.bob, "POST", "/auth/tokens", {"name": "late"}) for _ in range(4)]
        assert sorted(answer.status_code for answer in await asyncio.gather(*wanted)) == [201, 201, 409, 409]
        assert len(await desk.listed(desk.bob)) == MOST_TOKENS
        await desk.lent(desk.ana)


async def test_admins_see_and_revoke_what_others_have(engine: Running) -> None:
    async with engine.client() as client:
        desk = await opened(client)
        bobs, anas = await desk.lent(desk.bob), await desk.lent(desk.ana)
        assert await desk.listed(desk.ana, f"?user_id={desk.bobs_id}") == [bobs["id"]]
        assert await desk.listed(desk.ana) == [anas["id"]]
        problem(await desk.call(desk.bob, "GET", f"/auth/tokens?user_id={anas['user_id']}"), 403)
        problem(await desk.call(desk.bob, "DELETE", f"/auth/tokens/{anas['id']}?user_id={anas['user_id']}"), 403)
        problem(await desk.call(desk.bob, "DELETE", f"/auth/tokens/{anas['id']}"), 404)
        problem(await desk.call(desk.ana, "DELETE", f"/auth/tokens/{bobs['id']}"), 404)
        revoked = await desk.call(desk.ana, "DELETE", f"/auth/tokens/{bobs['id']}?user_id={desk.bobs_id}")
        assert revoked.status_code == 204
        problem(await desk.call(bobs["token"], "GET", "/auth/me"), 401)


@pytest.mark.parametrize("token", ["sky_", "sky_nonsense", "sky_" + "x" * 10_000])
async def test_what_is_no_token(engine: Running, token: str) -> None:
    async with engine.client(token) as client:
        problem(await client.get("/auth/me"), 401)


async def test_the_local_admin_has_none(settings: Callable[..., Settings]) -> None:
    async with running(settings(local_mode=True)) as engine, engine.client(host="localhost") as client:
        problem(await client.post("/auth/tokens", json={"name": "bot"}), 403)
        assert (await client.get("/auth/tokens")).json() == {"data": []}


@pytest.mark.promise("secrets")
def test_tokens_are_masked_wherever_text_is_shown() -> None:
    token = "sky_" + "aB3-_" * 9
    assert token not in Redactor(b"k" * 32).redact_text(f"curl with {token} failed")
