"""The team: admins manage it, there is always one of them, and who is removed is out."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from src.api.config.settings import Settings
from tests.support.app import PASSWORD, Running, problem, registered, running, signed_in

pytestmark = pytest.mark.promise("authorised")

FIELDS = {"id", "email", "name", "role", "status", "created_at", "kubernetes_user", "kubernetes_groups"}


@dataclass
class Office:
    """An engine with a client, and the first admin's token."""

    engine: Running
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

    async def members(self, token: str | None = None) -> list[dict[str, Any]]:
        return list((await self.call("GET", "/team/members", token=token)).json()["data"])


async def opened(engine: Running, client: httpx.AsyncClient) -> Office:
    await registered(client, "ana@example.com", full_name="Ana")
    return Office(engine, client, await signed_in(client, "ana@example.com"))


async def test_a_member_comes_is_changed_and_goes(engine: Running) -> None:
    async with engine.client() as client:
        office = await opened(engine, client)
        made = await office.add("Bob@example.com", name="Bob", role="member", kubernetes_groups=["devs"])
        assert set(made) == FIELDS
        assert (made["email"], made["role"], made["status"]) == ("bob@example.com", "member", "active")
        path = f"/team/members/{made['id']}"
        changed = (await office.call("PATCH", path, {"role": "approver", "kubernetes_user": "bob"})).json()
        assert (changed["role"], changed["name"], changed["kubernetes_user"]) == ("approver", "Bob", "bob")
        assert changed["kubernetes_groups"] == ["devs"]
        assert (await office.call("PATCH", path, {"kubernetes_user": None})).json()["kubernetes_user"] is None
        token = await signed_in(client, "bob@example.com")
        removed = (await office.call("DELETE", path)).json()
        assert removed["status"] == "inactive"
        assert [each["status"] for each in await office.members()] == ["inactive", "active"]
        problem(await office.call("GET", "/auth/me", token=token), 401)
        again = await office.call("PATCH", path, {"status": "active"})
        assert again.json()["status"] == "active"
        problem(await office.call("GET", "/auth/me", token=token), 401)
        await signed_in(client, "bob@example.com")


async def test_a_role_counts_from_the_next_request_on(engine: Running) -> None:
    async with engine.client() as client:
        office = await opened(engine, client)
        bob = await office.add("bob@example.com")
        token = await signed_in(client, "bob@example.com")
        problem(await office.call("GET", "/team/members", token=token), 403)
        await office.call("PATCH", f"/team/members/{bob['id']}", {"role": "admin"})
        assert len(await office.members(token)) == 2
        assert (await office.call("GET", "/auth/me", token=token)).json()["is_superuser"] is True


@pytest.mark.parametrize(
    ("method", "body"), [("DELETE", None), ("PATCH", {"role": "member"}), ("PATCH", {"status": "inactive"})]
)
async def test_the_last_admin_stays(engine: Running, method: str, body: dict[str, str] | None) -> None:
    async with engine.client() as client:
        office = await opened(engine, client)
        gone = await office.add("gone@example.com", role="admin")
        assert (await office.call("DELETE", f"/team/members/{gone['id']}")).status_code == 200
        ana = (await office.members())[-1]
        answer = await office.call(method, f"/team/members/{ana['id']}", body)
        assert "admin first" in problem(answer, 409)["detail"]
        assert (await office.call("PATCH", f"/team/members/{ana['id']}", {"name": "Ana B."})).status_code == 200


@pytest.mark.parametrize(("method", "body"), [("DELETE", None), ("PATCH", {"role": "viewer"})])
async def test_two_admins_who_end_each_other_leave_one(
    settings: Callable[..., Settings], database: str | None, method: str, body: dict[str, str] | None
) -> None:
    async with running(settings(postgres_database_url=database)) as engine, engine.client() as client:
        office = await opened(engine, client)
        for n in range(3):
            ana = next(each for each in await office.members() if each["email"] == "ana@example.com")
            bob = await office.add(f"bob{n}@example.com", role="admin")
            token = await signed_in(client, bob["email"])
            answers = await asyncio.gather(
                office.call(method, f"/team/members/{bob['id']}", body),
                office.call(method, f"/team/members/{ana['id']}", body, token),
            )
            statuses = [answer.status_code for answer in answers]
            assert statuses.count(200) == 1
            assert set(statuses) <= {200, 401, 403}
            if statuses[1] == 200:
                await office.call("PATCH", f"/team/members/{ana['id']}", {"role": "admin", "status": "active"}, token)
                office.token = await signed_in(client, "ana@example.com")
                await office.call("DELETE", f"/team/members/{bob['id']}")
            assert [each["email"] for each in await office.members() if _admin(each)] == ["ana@example.com"]


def _admin(member: dict[str, Any]) -> bool:
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
async def test_who_can_not_be_added(engine: Running, body: dict[str, Any], status: int) -> None:
    async with engine.client() as client:
        office = await opened(engine, client)
        problem(await office.call("POST", "/team/members", body), status)
        assert len(await office.members()) == 1


async def test_nobody_else_can_be_changed(engine: Running) -> None:
    async with engine.client() as client:
        office = await opened(engine, client)
        for method in ("PATCH", "DELETE"):
            problem(await office.call(method, "/team/members/nobody", {} if method == "PATCH" else None), 404)


@pytest.mark.promise("bounded")
async def test_members_come_in_pages(engine: Running) -> None:
    async with engine.client() as client:
        office = await opened(engine, client)
        for n in range(4):
            await office.add(f"bob{n}@example.com")
        seen: list[str] = []
        cursor = ""
        while cursor is not None:
            page = (await office.call("GET", f"/team/members?limit=2{cursor and f'&cursor={cursor}'}")).json()
            seen += [each["email"] for each in page["data"]]
            cursor = page["pagination"]["next_cursor"]
        assert seen == [*(f"bob{n}@example.com" for n in reversed(range(4))), "ana@example.com"]
