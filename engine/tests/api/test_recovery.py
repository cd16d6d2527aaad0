"""A new password and a proved e-mail by a link: once, for whoever reads the mail, telling nobody who has an account."""

import asyncio
from collections.abc import Callable

import httpx
import jwt
import pytest

from src.api.config.settings import Settings
from src.api.ports import Transaction
from src.api.schemas.records import User
from src.api.services.mailing import MOST_WAITING, Link, Mailing
from src.api.services.rates import LETTERS_PER_ACCOUNT, LETTERS_PER_ADDRESS
from src.api.services.tasks import Tasks
from tests.support.app import PASSWORD, SECRET, Running, problem, registered, running, signed_in
from tests.support.letters import logged_links, next_link
from tests.support.waiting import eventually

pytestmark = pytest.mark.promise("authorised")

NEW = "a new and long one"
ANA = "ana@example.com"
RESET, VERIFY = "auth.reset_link", "auth.verify_link"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def forgotten(client: httpx.AsyncClient, email: str = ANA) -> httpx.Response:
    return await client.post("/auth/reset-password/forgot-password", json={"email": email})


async def reset(client: httpx.AsyncClient, token: str, password: str = NEW) -> httpx.Response:
    body = {"token": token, "password": password}
    return await client.post("/auth/reset-password/reset-password", json=body)


async def asked(client: httpx.AsyncClient, email: str = ANA) -> httpx.Response:
    return await client.post("/auth/verify/request-verify-token", json={"email": email})


async def proved(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/auth/verify/verify", json={"token": token})


async def changed(engine: Running, user_id: str, **values: object) -> None:
    async def body(tx: Transaction) -> None:
        assert await tx.change(User, {"id": user_id}, **values)  # type: ignore[arg-type]

    await engine.services.conversations._store.transaction(body)


async def test_a_forgotten_password_is_replaced_and_every_session_ends(
    settings: Callable[..., Settings], database: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = settings(postgres_database_url=database, public_url="https://engine.example/")
    async with running(wanted) as engine, engine.client() as client:
        await registered(client, ANA)
        sessions = [await signed_in(client, ANA) for _ in range(2)]
        refresh = (await client.post("/auth/refresh/issue", headers=bearer(sessions[0]))).cookies["refresh_token"]
        client.cookies.clear()
        answer = await forgotten(client, "ANA@example.com")
        assert (answer.status_code, answer.json()) == (202, None)
        await eventually(lambda: bool(logged_links(caplog, RESET)))
        ((to, page, token),) = logged_links(caplog, RESET)
        assert (to, page) == (ANA, "https://engine.example/reset-password")
        answer = await reset(client, token)
        assert (answer.status_code, answer.json()) == (200, None)
        for session in sessions:
            problem(await client.get("/auth/me", headers=bearer(session)), 401)
        problem(await client.post("/auth/refresh", headers={"Cookie": f"refresh_token={refresh}"}), 401)
        old = await client.post("/auth/jwt/login", data={"username": ANA, "password": PASSWORD})
        problem(old, 400)
        await signed_in(client, ANA, NEW)
        again = problem(await reset(client, token, "yet another one"), 400)
    assert again["reason"] == "RESET_PASSWORD_BAD_TOKEN"


async def test_of_two_uses_at_once_one_counts(
    settings: Callable[..., Settings], database: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(settings(postgres_database_url=database)) as engine, engine.client() as client:
        await registered(client, ANA)
        await forgotten(client)
        token = await next_link(caplog, RESET)
        answers = await asyncio.gather(*(reset(client, token, f"{NEW} {n}") for n in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
        won = [answer.status_code for answer in answers].index(200)
        await signed_in(client, ANA, f"{NEW} {won}")


async def test_who_asks_learns_nothing_and_waits_for_nothing(
    engine: Running, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether there is an account is looked up behind the answer, so that time tells nothing either."""
    async with engine.client() as client:
        await registered(client, ANA)
        accounts = await engine.services.accounts()
        may_look = asyncio.Event()
        look = type(accounts._users).get_by_email  # type: ignore[attr-defined]

        async def when_allowed(self: object, email: str) -> object:
            await may_look.wait()
            return await look(self, email)

        monkeypatch.setattr(type(accounts._users), "get_by_email", when_allowed)  # type: ignore[attr-defined]
        answers = [await ask(client, email) for ask in (forgotten, asked) for email in (ANA, "nobody@example.com")]
        assert {(answer.status_code, answer.content) for answer in answers} == {(202, b"null")}
        assert {frozenset(answer.headers) for answer in answers} == {frozenset(answers[0].headers)}
        may_look.set()
        await eventually(lambda: bool(logged_links(caplog, VERIFY)))
    assert "nobody@example.com" not in caplog.text


def forged(secret: str = SECRET, **claims: object) -> str:
    return jwt.encode({"aud": ["fastapi-users:reset"], **claims}, secret, "HS256")


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        forged(),
        forged(sub="x", password_fgpt="y"),
        forged("another-secret-of-enough-bytes-to-be-ok", sub="x"),
    ],
)
async def test_what_resets_no_password(engine: Running, token: str) -> None:
    async with engine.client() as client:
        assert problem(await reset(client, token), 400)["reason"] == "RESET_PASSWORD_BAD_TOKEN"
        assert problem(await proved(client, token), 400)["reason"] == "VERIFY_USER_BAD_TOKEN"
        problem(await reset(client, ""), 422)
        problem(await proved(client, "x" * 2_001), 422)


@pytest.mark.parametrize(
    "change", [{"is_active": False}, {"email": "new@example.com"}, {"hashed_password": "of another password"}]
)
async def test_a_link_is_void_once_its_account_is_not_what_it_was(
    engine: Running, caplog: pytest.LogCaptureFixture, change: dict[str, object]
) -> None:
    async with engine.client() as client:
        made = await registered(client, ANA)
        await forgotten(client)
        token = await next_link(caplog, RESET)
        await changed(engine, made["id"], **change)
        assert problem(await reset(client, token), 400)["reason"] == "RESET_PASSWORD_BAD_TOKEN"


async def test_a_link_works_for_an_hour_and_for_its_own_use_only(
    engine: Running, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine.client() as client:
        made = await registered(client, ANA)
        await forgotten(client)
        token = await next_link(caplog, RESET)
        claims = jwt.decode(token, SECRET, ["HS256"], audience="fastapi-users:reset")
        lifetime = claims["exp"] - made["created_at"] / 1000
        assert 3_590 < lifetime < 3_700
        over = jwt.encode({**claims, "exp": 1}, SECRET, "HS256")
        problem(await reset(client, over), 400)
        problem(await proved(client, token), 400)
        problem(await client.get("/auth/me", headers=bearer(token)), 401)
        assert made["id"] == claims["sub"]
        assert set(claims) == {"sub", "password_fgpt", "aud", "exp"}


async def test_a_new_password_must_do(engine: Running, caplog: pytest.LogCaptureFixture) -> None:
    async with engine.client() as client:
        await registered(client, ANA)
        await forgotten(client)
        token = await next_link(caplog, RESET)
        assert problem(await reset(client, token, ANA), 400)["reason"] == "RESET_PASSWORD_INVALID_PASSWORD"
        problem(await reset(client, token, "short"), 422)
        assert (await reset(client, token)).status_code == 200


async def test_an_email_is_proved_once(engine: Running, caplog: pytest.LogCaptureFixture) -> None:
    async with engine.client() as client:
        await registered(client, ANA)
        assert (await asked(client)).status_code == 202
        token = await next_link(caplog, VERIFY)
        answer = await proved(client, token)
        assert (answer.status_code, answer.json()["is_verified"]) == (200, True)
        assert problem(await proved(client, token), 400)["reason"] == "VERIFY_USER_ALREADY_VERIFIED"
        await asked(client)
        await forgotten(client)
        await next_link(caplog, RESET)
        assert logged_links(caplog, VERIFY) == [], "what is proved needs no further link"


async def test_a_link_proves_the_email_that_it_went_to(engine: Running, caplog: pytest.LogCaptureFixture) -> None:
    async with engine.client() as client:
        await registered(client, ANA)
        await asked(client)
        token = await next_link(caplog, VERIFY)
        change = {"email": "ana@elsewhere.example", "current_password": PASSWORD}
        mine = await signed_in(client, ANA)
        assert (await client.patch("/auth/users/me", json=change, headers=bearer(mine))).json()["is_verified"] is False
        assert problem(await proved(client, token), 400)["reason"] == "VERIFY_USER_BAD_TOKEN"


async def test_removed_people_get_no_link(engine: Running, caplog: pytest.LogCaptureFixture) -> None:
    async with engine.client() as client:
        await registered(client, ANA)
        made = await registered_later(engine, client)
        await changed(engine, made, is_active=False)
        await forgotten(client, "bob@example.com")
        await asked(client, "bob@example.com")
        await forgotten(client)
        await next_link(caplog, RESET)
    assert "bob@example.com" not in caplog.text


async def registered_later(engine: Running, client: httpx.AsyncClient) -> str:
    token = await signed_in(client, ANA)
    body = {"email": "bob@example.com", "password": PASSWORD}
    client.cookies.clear()
    return str((await client.post("/team/members", json=body, headers=bearer(token))).json()["id"])


@pytest.mark.promise("bounded")
async def test_asking_for_letters_is_slowed_for_each_account_and_each_address(
    settings: Callable[..., Settings],
) -> None:
    async with running(settings(rate_limiting_enabled=True)) as engine, engine.client() as client:
        known = [(await forgotten(client)).status_code for _ in range(LETTERS_PER_ACCOUNT + 2)]
        assert known[:LETTERS_PER_ACCOUNT] == [202] * LETTERS_PER_ACCOUNT
        assert known[-1] == 429
        others = [(await asked(client, f"p{n}@example.com")).status_code for n in range(LETTERS_PER_ADDRESS)]
        assert others[-1] == 429
        async with engine.client(peer="203.0.113.9") as elsewhere:
            assert (await forgotten(elsewhere)).status_code == 429
            assert (await forgotten(elsewhere, "other@example.com")).status_code == 202


@pytest.mark.promise("bounded")
async def test_what_waits_to_be_sent_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    go, made = asyncio.Event(), []

    async def link() -> Link | None:
        await go.wait()
        made.append(1)
        return None

    async with Tasks(patience=0) as tasks:
        mailing = Mailing(tasks, None)
        for _ in range(MOST_WAITING + 5):
            mailing.later(link)
        go.set()
        await eventually(lambda: len(made) == MOST_WAITING)
        mailing.later(link)
        await eventually(lambda: len(made) == MOST_WAITING + 1)
    assert [record.action for record in caplog.records].count("auth.link_dropped") == 5  # type: ignore[attr-defined]
