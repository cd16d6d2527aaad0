"""Concurrent requests about one account: one wins, and no session outlives the event that ended it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from src.api.config.settings import Settings
from tests.support.app import PASSWORD, RunningApp, log_in, register_user, run_app
from tests.support.mailbox import Mailbox

pytestmark = pytest.mark.promise("authorised")

ANA, BO = "ana@example.com", "bo@example.com"
NEW = "a new and long one"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def sorted_statuses(answers: list[httpx.Response]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


@pytest.fixture
async def client(
    settings: Callable[..., Settings], database: str | None, mailbox: Mailbox
) -> AsyncIterator[httpx.AsyncClient]:
    """A client without cookies, on each database, with two users, Ana and Bo."""
    wanted = settings(postgres_database_url=database, registration_enabled=True, **mailbox.settings)
    async with run_app(wanted) as engine, _client_without_cookies(engine) as opened:
        for email in (ANA, BO):
            await register_user(opened, email)
        yield opened


def _client_without_cookies(engine: RunningApp) -> httpx.AsyncClient:
    made = engine.client()

    async def clear_cookies(_: httpx.Response) -> None:
        made.cookies.clear()

    made.event_hooks["response"].append(clear_cookies)
    return made


async def request_link(client: httpx.AsyncClient, mailbox: Mailbox, path: str, page: str) -> str:
    """Request a link for Ana and return its token."""
    assert (await client.post(path, json={"email": ANA})).status_code == 202
    return await mailbox.next_link(page)


async def request_change(client: httpx.AsyncClient, mailbox: Mailbox, old: str, new: str) -> str:
    """Ask for a new e-mail and return the token of its link."""
    body = {"email": new, "current_password": PASSWORD}
    assert (await client.patch("/auth/me", json=body, headers=bearer(await log_in(client, old)))).is_success
    return await mailbox.next_link("verify-email")


async def test_concurrent_changes_give_email_to_one_user(client: httpx.AsyncClient, mailbox: Mailbox) -> None:
    sessions = [await log_in(client, email) for email in (ANA, BO)]
    tokens = [await request_change(client, mailbox, email, "both@example.com") for email in (ANA, BO)]
    answers = await asyncio.gather(*(client.post("/auth/verify/verify", json={"token": one}) for one in tokens * 2))
    assert 200 in sorted_statuses(answers)
    assert set(sorted_statuses(answers)) <= {200, 400}
    emails = [(await client.get("/auth/me", headers=bearer(each))).json()["email"] for each in sessions]
    assert emails.count("both@example.com") == 1


async def test_concurrent_routes_give_email_to_one_account(client: httpx.AsyncClient, mailbox: Mailbox) -> None:
    email, admin = "one@example.com", await log_in(client, ANA)
    token = await request_change(client, mailbox, BO, email)
    answers = await asyncio.gather(
        client.post("/auth/verify/verify", json={"token": token}),
        client.post("/auth/register/register", json={"email": email, "password": PASSWORD}),
        client.post("/team/members", json={"email": email, "password": PASSWORD}, headers=bearer(admin)),
    )
    assert [answer.is_success for answer in answers].count(True) == 1
    assert set(sorted_statuses(answers)) <= {200, 201, 400, 409}


async def test_reset_link_sets_one_password(client: httpx.AsyncClient, mailbox: Mailbox) -> None:
    token = await request_link(client, mailbox, "/auth/reset-password/forgot-password", "reset-password")
    bodies = [{"token": token, "password": f"{NEW} {n}"} for n in range(4)]
    answers = await asyncio.gather(*(client.post("/auth/reset-password/reset-password", json=one) for one in bodies))
    assert sorted_statuses(answers) == [200, 400, 400, 400]
    won = next(body["password"] for body, answer in zip(bodies, answers, strict=True) if answer.is_success)
    await log_in(client, ANA, won)


async def test_verification_link_works_once(client: httpx.AsyncClient, mailbox: Mailbox) -> None:
    token = await request_link(client, mailbox, "/auth/verify/request-verify-token", "verify-email")
    answers = await asyncio.gather(*(client.post("/auth/verify/verify", json={"token": token}) for _ in range(4)))
    assert sorted_statuses(answers) == [200, 400, 400, 400]


async def test_verification_link_does_not_verify_changed_email(client: httpx.AsyncClient, mailbox: Mailbox) -> None:
    """A user who changes the address while the link is used has not verified the new one."""
    mine = bearer(await log_in(client, ANA))
    token = await request_link(client, mailbox, "/auth/verify/request-verify-token", "verify-email")
    other = {"email": "other@example.com", "current_password": PASSWORD}
    await asyncio.gather(
        client.patch("/auth/me", json=other, headers=mine), client.post("/auth/verify/verify", json={"token": token})
    )
    me = (await client.get("/auth/me", headers=mine)).json()
    assert me["email"] == ANA or me["is_verified"] is False


async def test_concurrent_password_changes_apply_one(client: httpx.AsyncClient) -> None:
    tokens = [await log_in(client, ANA) for _ in range(3)]
    changes = [{"current_password": PASSWORD, "new_password": f"{NEW} {n}"} for n in range(3)]
    answers = await asyncio.gather(
        *(
            client.patch("/auth/users/me/password", json=body, headers=bearer(token))
            for body, token in zip(changes, tokens, strict=True)
        )
    )
    assert sorted_statuses(answers).count(200) == 1
    assert set(sorted_statuses(answers)) <= {200, 400, 401, 409}
    alive = [(await client.get("/auth/me", headers=bearer(token))).status_code for token in tokens]
    assert alive == [answer.status_code if answer.is_success else 401 for answer in answers]


async def test_refresh_does_not_outlive_password_change(client: httpx.AsyncClient) -> None:
    """In either order, the refreshed session is invalid."""
    mine, other = [await log_in(client, ANA) for _ in range(2)]
    issued = await client.post("/auth/refresh/issue", headers=bearer(other))
    cookie = {"Cookie": f"refresh_token={issued.cookies['refresh_token']}"}
    change = {"current_password": PASSWORD, "new_password": NEW}
    changed, refreshed = await asyncio.gather(
        client.patch("/auth/users/me/password", json=change, headers=bearer(mine)),
        client.post("/auth/refresh", headers=cookie),
    )
    assert changed.status_code == 200
    assert refreshed.status_code in (200, 401)
    if refreshed.is_success:
        again = {"Cookie": f"refresh_token={refreshed.cookies['refresh_token']}"}
        assert (await client.post("/auth/refresh", headers=again)).status_code == 401
        assert (await client.get("/auth/me", headers=bearer(refreshed.json()["access_token"]))).status_code == 401


async def test_refresh_does_not_outlive_logout(client: httpx.AsyncClient) -> None:
    token = await log_in(client, ANA)
    issued = await client.post("/auth/refresh/issue", headers=bearer(token))
    cookie = {"Cookie": f"refresh_token={issued.cookies['refresh_token']}"}
    _, refreshed = await asyncio.gather(
        client.post("/auth/logout", headers=bearer(token)), client.post("/auth/refresh", headers=cookie)
    )
    assert refreshed.status_code in (200, 401)
    if refreshed.is_success:
        access = refreshed.json()["access_token"]
        assert (await client.get("/auth/me", headers=bearer(access))).status_code == 401
