"""`/auth/users`: one's own account, and everybody's for admins, by the rules of the team."""

from typing import Any

import httpx
import pytest

from tests.support.app import PASSWORD, Running, problem, registered, signed_in

pytestmark = pytest.mark.promise("authorised")

ANA, BOB = "ana@example.com", "bob@example.com"
NEW = "a new and long one"


class Hall:
    """An engine's client, the admin Ana and the member Bob."""

    def __init__(self, client: httpx.AsyncClient, ana: dict[str, Any], token: str) -> None:
        self.client, self.ana, self.token = client, ana, token
        self.bob: dict[str, Any] = {}

    async def call(self, method: str, path: str, body: object = None, token: str | None = None) -> httpx.Response:
        self.client.cookies.clear()
        bearer = {"Authorization": f"Bearer {token or self.token}"}
        return await self.client.request(method, path, json=body, headers=bearer)

    async def change(self, person: dict[str, Any], **body: object) -> httpx.Response:
        return await self.call("PATCH", f"/auth/users/{person['id']}", body)


async def opened(client: httpx.AsyncClient, role: str = "member") -> Hall:
    ana = dict(await registered(client, ANA))
    hall = Hall(client, ana, await signed_in(client, ANA))
    wanted = {"email": BOB, "password": PASSWORD, "role": role}
    hall.bob = (await hall.call("POST", "/team/members", wanted)).json()
    return hall


async def test_ones_own_account_at_both_addresses(engine: Running) -> None:
    async with engine.client() as client:
        hall = await opened(client)
        assert (await hall.call("GET", "/auth/users/me")).json() == (await hall.call("GET", "/auth/me")).json()
        assert (await hall.call("PATCH", "/auth/users/me", {"full_name": "Ana"})).json()["full_name"] == "Ana"
        for path in ("/auth/users/me", "/auth/me", f"/auth/users/{hall.ana['id']}"):
            for change in ({"email": "new@example.com"}, {"password": NEW}):
                problem(await hall.call("PATCH", path, change), 400)
                problem(await hall.call("PATCH", path, {**change, "current_password": "wrong"}), 400)
            taken = await hall.call("PATCH", path, {"email": BOB, "current_password": PASSWORD})
            assert problem(taken, 400)["reason"] == "UPDATE_USER_EMAIL_ALREADY_EXISTS"
            unfit = await hall.call("PATCH", path, {"password": ANA, "current_password": PASSWORD})
            assert problem(unfit, 400)["reason"] == "UPDATE_USER_INVALID_PASSWORD"


async def test_admins_change_what_others_have(engine: Running) -> None:
    async with engine.client() as client:
        hall = await opened(client)
        path = f"/auth/users/{hall.bob['id']}"
        assert (await hall.call("GET", path)).json()["email"] == BOB
        changed = (await hall.change(hall.bob, full_name="Bob", email="Bob@Elsewhere.example", is_verified=True)).json()
        assert (changed["full_name"], changed["email"], changed["is_verified"]) == (
            "Bob",
            "bob@elsewhere.example",
            True,
        )
        assert (await hall.change(hall.bob, email=BOB)).json()["is_verified"] is False
        assert problem(await hall.change(hall.bob, email=ANA), 400)["reason"] == "UPDATE_USER_EMAIL_ALREADY_EXISTS"
        assert problem(await hall.change(hall.bob, password=BOB), 400)["reason"] == "UPDATE_USER_INVALID_PASSWORD"


async def test_a_password_that_an_admin_sets_ends_the_sessions(engine: Running) -> None:
    async with engine.client() as client:
        hall = await opened(client)
        token = await signed_in(client, BOB)
        assert (await hall.change(hall.bob, password=NEW)).status_code == 200
        problem(await hall.call("GET", "/auth/me", token=token), 401)
        await signed_in(client, BOB, NEW)


@pytest.mark.parametrize("greedy", [{"is_superuser": True}, {"role": "admin"}, {"is_superuser": True, "role": "admin"}])
async def test_no_body_raises_a_role(engine: Running, greedy: dict[str, object]) -> None:
    async with engine.client() as client:
        hall = await opened(client)
        token = await signed_in(client, BOB)
        answers = [
            await hall.change(hall.bob, **greedy),
            await hall.call("PATCH", "/auth/users/me", {**greedy, "is_verified": True}, token),
        ]
        for answer in answers:
            assert answer.status_code == 200
            told = answer.json()
            assert (told["role"], told["is_superuser"], told["is_verified"]) == ("member", False, False)


async def test_nobody_vouches_for_themselves(engine: Running) -> None:
    async with engine.client() as client:
        hall = await opened(client)
        told = (await hall.change(hall.ana, is_verified=True, is_active=False, full_name="Ana")).json()
    assert (told["is_verified"], told["is_active"], told["full_name"]) == (False, True, "Ana")


async def test_removing_is_what_it_is_in_the_team(engine: Running) -> None:
    async with engine.client() as client:
        hall = await opened(client)
        token = await signed_in(client, BOB)
        answer = await hall.call("DELETE", f"/auth/users/{hall.bob['id']}")
        assert (answer.status_code, answer.content) == (204, b"")
        problem(await hall.call("GET", "/auth/me", token=token), 401)
        assert (await hall.call("GET", f"/auth/users/{hall.bob['id']}")).json()["is_active"] is False
        assert (await hall.change(hall.bob, is_active=True)).json()["is_active"] is True
        problem(await hall.call("GET", "/auth/me", token=token), 401)


@pytest.mark.parametrize(("method", "body"), [("DELETE", None), ("PATCH", {"is_active": False})])
async def test_the_last_admin_stays(engine: Running, method: str, body: dict[str, object] | None) -> None:
    async with engine.client() as client:
        hall = await opened(client, role="admin")
        token = await signed_in(client, BOB)
        path = f"/auth/users/{hall.ana['id']}"
        assert (await hall.call("DELETE", path, token=token)).status_code == 204
        problem(await hall.call("PATCH", path, {"is_active": True}), 401)
        own = await hall.call(method, f"/auth/users/{hall.bob['id']}", body, token)
        assert own.status_code == (409 if method == "DELETE" else 200)
        assert (await hall.call("GET", "/auth/users/me", token=token)).json()["is_active"] is True


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PATCH", {"full_name": "x"}), ("DELETE", None)])
async def test_others_are_the_admins_affair(engine: Running, method: str, body: dict[str, object] | None) -> None:
    async with engine.client() as client:
        hall = await opened(client)
        token = await signed_in(client, BOB)
        for person in (hall.ana, hall.bob):
            problem(await hall.call(method, f"/auth/users/{person['id']}", body, token), 403)
        problem(await hall.call(method, "/auth/users/nobody", body), 404)
