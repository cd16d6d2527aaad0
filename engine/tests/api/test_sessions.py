"""Sessions: refresh tokens work once, a copied one ends its session, and what is ended is over everywhere."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from src.api.config.settings import Settings
from src.api.ports import Reader, Transaction
from src.api.schemas.records import RefreshToken
from tests.support.app import PASSWORD, Running, problem, registered, running, signed_in

pytestmark = pytest.mark.promise("authorised")

NEW = "a new and long one"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def issued(client: httpx.AsyncClient, token: str) -> str:
    """A refresh token of this token's session."""
    answer = await client.post("/auth/refresh/issue", headers=bearer(token))
    assert answer.status_code == 200, answer.text
    return str(answer.cookies["refresh_token"])


async def refreshed(client: httpx.AsyncClient, token: str) -> httpx.Response:
    client.cookies.clear()
    return await client.post("/auth/refresh", headers={"Cookie": f"refresh_token={token}"})


async def status(client: httpx.AsyncClient, token: str) -> int:
    client.cookies.clear()
    return (await client.get("/auth/me", headers=bearer(token))).status_code


async def rows(engine: Running) -> list[RefreshToken]:
    async def body(reader: Reader) -> list[RefreshToken]:
        return await reader.find(RefreshToken, {}, "created_at,id")

    return await engine.services.conversations._store.read(body)


async def test_a_refresh_token_becomes_new_tokens_of_its_session(engine: Running) -> None:
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        first = await issued(client, await signed_in(client, "ana@example.com"))
        answer = await refreshed(client, first)
        assert answer.status_code == 200
        assert set(answer.json()) == {"access_token", "token_type", "user"}
        assert answer.json()["user"]["email"] == "ana@example.com"
        assert answer.cookies["auth_token"] == answer.json()["access_token"]
        assert answer.cookies["refresh_token"] != first
        assert await status(client, answer.json()["access_token"]) == 200
        assert (await refreshed(client, answer.cookies["refresh_token"])).status_code == 200


async def test_the_cookies_are_kept_from_scripts_and_other_sites(settings: Callable[..., Settings]) -> None:
    async with running(settings(jwt_refresh_token_expire_days=3)) as engine, engine.client() as client:
        await registered(client, "ana@example.com")
        token = await signed_in(client, "ana@example.com")
        answer = await client.post("/auth/refresh/issue", headers=bearer(token))
    cookie = answer.headers["set-cookie"].lower()
    for word in (
        "refresh_token=",
        "httponly",
        "secure",
        "samesite=strict",
        "path=/api/v1/auth",
        f"max-age={3 * 86_400}",
    ):
        assert word in cookie


@pytest.mark.promise("secrets")
async def test_refresh_tokens_are_kept_as_hashes(engine: Running) -> None:
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        token = await issued(client, await signed_in(client, "ana@example.com"))
    held = [row.token_sha256 for row in await rows(engine)]
    assert hashlib.sha256(token.encode()).hexdigest() in held
    assert token not in str(held)


async def test_a_used_token_that_comes_back_ends_its_session_and_no_other(engine: Running) -> None:
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        elsewhere = await signed_in(client, "ana@example.com")
        first = await issued(client, await signed_in(client, "ana@example.com"))
        second = await refreshed(client, first)
        problem(await refreshed(client, first), 401)
        problem(await refreshed(client, second.cookies["refresh_token"]), 401)
        assert await status(client, second.json()["access_token"]) == 401
        assert await status(client, elsewhere) == 200


async def test_of_two_uses_at_once_one_is_a_copy(settings: Callable[..., Settings], database: str | None) -> None:
    async with running(settings(postgres_database_url=database)) as engine, engine.client() as client:
        await registered(client, "ana@example.com")
        for _ in range(5):
            token = await issued(client, await signed_in(client, "ana@example.com"))
            answers = await asyncio.gather(*(refreshed(client, token) for _ in range(4)))
            assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
            winner = next(answer for answer in answers if answer.status_code == 200)
            assert await status(client, winner.json()["access_token"]) == 401


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 201])
async def test_what_is_no_refresh_token(engine: Running, token: str) -> None:
    async with engine.client() as client:
        answer = await refreshed(client, token)
    problem(answer, 422 if len(token) > 200 else 401)


async def test_a_refresh_token_is_over_in_its_time(engine: Running) -> None:
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        token = await issued(client, await signed_in(client, "ana@example.com"))
        days = {row.expires_at - row.created_at for row in await rows(engine)}
        assert {round(each / 86_400_000) for each in days} == {14}

        async def age(tx: Transaction) -> None:
            await tx.change_all(RefreshToken, {"revoked_at": None}, expires_at=1)

        await engine.services.conversations._store.transaction(age)
        problem(await refreshed(client, token), 401)
        await signed_in(client, "ana@example.com")
    assert all(row.expires_at > 1 for row in await rows(engine)), "what is over is forgotten at the next login"


async def test_a_second_issue_takes_the_place_of_the_first(engine: Running) -> None:
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        access = await signed_in(client, "ana@example.com")
        first, second = await issued(client, access), await issued(client, access)
        problem(await refreshed(client, first), 401)
        assert (await refreshed(client, second)).status_code == 200


@pytest.mark.parametrize("path", ["/auth/logout", "/auth/jwt/logout"])
async def test_signing_out_ends_the_session(engine: Running, path: str) -> None:
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        access, other = [await signed_in(client, "ana@example.com") for _ in range(2)]
        token = await issued(client, access)
        answer = await client.post(path, headers=bearer(access))
        assert answer.is_success
        taken = answer.headers.get_list("set-cookie")
        assert {one.partition("=")[0] for one in taken} == {"auth_token", "refresh_token"}
        assert all("max-age=0" in one.lower() for one in taken)
        assert await status(client, access) == 401
        problem(await refreshed(client, token), 401)
        assert await status(client, other) == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/users/me/password", {"current_password": PASSWORD, "new_password": NEW}),
        ("/auth/me", {"current_password": PASSWORD, "password": NEW}),
    ],
)
async def test_a_new_password_ends_every_other_session(
    settings: Callable[..., Settings], database: str | None, path: str, body: dict[str, str]
) -> None:
    async with running(settings(postgres_database_url=database)) as engine, engine.client() as client:
        await registered(client, "ana@example.com")
        mine, other = [await signed_in(client, "ana@example.com") for _ in range(2)]
        token = await issued(client, other)
        client.cookies.clear()
        answer = await client.patch(path, json=body, headers=bearer(mine))
        assert answer.status_code == 200, answer.text
        assert await status(client, mine) == 200
        assert await status(client, other) == 401
        problem(await refreshed(client, token), 401)
        await signed_in(client, "ana@example.com", NEW)
        old = await client.post("/auth/jwt/login", data={"username": "ana@example.com", "password": PASSWORD})
        problem(old, 400)


async def test_a_login_with_the_old_password_does_not_outlive_it(
    settings: Callable[..., Settings], database: str | None
) -> None:
    """The password was right when it was compared; the session begins after the change."""
    body = {"current_password": PASSWORD, "new_password": NEW}
    async with running(settings(postgres_database_url=database)) as engine, engine.client() as client:
        await registered(client, "ana@example.com")
        mine = await signed_in(client, "ana@example.com")
        login: dict[str, Any] = {"data": {"username": "ana@example.com", "password": PASSWORD}}
        changing = client.patch("/auth/users/me/password", json=body, headers=bearer(mine))
        _, *logins = await asyncio.gather(changing, *(client.post("/auth/jwt/login", **login) for _ in range(3)))
        for answer in logins:
            assert answer.status_code in (200, 400)
            if answer.status_code == 200:
                assert await status(client, answer.json()["access_token"]) == 401


async def test_a_new_password_needs_the_old_one(engine: Running) -> None:
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        token = await signed_in(client, "ana@example.com")
        body = {"current_password": "wrong", "new_password": NEW}
        problem(await client.patch("/auth/users/me/password", json=body, headers=bearer(token)), 400)
        body = {"current_password": PASSWORD, "new_password": "ana@example.com"}
        problem(await client.patch("/auth/users/me/password", json=body, headers=bearer(token)), 400)


async def test_the_local_admin_has_no_session(local_engine: Running) -> None:
    async with local_engine.client(host="localhost") as client:
        problem(await client.post("/auth/refresh/issue"), 403)
        assert (await client.post("/auth/logout")).status_code == 200
        assert (await client.get("/auth/me")).status_code == 200
