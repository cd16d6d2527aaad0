"""What two requests about one account do at the same moment: one of them counts, and nothing outlives what ended it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from src.api.config.settings import Settings
from tests.support.app import PASSWORD, Running, registered, running, signed_in
from tests.support.waiting import eventually

pytestmark = pytest.mark.promise("authorised")

ANA, BO = "ana@example.com", "bo@example.com"
NEW = "a new and long one"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def codes(answers: list[httpx.Response]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


@pytest.fixture
async def client(settings: Callable[..., Settings], database: str | None) -> AsyncIterator[httpx.AsyncClient]:
    """Of an engine on each database, with Ana and Bo. It keeps no cookies."""
    wanted = settings(postgres_database_url=database, registration_enabled=True)
    async with running(wanted) as engine, _forgetful(engine) as opened:
        for email in (ANA, BO):
            await registered(opened, email)
        yield opened


def _forgetful(engine: Running) -> httpx.AsyncClient:
    made = engine.client()

    async def forget(_: httpx.Response) -> None:
        made.cookies.clear()

    made.event_hooks["response"].append(forget)
    return made


async def link(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, path: str) -> str:
    """The token of the link that Ana asked for, which stands in the log where nobody mails."""
    caplog.clear()
    assert (await client.post(path, json={"email": ANA})).status_code == 202

    def told() -> list[str]:
        return re.findall(r"#token=(\S+)", caplog.text)

    await eventually(lambda: bool(told()), what="the link")
    return str(told()[0])


async def test_one_e_mail_becomes_one_persons(client: httpx.AsyncClient) -> None:
    wanted = {"email": "both@example.com", "current_password": PASSWORD}
    tokens = [await signed_in(client, email) for email in (ANA, BO)]
    answers = await asyncio.gather(*(client.patch("/auth/me", json=wanted, headers=bearer(one)) for one in tokens * 2))
    assert 200 in codes(answers)
    assert set(codes(answers)) <= {200, 400, 409}
    emails = [(await client.get("/auth/me", headers=bearer(token))).json()["email"] for token in tokens]
    assert emails.count("both@example.com") == 1


async def test_one_e_mail_becomes_one_account_by_whichever_door(client: httpx.AsyncClient) -> None:
    token = await signed_in(client, ANA)
    email = "one@example.com"
    answers = await asyncio.gather(
        client.patch("/auth/me", json={"email": email, "current_password": PASSWORD}, headers=bearer(token)),
        client.post("/auth/register/register", json={"email": email, "password": PASSWORD}),
        client.post("/team/members", json={"email": email, "password": PASSWORD}, headers=bearer(token)),
    )
    assert sum(answer.is_success for answer in answers) == 1
    assert set(codes(answers)) <= {200, 201, 400, 409}


async def test_a_link_sets_one_password(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    token = await link(client, caplog, "/auth/reset-password/forgot-password")
    bodies = [{"token": token, "password": f"{NEW} {n}"} for n in range(4)]
    answers = await asyncio.gather(*(client.post("/auth/reset-password/reset-password", json=one) for one in bodies))
    assert codes(answers) == [200, 400, 400, 400]
    won = next(body["password"] for body, answer in zip(bodies, answers, strict=True) if answer.is_success)
    await signed_in(client, ANA, won)


async def test_a_link_proves_an_e_mail_once(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    token = await link(client, caplog, "/auth/verify/request-verify-token")
    answers = await asyncio.gather(*(client.post("/auth/verify/verify", json={"token": token}) for _ in range(4)))
    assert codes(answers) == [200, 400, 400, 400]


async def test_a_link_proves_no_other_e_mail(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever takes another address while the link is being used has not proved that one."""
    mine = bearer(await signed_in(client, ANA))
    token = await link(client, caplog, "/auth/verify/request-verify-token")
    other = {"email": "other@example.com", "current_password": PASSWORD}
    await asyncio.gather(
        client.patch("/auth/me", json=other, headers=mine), client.post("/auth/verify/verify", json={"token": token})
    )
    me = (await client.get("/auth/me", headers=mine)).json()
    assert me["email"] == ANA or me["is_verified"] is False


async def test_of_two_new_passwords_one_counts(client: httpx.AsyncClient) -> None:
    tokens = [await signed_in(client, ANA) for _ in range(3)]
    changes = [{"current_password": PASSWORD, "new_password": f"{NEW} {n}"} for n in range(3)]
    answers = await asyncio.gather(
        *(
            client.patch("/auth/users/me/password", json=body, headers=bearer(token))
            for body, token in zip(changes, tokens, strict=True)
        )
    )
    assert codes(answers).count(200) == 1
    assert set(codes(answers)) <= {200, 400, 401, 409}
    alive = [(await client.get("/auth/me", headers=bearer(token))).status_code for token in tokens]
    assert alive == [answer.status_code if answer.is_success else 401 for answer in answers]


async def test_a_refresh_does_not_outlive_a_new_password(client: httpx.AsyncClient) -> None:
    """Whichever comes first, what came of the refresh is worth nothing."""
    mine, other = [await signed_in(client, ANA) for _ in range(2)]
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


async def test_a_refresh_does_not_outlive_signing_out(client: httpx.AsyncClient) -> None:
    token = await signed_in(client, ANA)
    issued = await client.post("/auth/refresh/issue", headers=bearer(token))
    cookie = {"Cookie": f"refresh_token={issued.cookies['refresh_token']}"}
    _, refreshed = await asyncio.gather(
        client.post("/auth/logout", headers=bearer(token)), client.post("/auth/refresh", headers=cookie)
    )
    assert refreshed.status_code in (200, 401)
    if refreshed.is_success:
        access = refreshed.json()["access_token"]
        assert (await client.get("/auth/me", headers=bearer(access))).status_code == 401
