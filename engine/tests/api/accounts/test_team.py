"""Team management: admins only, at least one admin stays, and removal ends all access."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from src.api.config.settings import Settings
from tests.support.app import PASSWORD, RunningApp, check_problem, log_in, register_user, run_app

pytestmark = pytest.mark.promise("authorised")

FIELDS = {"id", "email", "name", "role", "status", "created_at", "kubernetes_user", "kubernetes_groups"}


@dataclass
class TeamClient:
    """An engine, a client, and the first admin's token."""

    engine: RunningApp
    client: httpx.AsyncClient
    token: str

    async def call(self, method: str, path: str, body: object = None, token: str | None = None) -> httpx.Response:
        self.client.cookies.clear()
        bearer = {"Authorization": f"Bearer {token or self.token}"}
        return await self.client.request(method, path, json=body, headers=bearer)

    async def add(self, email: str, **more: Any) -> dict[str, Any]:
        answer = await self.call("POST", "/team/members", {"email": email, "password": PASSWORD, **more})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def members(self, token: str | None = None, status: str = "all") -> list[dict[str, Any]]:
        return list((await self.call("GET", f"/team/members?status={status}", token=token)).json())


async def open_team_client(engine: RunningApp, client: httpx.AsyncClient) -> TeamClient:
    await register_user(client, "ana@example.com", full_name="Ana")
    return TeamClient(engine, client, await log_in(client, "ana@example.com"))


async def test_member_lifecycle(engine: RunningApp) -> None:
    async with engine.client() as client:
        team = await open_team_client(engine, client)
        made = await team.add("Bob@example.com", name="Bob", role="member", kubernetes_groups=["devs"])
        assert set(made) == FIELDS
        assert (made["email"], made["role"], made["status"]) == ("bob@example.com", "member", "active")
        path = f"/team/members/{made['id']}"
        changed = (await team.call("PATCH", path, {"role": "approver", "kubernetes_user": "bob"})).json()
        assert (changed["role"], changed["name"], changed["kubernetes_user"]) == ("approver", "Bob", "bob")
        assert changed["kubernetes_groups"] == ["devs"]
        assert (await team.call("PATCH", path, {"kubernetes_user": None})).json()["kubernetes_user"] is None
        token = await log_in(client, "bob@example.com")
        removed = (await team.call("DELETE", path)).json()
        assert removed["status"] == "inactive"
        assert [each["status"] for each in await team.members()] == ["inactive", "active"]
        assert [each["email"] for each in await team.members(status="active")] == ["ana@example.com"]
        assert [each["email"] for each in await team.members(status="inactive")] == ["bob@example.com"]
        check_problem(await team.call("GET", "/auth/me", token=token), 401)
        again = await team.call("PATCH", path, {"status": "active"})
        assert again.json()["status"] == "active"
        check_problem(await team.call("GET", "/auth/me", token=token), 401)
        await log_in(client, "bob@example.com")


async def test_role_change_applies_to_next_request(engine: RunningApp) -> None:
    async with engine.client() as client:
        team = await open_team_client(engine, client)
        bob = await team.add("bob@example.com")
        token = await log_in(client, "bob@example.com")
        check_problem(await team.call("GET", "/team/members", token=token), 403)
        await team.call("PATCH", f"/team/members/{bob['id']}", {"role": "admin"})
        assert len(await team.members(token)) == 2
        assert (await team.call("GET", "/auth/me", token=token)).json()["is_superuser"] is True


@pytest.mark.parametrize(
    ("method", "body"), [("DELETE", None), ("PATCH", {"role": "member"}), ("PATCH", {"status": "inactive"})]
)
async def test_last_admin_can_not_be_removed(engine: RunningApp, method: str, body: dict[str, str] | None) -> None:
    async with engine.client() as client:
        team = await open_team_client(engine, client)
        gone = await team.add("gone@example.com", role="admin")
        assert (await team.call("DELETE", f"/team/members/{gone['id']}")).status_code == 200
        ana = (await team.members())[-1]
        answer = await team.call(method, f"/team/members/{ana['id']}", body)
        assert "admin first" in check_problem(answer, 409)["detail"]
        assert (await team.call("PATCH", f"/team/members/{ana['id']}", {"name": "Ana B."})).status_code == 200


@pytest.mark.parametrize(("method", "body"), [("DELETE", None), ("PATCH", {"role": "viewer"})])
async def test_admins_removing_each_other_leave_one(
    settings: Callable[..., Settings], database: str | None, method: str, body: dict[str, str] | None
) -> None:
    async with run_app(settings(postgres_database_url=database)) as engine, engine.client() as client:
        team = await open_team_client(engine, client)
        for n in range(3):
            ana = next(each for each in await team.members() if each["email"] == "ana@example.com")
            bob = await team.add(f"bob{n}@example.com", role="admin")
            token = await log_in(client, bob["email"])
            answers = await asyncio.gather(
                team.call(method, f"/team/members/{bob['id']}", body),
                team.call(method, f"/team/members/{ana['id']}", body, token),
            )
            statuses = [answer.status_code for answer in answers]
            assert statuses.count(200) == 1
            assert set(statuses) <= {200, 401, 403}
            if statuses[1] == 200:
                await team.call("PATCH", f"/team/members/{ana['id']}", {"role": "admin", "status": "active"}, token)
                team.token = await log_in(client, "ana@example.com")
                await team.call("DELETE", f"/team/members/{bob['id']}")
            assert [each["email"] for each in await team.members() if _is_active_admin(each)] == ["ana@example.com"]


def _is_active_admin(member: dict[str, Any]) -> bool:
    return member["role"] == "admin" and member["status"] == "active"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"email": "ANA@example.com", "password": PASSWORD}, 409),
        ({"email": "bob@example.com"}, 422),
        ({"email": "bob@example.com", "password": "bob@example.com"}, 400),
        ({"email": "bob@example.com", "password": PASSWORD, "role": "owner"}, 422),
        ({"email": "bob@example.com", "password": PASSWORD, "is_superuser": True}, 422),
        ({"email": "bob@example.com", "password": PASSWORD, "kubernetes_groups": ["system:masters"]}, 422),
        ({"email": "bob@example.com", "password": PASSWORD, "kubernetes_groups": ["x"] * 51}, 422),
    ],
)
async def test_invalid_member_is_refused(engine: RunningApp, body: dict[str, Any], status: int) -> None:
    async with engine.client() as client:
        team = await open_team_client(engine, client)
        check_problem(await team.call("POST", "/team/members", body), status)
        assert len(await team.members()) == 1


async def test_unknown_member_is_not_found(engine: RunningApp) -> None:
    async with engine.client() as client:
        team = await open_team_client(engine, client)
        for method in ("PATCH", "DELETE"):
            check_problem(await team.call(method, "/team/members/nobody", {} if method == "PATCH" else None), 404)


@pytest.mark.promise("bounded")
async def test_members_are_paginated(engine: RunningApp) -> None:
    async with engine.client() as client:
        team = await open_team_client(engine, client)
        for n in range(4):
            await team.add(f"bob{n}@example.com")
        seen: list[str] = []
        page = await team.call("GET", "/team/members?limit=2&status=active")
        while page.links:
            seen += [each["email"] for each in page.json()]
            page = await team.call("GET", str(client.base_url.join(page.links["next"]["url"])))
        seen += [each["email"] for each in page.json()]
        assert seen == [*(f"bob{n}@example.com" for n in reversed(range(4))), "ana@example.com"]
