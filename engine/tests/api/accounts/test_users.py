"""`/auth/users`: the caller's account, and all accounts for admins, by the team's rules."""

from typing import Any

import httpx
import pytest

from tests.support.app import PASSWORD, RunningApp, check_problem, log_in, register_user

pytestmark = pytest.mark.promise("authorised")

ANA, BOB = "ana@example.com", "bob@example.com"
NEW = "a new and long one"


class UsersClient:
    """A client with Ana, an admin, and Bob, a member."""

    def __init__(self, client: httpx.AsyncClient, ana: dict[str, Any], token: str) -> None:
        self.client, self.ana, self.token = client, ana, token
        self.bob: dict[str, Any] = {}

    async def call(self, method: str, path: str, body: object = None, token: str | None = None) -> httpx.Response:
        self.client.cookies.clear()
        bearer = {"Authorization": f"Bearer {token or self.token}"}
        return await self.client.request(method, path, json=body, headers=bearer)

    async def change(self, person: dict[str, Any], **body: object) -> httpx.Response:
        return await self.call("PATCH", f"/auth/users/{person['id']}", body)


async def open_users_client(client: httpx.AsyncClient, role: str = "member") -> UsersClient:
    ana = dict(await register_user(client, ANA))
    users = UsersClient(client, ana, await log_in(client, ANA))
    wanted = {"email": BOB, "password": PASSWORD, "role": role}
    users.bob = (await users.call("POST", "/team/members", wanted)).json()
    return users


async def test_own_account_is_available_at_both_paths(engine: RunningApp) -> None:
    async with engine.client() as client:
        users = await open_users_client(client)
        assert (await users.call("GET", "/auth/users/me")).json() == (await users.call("GET", "/auth/me")).json()
        assert (await users.call("PATCH", "/auth/users/me", {"full_name": "Ana"})).json()["full_name"] == "Ana"
        for path in ("/auth/users/me", "/auth/me", f"/auth/users/{users.ana['id']}"):
            for change in ({"email": "new@example.com"}, {"password": NEW}):
                check_problem(await users.call("PATCH", path, change), 400)
                check_problem(await users.call("PATCH", path, {**change, "current_password": "wrong"}), 400)
            taken = await users.call("PATCH", path, {"email": BOB, "current_password": PASSWORD})
            assert check_problem(taken, 400)["reason"] == "UPDATE_USER_EMAIL_ALREADY_EXISTS"
            unfit = await users.call("PATCH", path, {"password": ANA, "current_password": PASSWORD})
            assert check_problem(unfit, 400)["reason"] == "UPDATE_USER_INVALID_PASSWORD"


async def test_admin_changes_other_accounts(engine: RunningApp) -> None:
    async with engine.client() as client:
        users = await open_users_client(client)
        path = f"/auth/users/{users.bob['id']}"
        assert (await users.call("GET", path)).json()["email"] == BOB
        changed = (
            await users.change(users.bob, full_name="Bob", email="Bob@Elsewhere.example", is_verified=True)
        ).json()
        assert (changed["full_name"], changed["email"], changed["is_verified"]) == (
            "Bob",
            "bob@elsewhere.example",
            True,
        )
        assert (await users.change(users.bob, email=BOB)).json()["is_verified"] is False
        assert (
            check_problem(await users.change(users.bob, email=ANA), 400)["reason"] == "UPDATE_USER_EMAIL_ALREADY_EXISTS"
        )
        assert (
            check_problem(await users.change(users.bob, password=BOB), 400)["reason"] == "UPDATE_USER_INVALID_PASSWORD"
        )


async def test_password_set_by_admin_ends_sessions(engine: RunningApp) -> None:
    async with engine.client() as client:
        users = await open_users_client(client)
        token = await log_in(client, BOB)
        assert (await users.change(users.bob, password=NEW)).status_code == 200
        check_problem(await users.call("GET", "/auth/me", token=token), 401)
        await log_in(client, BOB, NEW)


@pytest.mark.parametrize(
    "elevated", [{"is_superuser": True}, {"role": "admin"}, {"is_superuser": True, "role": "admin"}]
)
async def test_body_does_not_raise_role(engine: RunningApp, elevated: dict[str, object]) -> None:
    async with engine.client() as client:
        users = await open_users_client(client)
        token = await log_in(client, BOB)
        answers = [
            await users.change(users.bob, **elevated),
            await users.call("PATCH", "/auth/users/me", {**elevated, "is_verified": True}, token),
        ]
        for answer in answers:
            assert answer.status_code == 200
            view = answer.json()
            assert (view["role"], view["is_superuser"], view["is_verified"]) == ("member", False, False)


async def test_user_can_not_verify_own_account(engine: RunningApp) -> None:
    async with engine.client() as client:
        users = await open_users_client(client)
        view = (await users.change(users.ana, is_verified=True, is_active=False, full_name="Ana")).json()
    assert (view["is_verified"], view["is_active"], view["full_name"]) == (False, True, "Ana")


async def test_removal_deactivates_account(engine: RunningApp) -> None:
    async with engine.client() as client:
        users = await open_users_client(client)
        token = await log_in(client, BOB)
        answer = await users.call("DELETE", f"/auth/users/{users.bob['id']}")
        assert (answer.status_code, answer.content) == (204, b"")
        check_problem(await users.call("GET", "/auth/me", token=token), 401)
        assert (await users.call("GET", f"/auth/users/{users.bob['id']}")).json()["is_active"] is False
        assert (await users.change(users.bob, is_active=True)).json()["is_active"] is True
        check_problem(await users.call("GET", "/auth/me", token=token), 401)


@pytest.mark.parametrize(("method", "body"), [("DELETE", None), ("PATCH", {"is_active": False})])
async def test_last_admin_can_not_be_removed(engine: RunningApp, method: str, body: dict[str, object] | None) -> None:
    async with engine.client() as client:
        users = await open_users_client(client, role="admin")
        token = await log_in(client, BOB)
        path = f"/auth/users/{users.ana['id']}"
        assert (await users.call("DELETE", path, token=token)).status_code == 204
        check_problem(await users.call("PATCH", path, {"is_active": True}), 401)
        own = await users.call(method, f"/auth/users/{users.bob['id']}", body, token)
        assert own.status_code == (409 if method == "DELETE" else 200)
        assert (await users.call("GET", "/auth/users/me", token=token)).json()["is_active"] is True


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PATCH", {"full_name": "x"}), ("DELETE", None)])
async def test_other_accounts_require_admin(engine: RunningApp, method: str, body: dict[str, object] | None) -> None:
    async with engine.client() as client:
        users = await open_users_client(client)
        token = await log_in(client, BOB)
        for person in (users.ana, users.bob):
            check_problem(await users.call(method, f"/auth/users/{person['id']}", body, token), 403)
        check_problem(await users.call(method, "/auth/users/nobody", body), 404)
