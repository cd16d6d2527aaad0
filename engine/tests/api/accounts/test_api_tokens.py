"""API tokens: shown once, stored as hashes, limited in number and lifetime, with at most their owner's rights."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from skyflo_common.redaction import Redactor
from src.api.config.settings import Settings
from src.api.ports import Reader, Transaction
from src.api.schemas.records import ApiToken
from src.api.services.accounts.api_tokens import MAX_TOKENS_PER_USER
from tests.support.app import PASSWORD, RunningApp, check_problem, log_in, register_user, run_app

pytestmark = pytest.mark.promise("authorised")

ANA, BOB = "ana@example.com", "bob@example.com"
DAY = 86_400_000


class TokenClient:
    """A client with the tokens of Ana, an admin, and Bob, a member."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.ana, self.bob, self.bobs_id = "", "", ""

    async def call(self, token: str, method: str, path: str, body: object = None) -> httpx.Response:
        self.client.cookies.clear()
        return await self.client.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})

    async def create_token(self, owner: str, **wanted: object) -> dict[str, Any]:
        answer = await self.call(owner, "POST", "/auth/tokens", {"name": "bot", **wanted})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def list_tokens(self, token: str, query: str = "") -> list[str]:
        return [each["id"] for each in (await self.call(token, "GET", f"/auth/tokens{query}")).json()["data"]]

    async def set_role(self, role: str) -> None:
        answer = await self.call(self.ana, "PATCH", f"/team/members/{self.bobs_id}", {"role": role})
        assert answer.status_code == 200


async def open_token_client(client: httpx.AsyncClient) -> TokenClient:
    api = TokenClient(client)
    await register_user(client, ANA)
    api.ana = await log_in(client, ANA)
    made = await api.call(api.ana, "POST", "/team/members", {"email": BOB, "password": PASSWORD, "role": "member"})
    api.bobs_id = made.json()["id"]
    api.bob = await log_in(client, BOB)
    return api


async def read_tokens(engine: RunningApp) -> list[ApiToken]:
    async def body(reader: Reader) -> list[ApiToken]:
        return await reader.find(ApiToken, {}, "created_at,id")

    return await engine.services.conversations.store.read(body)


async def expire_tokens(engine: RunningApp) -> None:
    async def body(tx: Transaction) -> None:
        for each in await tx.find(ApiToken, {}):
            await tx.change(ApiToken, {"id": each.id}, expires_at=1)

    await engine.services.conversations.store.transaction(body)


async def test_token_is_shown_once_and_stored_as_hash(settings: Callable[..., Settings], database: str | None) -> None:
    async with run_app(settings(postgres_database_url=database)) as engine, engine.client() as client:
        api = await open_token_client(client)
        made = await api.create_token(api.bob, name="deploy", scopes=["chat"])
        assert made["token"].startswith("sky_")
        assert len(made["token"]) >= 47
        assert (made["name"], made["scopes"], made["user_id"]) == ("deploy", ["chat", "read"], api.bobs_id)
        assert made["expires_at"] - made["created_at"] == 90 * DAY
        listed = await api.call(api.bob, "GET", "/auth/tokens")
        assert listed.json()["data"] == [{name: value for name, value in made.items() if name != "token"}]
        (row,) = await read_tokens(engine)
        assert row.token_sha256 == hashlib.sha256(made["token"].encode()).hexdigest()
        assert made["token"] not in str(row)
        assert (await api.call(made["token"], "GET", "/auth/me")).json()["email"] == BOB
        assert (await api.call(api.bob, "DELETE", f"/auth/tokens/{made['id']}")).status_code == 204
        check_problem(await api.call(made["token"], "GET", "/auth/me"), 401)
        check_problem(await api.call(api.bob, "DELETE", f"/auth/tokens/{made['id']}"), 404)


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
async def test_invalid_token_request_is_refused(engine: RunningApp, wanted: dict[str, object]) -> None:
    async with engine.client() as client:
        await register_user(client, ANA)
        token = await log_in(client, ANA)
        body = {"name": "bot", **wanted}
        check_problem(await client.post("/auth/tokens", json=body, headers={"Authorization": f"Bearer {token}"}), 422)


async def test_token_has_current_rights_of_owner(engine: RunningApp) -> None:
    """Machine tokens never decide and manage neither tokens nor users, even if the owner is an admin."""
    async with engine.client() as client:
        api = await open_token_client(client)
        await api.set_role("admin")
        token = (await api.create_token(api.bob, scopes=["chat"]))["token"]
        assert (await api.call(token, "GET", "/auth/me")).json()["role"] == "admin"
        own = (await api.call(api.ana, "POST", "/conversations", {})).json()["id"]
        assert (await api.call(token, "GET", f"/conversations/{own}")).status_code == 200
        for method, path in (("GET", "/team/members"), ("GET", "/auth/tokens"), ("POST", "/auth/tokens")):
            check_problem(await api.call(token, method, path, {"name": "x"} if method == "POST" else None), 403)
        check_problem(await api.call(token, "PATCH", "/auth/me", {"full_name": "x"}), 403)
        check_problem(await api.call(token, "DELETE", f"/auth/users/{api.bobs_id}"), 403)
        await api.set_role("viewer")
        assert (await api.call(token, "GET", "/auth/me")).json()["role"] == "viewer"
        check_problem(await api.call(token, "GET", f"/conversations/{own}"), 404)


async def test_token_is_limited_to_its_scopes(engine: RunningApp) -> None:
    message = {"messages": [{"role": "user", "content": "hi"}], "conversation_id": "not-one"}
    async with engine.client() as client:
        api = await open_token_client(client)
        reads, chats = [(await api.create_token(api.bob, scopes=[scope]))["token"] for scope in ("read", "chat")]
        assert "only read" in check_problem(await api.call(reads, "POST", "/agent/chat", message), 403)["detail"]
        check_problem(await api.call(chats, "POST", "/agent/chat", message), 422)
        assert (await api.call(reads, "GET", "/conversations")).status_code == 200
        assert (await api.call(chats, "POST", "/conversations", {})).status_code == 200


async def test_tokens_of_removed_user_stay_revoked(engine: RunningApp) -> None:
    async with engine.client() as client:
        api = await open_token_client(client)
        made = await api.create_token(api.bob)
        await api.call(api.ana, "DELETE", f"/team/members/{api.bobs_id}")
        check_problem(await api.call(made["token"], "GET", "/auth/me"), 401)
        await api.call(api.ana, "PATCH", f"/team/members/{api.bobs_id}", {"status": "active"})
        check_problem(await api.call(made["token"], "GET", "/auth/me"), 401)


async def test_token_expires(engine: RunningApp) -> None:
    async with engine.client() as client:
        api = await open_token_client(client)
        made = await api.create_token(api.bob, expires_in_days=1)
        assert made["expires_at"] - made["created_at"] == DAY
        await expire_tokens(engine)
        check_problem(await api.call(made["token"], "GET", "/auth/me"), 401)
        fresh = await api.create_token(api.bob)
        assert await api.list_tokens(api.bob) == [fresh["id"]], "expired tokens are deleted"


@pytest.mark.promise("bounded")
async def test_number_of_tokens_per_user_is_limited(settings: Callable[..., Settings], database: str | None) -> None:
    async with run_app(settings(postgres_database_url=database)) as engine, engine.client() as client:
        api = await open_token_client(client)
        for _ in range(MAX_TOKENS_PER_USER - 2):
            await api.create_token(api.bob)
        wanted = [api.call(api.bob, "POST", "/auth/tokens", {"name": "late"}) for _ in range(4)]
        assert sorted(answer.status_code for answer in await asyncio.gather(*wanted)) == [201, 201, 409, 409]
        assert len(await api.list_tokens(api.bob)) == MAX_TOKENS_PER_USER
        await api.create_token(api.ana)


async def test_admin_lists_and_revokes_tokens_of_others(engine: RunningApp) -> None:
    async with engine.client() as client:
        api = await open_token_client(client)
        bobs, anas = await api.create_token(api.bob), await api.create_token(api.ana)
        assert await api.list_tokens(api.ana, f"?user_id={api.bobs_id}") == [bobs["id"]]
        assert await api.list_tokens(api.ana) == [anas["id"]]
        check_problem(await api.call(api.bob, "GET", f"/auth/tokens?user_id={anas['user_id']}"), 403)
        check_problem(await api.call(api.bob, "DELETE", f"/auth/tokens/{anas['id']}?user_id={anas['user_id']}"), 403)
        check_problem(await api.call(api.bob, "DELETE", f"/auth/tokens/{anas['id']}"), 404)
        check_problem(await api.call(api.ana, "DELETE", f"/auth/tokens/{bobs['id']}"), 404)
        revoked = await api.call(api.ana, "DELETE", f"/auth/tokens/{bobs['id']}?user_id={api.bobs_id}")
        assert revoked.status_code == 204
        check_problem(await api.call(bobs["token"], "GET", "/auth/me"), 401)


@pytest.mark.parametrize("token", ["sky_", "sky_nonsense", "sky_" + "x" * 10_000])
async def test_malformed_token_is_refused(engine: RunningApp, token: str) -> None:
    async with engine.client(token) as client:
        check_problem(await client.get("/auth/me"), 401)


async def test_local_admin_has_no_tokens(settings: Callable[..., Settings]) -> None:
    async with run_app(settings(local_mode=True)) as engine, engine.client(host="localhost") as client:
        check_problem(await client.post("/auth/tokens", json={"name": "bot"}), 403)
        assert (await client.get("/auth/tokens")).json() == {"data": []}


@pytest.mark.promise("secrets")
def test_tokens_are_redacted_in_text() -> None:
    token = "sky_" + "aB3-_" * 9
    assert token not in Redactor(b"k" * 32).redact_text(f"curl with {token} failed")
