"""Sessions: refresh tokens work once or for two tabs, a later reuse ends the session, which is refused everywhere."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from src.api.config.settings import Settings
from src.api.ports import Reader, Transaction
from src.api.schemas.query import Increment, is_not_null
from src.api.schemas.records import RefreshToken
from src.api.services.accounts.sessions import REUSE_SECONDS
from tests.support.app import PASSWORD, RunningApp, check_problem, log_in, register_user, run_app

pytestmark = pytest.mark.promise("authorised")

NEW = "a new and long one"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def issue_refresh_token(client: httpx.AsyncClient, token: str) -> str:
    """Issue a refresh token for this access token's session."""
    answer = await client.post("/auth/refresh/issue", headers=bearer(token))
    assert answer.status_code == 200, answer.text
    return str(answer.cookies["refresh_token"])


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    client.cookies.clear()
    return await client.post("/auth/refresh", headers={"Cookie": f"refresh_token={token}"})


async def get_status(client: httpx.AsyncClient, token: str) -> int:
    client.cookies.clear()
    return (await client.get("/auth/me", headers=bearer(token))).status_code


async def read_refresh_tokens(engine: RunningApp) -> list[RefreshToken]:
    async def body(reader: Reader) -> list[RefreshToken]:
        return await reader.find(RefreshToken, {}, "created_at,id")

    return await engine.services.conversations.store.read(body)


async def test_refresh_returns_new_tokens_of_session(engine: RunningApp) -> None:
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        first = await issue_refresh_token(client, await log_in(client, "ana@example.com"))
        answer = await refresh(client, first)
        assert answer.status_code == 200
        assert set(answer.json()) == {"access_token", "token_type", "user"}
        assert answer.json()["user"]["email"] == "ana@example.com"
        assert answer.cookies["auth_token"] == answer.json()["access_token"]
        assert answer.cookies["refresh_token"] != first
        assert await get_status(client, answer.json()["access_token"]) == 200
        assert (await refresh(client, answer.cookies["refresh_token"])).status_code == 200


async def test_refresh_cookie_is_http_only_secure_and_same_site(settings: Callable[..., Settings]) -> None:
    async with run_app(settings(jwt_refresh_token_expire_days=3)) as engine, engine.client() as client:
        await register_user(client, "ana@example.com")
        token = await log_in(client, "ana@example.com")
        answer = await client.post("/auth/refresh/issue", headers=bearer(token))
    cookie = answer.headers["set-cookie"].lower() + ";"
    for word in (
        "refresh_token=",
        "httponly",
        "secure",
        "samesite=strict",
        "path=/;",
        f"max-age={3 * 86_400}",
    ):
        assert word in cookie


@pytest.mark.promise("secrets")
async def test_refresh_tokens_are_stored_as_hashes(engine: RunningApp) -> None:
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        token = await issue_refresh_token(client, await log_in(client, "ana@example.com"))
    held = [row.token_sha256 for row in await read_refresh_tokens(engine)]
    assert hashlib.sha256(token.encode()).hexdigest() in held
    assert token not in str(held)


async def make_used_tokens_older(engine: RunningApp, seconds: int) -> None:
    """Move the first use of every used refresh token into the past."""

    async def body(tx: Transaction) -> None:
        await tx.change_all(RefreshToken, {"used_at": is_not_null()}, used_at=Increment(-seconds * 1000))

    await engine.services.conversations.store.transaction(body)


async def test_refresh_token_that_comes_back_late_ends_its_session_only(engine: RunningApp) -> None:
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        elsewhere = await log_in(client, "ana@example.com")
        first = await issue_refresh_token(client, await log_in(client, "ana@example.com"))
        second = await refresh(client, first)
        await make_used_tokens_older(engine, REUSE_SECONDS - 5)
        assert (await refresh(client, first)).status_code == 200
        await make_used_tokens_older(engine, 6)
        check_problem(await refresh(client, first), 401)
        check_problem(await refresh(client, second.cookies["refresh_token"]), 401)
        assert await get_status(client, second.json()["access_token"]) == 401
        assert await get_status(client, elsewhere) == 200


async def test_tabs_that_refresh_at_once_get_tokens_of_one_session(
    settings: Callable[..., Settings], database: str | None
) -> None:
    async with run_app(settings(postgres_database_url=database)) as engine, engine.client() as client:
        await register_user(client, "ana@example.com")
        for _ in range(3):
            access = await log_in(client, "ana@example.com")
            token = await issue_refresh_token(client, access)
            answers = await asyncio.gather(*(refresh(client, token) for _ in range(4)))
            assert [answer.status_code for answer in answers] == [200] * 4
            tokens = {answer.cookies["refresh_token"] for answer in answers}
            assert len(tokens) == 4
            assert [(await refresh(client, each)).status_code for each in tokens] == [200] * 4
            assert (await client.post("/auth/logout", headers=bearer(access))).status_code == 200
            assert {await get_status(client, answer.json()["access_token"]) for answer in answers} == {401}


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 201])
async def test_malformed_refresh_token_is_refused(engine: RunningApp, token: str) -> None:
    async with engine.client() as client:
        answer = await refresh(client, token)
    check_problem(answer, 422 if len(token) > 200 else 401)


async def test_refresh_token_expires(engine: RunningApp) -> None:
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        token = await issue_refresh_token(client, await log_in(client, "ana@example.com"))
        days = {row.expires_at - row.created_at for row in await read_refresh_tokens(engine)}
        assert {round(each / 86_400_000) for each in days} == {14}

        async def age(tx: Transaction) -> None:
            await tx.change_all(RefreshToken, {"revoked_at": None}, expires_at=1)

        await engine.services.conversations.store.transaction(age)
        check_problem(await refresh(client, token), 401)
        await log_in(client, "ana@example.com")
    assert all(
        row.expires_at > 1 for row in await read_refresh_tokens(engine)
    ), "expired tokens are deleted at the next login"


async def test_second_issue_replaces_first(engine: RunningApp) -> None:
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        access = await log_in(client, "ana@example.com")
        first, second = await issue_refresh_token(client, access), await issue_refresh_token(client, access)
        check_problem(await refresh(client, first), 401)
        assert (await refresh(client, second)).status_code == 200


@pytest.mark.parametrize("path", ["/auth/logout", "/auth/jwt/logout"])
async def test_logout_ends_session(engine: RunningApp, path: str) -> None:
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        access, other = [await log_in(client, "ana@example.com") for _ in range(2)]
        token = await issue_refresh_token(client, access)
        answer = await client.post(path, headers=bearer(access))
        assert answer.is_success
        taken = answer.headers.get_list("set-cookie")
        assert {one.partition("=")[0] for one in taken} == {"auth_token", "refresh_token"}
        assert all("max-age=0" in one.lower() for one in taken)
        assert await get_status(client, access) == 401
        check_problem(await refresh(client, token), 401)
        assert await get_status(client, other) == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/users/me/password", {"current_password": PASSWORD, "new_password": NEW}),
        ("/auth/me", {"current_password": PASSWORD, "password": NEW}),
    ],
)
async def test_password_change_ends_other_sessions(
    settings: Callable[..., Settings], database: str | None, path: str, body: dict[str, str]
) -> None:
    async with run_app(settings(postgres_database_url=database)) as engine, engine.client() as client:
        await register_user(client, "ana@example.com")
        mine, other = [await log_in(client, "ana@example.com") for _ in range(2)]
        token = await issue_refresh_token(client, other)
        client.cookies.clear()
        answer = await client.patch(path, json=body, headers=bearer(mine))
        assert answer.status_code == 200, answer.text
        assert await get_status(client, mine) == 200
        assert await get_status(client, other) == 401
        check_problem(await refresh(client, token), 401)
        await log_in(client, "ana@example.com", NEW)
        old = await client.post("/auth/jwt/login", data={"username": "ana@example.com", "password": PASSWORD})
        check_problem(old, 400)


async def test_concurrent_login_with_old_password_does_not_survive_change(
    settings: Callable[..., Settings], database: str | None
) -> None:
    """The password was correct when it was checked, and the session began after the change."""
    body = {"current_password": PASSWORD, "new_password": NEW}
    async with run_app(settings(postgres_database_url=database)) as engine, engine.client() as client:
        await register_user(client, "ana@example.com")
        mine = await log_in(client, "ana@example.com")
        login: dict[str, Any] = {"data": {"username": "ana@example.com", "password": PASSWORD}}
        changing = client.patch("/auth/users/me/password", json=body, headers=bearer(mine))
        _, *logins = await asyncio.gather(changing, *(client.post("/auth/jwt/login", **login) for _ in range(3)))
        for answer in logins:
            assert answer.status_code in (200, 400)
            if answer.status_code == 200:
                assert await get_status(client, answer.json()["access_token"]) == 401


async def test_password_change_requires_current_password(engine: RunningApp) -> None:
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        token = await log_in(client, "ana@example.com")
        body = {"current_password": "wrong", "new_password": NEW}
        refused = check_problem(await client.patch("/auth/users/me/password", json=body, headers=bearer(token)), 400)
        assert (refused["reason"], "is wrong" in refused["detail"]) == ("CURRENT_PASSWORD_WRONG", True)
        refused = check_problem(await client.patch("/auth/me", json={"password": NEW}, headers=bearer(token)), 400)
        assert (refused["reason"], "send" in refused["detail"]) == ("CURRENT_PASSWORD_MISSING", True)
        body = {"current_password": PASSWORD, "new_password": "ana@example.com"}
        check_problem(await client.patch("/auth/users/me/password", json=body, headers=bearer(token)), 400)


async def test_local_admin_has_no_session(local_engine: RunningApp) -> None:
    async with local_engine.client(host="localhost") as client:
        check_problem(await client.post("/auth/refresh/issue"), 403)
        assert (await client.post("/auth/logout")).status_code == 200
        assert (await client.get("/auth/me")).status_code == 200
