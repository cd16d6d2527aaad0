"""Access to every route by every role: one row for each route, so that a new route without a row fails."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from src.api.ports import Transaction
from src.api.schemas.records import ApiToken, Conversation, Integration, Record, User
from tests.support.app import BASE, RunningApp, log_in, make_settings, register_user, run_app
from tests.support.history_rows import make_approval, make_call, make_run
from tests.support.hostile_provider import CLIENT, open_hostile_provider
from tests.support.oidc_provider import PAGES
from tests.support.rows import row

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("authorised")]

CALLERS = ("anonymous", "viewer", "other", "owner", "token", "approver", "admin")
"""`other` is a member, `owner` the member who owns the conversation, `token` an API token of the owner."""

Row = tuple[int, int, int, int, int, int, int]
PUBLIC: Row = (200,) * 7
SIGNED_IN: Row = (401, 200, 200, 200, 200, 200, 200)
MINE: Row = (401, 404, 404, 200, 200, 404, 404)
SEEN: Row = (401, 404, 404, 200, 200, 200, 200)

ROUTES: dict[str, Row] = {
    "GET /app": PUBLIC,
    "GET /health": PUBLIC,
    "GET /health/database": PUBLIC,
    "GET /health/ready": PUBLIC,
    "POST /agent/chat": (401, 404, 404, 409, 409, 404, 404),
    "GET /agent/approvals": SIGNED_IN,
    "GET /agent/approvals/{call_id}": SEEN,
    "POST /agent/approvals/{call_id}": (401, 404, 404, 409, 403, 409, 409),
    "POST /agent/approvals/{call_id}/verify": (401, 404, 404, 409, 403, 409, 409),
    "POST /agent/stop": (401, 404, 404, 200, 200, 404, 200),
    "GET /agent/runs": SIGNED_IN,
    "GET /agent/runs/{run_id}": SEEN,
    "GET /agent/runs/{run_id}/events": SEEN,
    "GET /agent/tools": SIGNED_IN,
    "GET /events": SIGNED_IN,
    "GET /policy": SIGNED_IN,
    "POST /policy/explain": (401, 404, 404, 404, 404, 404, 404),
    "POST /conversations": SIGNED_IN,
    "GET /conversations": SIGNED_IN,
    "GET /conversations/{conversation_id}": SEEN,
    "GET /conversations/{conversation_id}/export": SEEN,
    "PATCH /conversations/{conversation_id}": MINE,
    "DELETE /conversations/{conversation_id}": MINE,
    "POST /auth/jwt/login": (400,) * 7,
    "POST /auth/jwt/logout": (401, 204, 204, 204, 204, 204, 204),
    "POST /auth/register/register": (403,) * 7,
    "POST /auth/logout": SIGNED_IN,
    "POST /auth/refresh": (401,) * 7,
    "POST /auth/refresh/issue": (401, 200, 200, 200, 403, 200, 200),
    "POST /auth/reset-password/forgot-password": (202,) * 7,
    "POST /auth/reset-password/reset-password": (400,) * 7,
    "POST /auth/verify/request-verify-token": (202,) * 7,
    "POST /auth/verify/verify": (400,) * 7,
    "GET /auth/users/me": SIGNED_IN,
    "PATCH /auth/users/me": (401, 200, 200, 200, 403, 200, 200),
    "PATCH /auth/users/me/password": (401, 400, 400, 400, 403, 400, 400),
    "GET /auth/users/{user_id}": (401, 403, 403, 403, 403, 403, 200),
    "PATCH /auth/users/{user_id}": (401, 403, 403, 403, 403, 403, 200),
    "POST /auth/users/{user_id}/reset-link": (401, 403, 403, 403, 403, 403, 200),
    "DELETE /auth/users/{user_id}": (401, 403, 403, 403, 403, 403, 204),
    "GET /auth/tokens": (401, 200, 200, 200, 403, 200, 200),
    "POST /auth/tokens": (401, 201, 201, 201, 403, 201, 201),
    "DELETE /auth/tokens/{token_id}": (401, 404, 404, 204, 403, 404, 404),
    "GET /analytics/metrics": (401, 403, 403, 403, 403, 403, 200),
    "GET /analytics/budgets": (401, 200, 200, 200, 200, 200, 200),
    "GET /team/members": (401, 403, 403, 403, 403, 403, 200),
    "POST /team/members": (401, 403, 403, 403, 403, 403, 409),
    "PATCH /team/members/{member_id}": (401, 403, 403, 403, 403, 403, 200),
    "DELETE /team/members/{member_id}": (401, 403, 403, 403, 403, 403, 200),
    "GET /integrations": (401, 403, 403, 403, 403, 403, 200),
    "POST /integrations": (401, 403, 403, 403, 403, 403, 201),
    "PATCH /integrations/{integration_id}": (401, 403, 403, 403, 403, 403, 200),
    "DELETE /integrations/{integration_id}": (401, 403, 403, 403, 403, 403, 200),
    "GET /audit": (401, 403, 403, 403, 403, 403, 200),
    "GET /audit/export": (401, 403, 403, 403, 403, 403, 200),
    "GET /audit/verify": (401, 403, 403, 403, 403, 403, 200),
    "GET /auth/oidc": PUBLIC,
    "GET /auth/oidc/login": (302,) * 7,
    "GET /auth/oidc/callback": (400,) * 7,
    "POST /auth/oidc/link": (401, 400, 400, 400, 403, 400, 400),
    "GET /auth/is_admin_user": PUBLIC,
    "GET /auth/me": SIGNED_IN,
    "PATCH /auth/me": (401, 200, 200, 200, 403, 200, 200),
}
ENDLESS = {"GET /events"}
"""Streams that end only with the process."""
CASES = [(route, person, status) for route, row in ROUTES.items() for person, status in zip(CALLERS, row, strict=True)]


@dataclass(frozen=True)
class RoleScenario:
    """An engine, a token for each role, and the owner's rows: a running conversation and one that awaits approval."""

    engine: RunningApp
    tokens: dict[str, str]
    owner_id: str

    async def insert(self, *rows: Record) -> None:
        async def body(tx: Transaction) -> None:
            for one in rows:
                assert await tx.insert(one)

        await self.engine.services.conversations.store.transaction(body)

    async def request(self, route: str) -> dict[str, Any]:
        """Build the route's request on newly inserted rows."""
        busy, waiting = self._conversation(), self._conversation()
        running_run = make_run(
            busy.id, self.owner_id, state="running", owner="w", fence=1, lease_until=9_999_999_999_999
        )
        resting = make_run(waiting.id, self.owner_id, state="awaiting_approval", turn=1)
        call = make_call(resting, 1, 0, status="awaiting_approval")
        approval = replace(make_approval(resting, digest="d", approve_by=9_999_999_999_999), id=call.id)
        await self.insert(busy, waiting, running_run, resting, call, approval)
        method, _, path = route.partition(" ")
        new_user = row(User, id=f"new-{busy.id}", email=busy.id, role="viewer", kubernetes_groups="[]", created_at=1)
        new_user = replace(new_user, is_active=True, hashed_password="a hash")
        api_token = row(ApiToken, id=f"token-{busy.id}", user_id=self.owner_id, token_sha256=busy.id, scopes="read")
        jenkins = row(Integration, id=f"i-{busy.id}", provider="jenkins", name=busy.id, status="active")
        jenkins = replace(jenkins, metadata='{"api_url":"https://ci.example"}')
        await self.insert(new_user, api_token, jenkins)
        ids = {
            "token_id": api_token.id,
            "member_id": new_user.id,
            "integration_id": jenkins.id,
            "user_id": new_user.id,
            "call_id": call.id,
            "run_id": resting.id,
            "conversation_id": waiting.id,
        }
        bodies: dict[str, dict[str, Any]] = {
            "/agent/chat": {"messages": [{"role": "user", "content": "x"}], "conversation_id": busy.id},
            "/agent/approvals/{call_id}": {"approve": True, "conversation_id": waiting.id, "digest": "other"},
            "/agent/stop": {"conversation_id": busy.id, "run_id": running_run.id},
            "/policy/explain": {"tool": "none is listed here"},
            "/auth/users/me/password": {"current_password": "wrong", "new_password": "another one, long enough"},
            "/team/members": {"email": "owner@example.com", "password": "long enough to be one"},
            "/auth/reset-password/forgot-password": {"email": "nobody@example.com"},
            "/auth/reset-password/reset-password": {"token": "x", "password": "long enough to be one"},
            "/auth/verify/request-verify-token": {"email": "nobody@example.com"},
            "/auth/verify/verify": {"token": "x"},
            "/auth/tokens": {"name": "bot"},
            "/integrations": {
                "provider": "jenkins",
                "name": f"made for {busy.id}",
                "metadata": {"api_url": "https://ci.example"},
                "credentials": {"username": "bot", "api_token": "t"},
            },
            "/auth/oidc/link": {"current_password": "wrong"},
            "/auth/register/register": {"email": "late@example.com", "password": "long enough to be one"},
        }
        wanted: dict[str, Any] = {"method": method, "url": path.format(**ids)}
        if path == "/auth/jwt/login":
            wanted["data"] = {"username": "nobody@example.com", "password": "wrong"}
        elif method in ("POST", "PATCH"):
            wanted["json"] = bodies.get(path, {})
        return wanted

    def _conversation(self) -> Conversation:
        made = row(Conversation, owner_id=self.owner_id, metadata="{}", is_active=True, created_at=1, updated_at=1)
        return replace(made, id=self.engine.services.conversations.ids.new())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider_settings() -> AsyncIterator[dict[str, Any]]:
    """Settings with an OpenID provider; without one, the OIDC routes answer only that it is off."""
    async with open_hostile_provider() as provider:
        yield {"oidc_issuer": provider.issuer, "oidc_client_id": CLIENT, "public_url": PAGES}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scenario(
    tmp_path_factory: pytest.TempPathFactory, provider_settings: dict[str, Any]
) -> AsyncIterator[RoleScenario]:
    settings = make_settings(tmp_path_factory.mktemp("data"), registration_enabled=True).model_copy(
        update=provider_settings
    )
    async with run_app(settings) as engine, engine.client() as client:
        ids = {}
        for name in ("admin", "viewer", "other", "owner", "approver"):
            ids[name] = (await register_user(client, f"{name}@example.com"))["id"]
        tokens = {name: await log_in(client, f"{name}@example.com") for name in ids}
        roles = {"other": "member", "owner": "member", "approver": "approver"}

        async def promote(tx: Transaction) -> None:
            for name, role in roles.items():
                assert await tx.change(User, {"id": ids[name]}, role=role)

        await engine.services.conversations.store.transaction(promote)
        api_tokens = {
            "token": await _create_api_token(engine, tokens["owner"], "chat"),
            "reader": await _create_api_token(engine, tokens["admin"], "read"),
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(await engine.services.accounts(), "_registration_enabled", False)
            yield RoleScenario(engine, {**tokens, **api_tokens}, ids["owner"])


async def _create_api_token(engine: RunningApp, owner: str, scope: str) -> str:
    """Create an API token for this user."""
    async with engine.client(owner) as client:
        answer = await client.post("/auth/tokens", json={"name": "deploy bot", "scopes": [scope]})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


async def test_every_route_has_a_row(scenario: RoleScenario) -> None:
    paths = scenario.engine.app.openapi()["paths"]
    found = {f"{method.upper()} {path.removeprefix(BASE)}" for path, methods in paths.items() for method in methods}
    assert found == set(ROUTES)


@pytest.mark.parametrize(("route", "person", "status"), CASES)
async def test_route_answers_by_role(scenario: RoleScenario, route: str, person: str, status: int) -> None:
    token = scenario.tokens.get(person)
    if "logout" in route and person not in ("anonymous", "token"):
        async with scenario.engine.client() as client:
            token = await log_in(client, f"{person}@example.com")
    closing = scenario.engine.services.closing
    async with scenario.engine.client(token) as client:
        if route in ENDLESS:
            closing.set()
        answer = await client.request(**await scenario.request(route))
    closing.clear()
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.startswith("GET")])
@pytest.mark.parametrize(
    "page", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Content-Type": "text/plain"}]
)
async def test_foreign_page_can_not_use_admin_cookies(scenario: RoleScenario, route: str, page: dict[str, str]) -> None:
    """Refused by origin, or by a content type that a browser sends across origins without a preflight."""
    cookies = {"Cookie": f"auth_token={scenario.tokens['admin']}; refresh_token=x"}
    wanted = await scenario.request(route)
    if "Content-Type" in page:
        wanted = {"method": wanted["method"], "url": wanted["url"], "content": b"{}"}
    async with scenario.engine.client() as client:
        answer = await client.request(**wanted, headers=cookies | page)
    assert answer.status_code == (415 if "Content-Type" in page else 403), answer.text


@pytest.mark.parametrize("route", [route for route, row in ROUTES.items() if row[0] == 401 and route[:3] != "GET"])
async def test_read_only_token_changes_nothing(scenario: RoleScenario, route: str) -> None:
    """A read-only token of an admin is refused too."""
    async with scenario.engine.client(scenario.tokens["reader"]) as client:
        answer = await client.request(**await scenario.request(route))
    assert answer.status_code == (401 if route == "POST /auth/refresh" else 403), answer.text
