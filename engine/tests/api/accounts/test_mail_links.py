"""Password reset and e-mail verification by link: single use, short-lived, and silent about which accounts exist."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import jwt
import pytest

from src.api.config.settings import Settings
from src.api.ports import Transaction
from src.api.schemas.records import User
from src.api.services.accounts.mail_links import MAX_PENDING, Link, MailLinks
from src.api.services.accounts.rate_limits import EMAILS_PER_ACCOUNT, EMAILS_PER_ADDRESS
from src.api.services.background import BackgroundTasks
from tests.support.app import PASSWORD, SECRET, RunningApp, check_problem, log_in, register_user, run_app
from tests.support.mailbox import Mailbox
from tests.support.waiting import eventually

pytestmark = pytest.mark.promise("authorised")

NEW = "a new and long one"
ANA = "ana@example.com"
RESET, VERIFY = "reset-password", "verify-email"


@pytest.fixture
async def engine(settings: Callable[..., Settings], mailbox: Mailbox) -> AsyncIterator[RunningApp]:
    """An engine on SQLite that sends links to the mailbox."""
    async with run_app(settings(**mailbox.settings)) as app:
        yield app


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def request_reset(client: httpx.AsyncClient, email: str = ANA) -> httpx.Response:
    return await client.post("/auth/reset-password/forgot-password", json={"email": email})


async def reset_password(client: httpx.AsyncClient, token: str, password: str = NEW) -> httpx.Response:
    body = {"token": token, "password": password}
    return await client.post("/auth/reset-password/reset-password", json=body)


async def request_verification(client: httpx.AsyncClient, email: str = ANA) -> httpx.Response:
    return await client.post("/auth/verify/request-verify-token", json={"email": email})


async def verify_email(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/auth/verify/verify", json={"token": token})


async def change_user(engine: RunningApp, user_id: str, **values: object) -> None:
    async def body(tx: Transaction) -> None:
        assert await tx.change(User, {"id": user_id}, **values)  # type: ignore[arg-type]

    await engine.services.conversations.store.transaction(body)


async def test_password_reset_ends_every_session(
    settings: Callable[..., Settings], database: str | None, mailbox: Mailbox
) -> None:
    async with (
        run_app(settings(postgres_database_url=database, **mailbox.settings)) as engine,
        engine.client() as client,
    ):
        await register_user(client, ANA)
        sessions = [await log_in(client, ANA) for _ in range(2)]
        refresh = (await client.post("/auth/refresh/issue", headers=bearer(sessions[0]))).cookies["refresh_token"]
        client.cookies.clear()
        answer = await request_reset(client, "ANA@example.com")
        assert (answer.status_code, answer.json()) == (202, None)
        await eventually(lambda: bool(mailbox.links(RESET)))
        ((to, token),) = mailbox.links(RESET)
        assert to == ANA
        answer = await reset_password(client, token)
        assert (answer.status_code, answer.json()) == (200, None)
        for session in sessions:
            check_problem(await client.get("/auth/me", headers=bearer(session)), 401)
        check_problem(await client.post("/auth/refresh", headers={"Cookie": f"refresh_token={refresh}"}), 401)
        old = await client.post("/auth/jwt/login", data={"username": ANA, "password": PASSWORD})
        check_problem(old, 400)
        await log_in(client, ANA, NEW)
        again = check_problem(await reset_password(client, token, "yet another one"), 400)
    assert again["reason"] == "RESET_PASSWORD_BAD_TOKEN"


async def test_concurrent_uses_of_reset_link_apply_one(
    settings: Callable[..., Settings], database: str | None, mailbox: Mailbox
) -> None:
    async with (
        run_app(settings(postgres_database_url=database, **mailbox.settings)) as engine,
        engine.client() as client,
    ):
        await register_user(client, ANA)
        await request_reset(client)
        token = await mailbox.next_link(RESET)
        answers = await asyncio.gather(*(reset_password(client, token, f"{NEW} {n}") for n in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
        won = [answer.status_code for answer in answers].index(200)
        await log_in(client, ANA, f"{NEW} {won}")


async def test_link_request_does_not_reveal_accounts(
    engine: RunningApp, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account is looked up after the response, so that response time does not reveal whether it exists."""
    async with engine.client() as client:
        await register_user(client, ANA)
        accounts = await engine.services.accounts()
        may_look = asyncio.Event()
        look = type(accounts._users).get_by_email  # type: ignore[attr-defined]

        async def when_allowed(self: object, email: str) -> object:
            await may_look.wait()
            return await look(self, email)

        monkeypatch.setattr(type(accounts._users), "get_by_email", when_allowed)  # type: ignore[attr-defined]
        answers = [
            await ask(client, email)
            for ask in (request_reset, request_verification)
            for email in (ANA, "nobody@example.com")
        ]
        assert {(answer.status_code, answer.content) for answer in answers} == {(202, b"null")}
        assert {frozenset(answer.headers) for answer in answers} == {frozenset(answers[0].headers)}
        may_look.set()
        await eventually(lambda: bool(mailbox.links(VERIFY)))
    assert {to for page in (RESET, VERIFY) for to, _ in mailbox.links(page)} == {ANA}


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
async def test_invalid_link_token_is_refused(engine: RunningApp, token: str) -> None:
    async with engine.client() as client:
        assert check_problem(await reset_password(client, token), 400)["reason"] == "RESET_PASSWORD_BAD_TOKEN"
        assert check_problem(await verify_email(client, token), 400)["reason"] == "VERIFY_USER_BAD_TOKEN"
        check_problem(await reset_password(client, ""), 422)
        check_problem(await verify_email(client, "x" * 2_001), 422)


@pytest.mark.parametrize(
    "change", [{"is_active": False}, {"email": "new@example.com"}, {"hashed_password": "of another password"}]
)
async def test_reset_link_is_void_after_account_change(
    engine: RunningApp, mailbox: Mailbox, change: dict[str, object]
) -> None:
    async with engine.client() as client:
        made = await register_user(client, ANA)
        await request_reset(client)
        token = await mailbox.next_link(RESET)
        await change_user(engine, made["id"], **change)
        assert check_problem(await reset_password(client, token), 400)["reason"] == "RESET_PASSWORD_BAD_TOKEN"


async def test_reset_link_expires_and_serves_one_purpose(engine: RunningApp, mailbox: Mailbox) -> None:
    async with engine.client() as client:
        made = await register_user(client, ANA)
        await request_reset(client)
        token = await mailbox.next_link(RESET)
        claims = jwt.decode(token, SECRET, ["HS256"], audience="fastapi-users:reset")
        lifetime = claims["exp"] - made["created_at"] / 1000
        assert 3_590 < lifetime < 3_700
        over = jwt.encode({**claims, "exp": 1}, SECRET, "HS256")
        check_problem(await reset_password(client, over), 400)
        check_problem(await verify_email(client, token), 400)
        check_problem(await client.get("/auth/me", headers=bearer(token)), 401)
        assert made["id"] == claims["sub"]
        assert set(claims) == {"sub", "password_fgpt", "aud", "exp"}


async def test_reset_rejects_invalid_password(engine: RunningApp, mailbox: Mailbox) -> None:
    async with engine.client() as client:
        await register_user(client, ANA)
        await request_reset(client)
        token = await mailbox.next_link(RESET)
        assert (
            check_problem(await reset_password(client, token, ANA), 400)["reason"] == "RESET_PASSWORD_INVALID_PASSWORD"
        )
        check_problem(await reset_password(client, token, "short"), 422)
        assert (await reset_password(client, token)).status_code == 200


async def test_email_is_verified_once(engine: RunningApp, mailbox: Mailbox) -> None:
    async with engine.client() as client:
        await register_user(client, ANA)
        assert (await request_verification(client)).status_code == 202
        token = await mailbox.next_link(VERIFY)
        answer = await verify_email(client, token)
        assert (answer.status_code, answer.json()["is_verified"]) == (200, True)
        assert check_problem(await verify_email(client, token), 400)["reason"] == "VERIFY_USER_ALREADY_VERIFIED"
        await request_verification(client)
        await request_reset(client)
        await mailbox.next_link(RESET)
        assert mailbox.links(VERIFY) == [], "a verified e-mail gets no further link"


async def change_email(client: httpx.AsyncClient, session: str, email: str) -> httpx.Response:
    change = {"email": email, "current_password": PASSWORD}
    return await client.patch("/auth/me", json=change, headers=bearer(session))


async def test_new_email_takes_effect_once_proved(
    settings: Callable[..., Settings], database: str | None, mailbox: Mailbox
) -> None:
    async with (
        run_app(settings(postgres_database_url=database, **mailbox.settings)) as engine,
        engine.client() as client,
    ):
        await register_user(client, ANA)
        mine = await log_in(client, ANA)
        changed = (await change_email(client, mine, "New@Example.com")).json()
        assert (changed["email"], changed["pending_email"], changed["is_verified"]) == (ANA, "new@example.com", False)
        await eventually(lambda: bool(mailbox.links(VERIFY)))
        assert mailbox.inbox.messages[0]["to"] == "new@example.com"
        assert ANA in mailbox.inbox.messages[0].get_content(), "the reader learns whose account it is"
        token = await mailbox.next_link(VERIFY)
        await log_in(client, ANA)
        proved = (await verify_email(client, token)).json()
        assert (proved["email"], proved["pending_email"], proved["is_verified"]) == ("new@example.com", None, True)
        await log_in(client, "new@example.com")
        check_problem(await client.post("/auth/jwt/login", data={"username": ANA, "password": PASSWORD}), 400)
        assert check_problem(await verify_email(client, token), 400)["reason"] == "VERIFY_USER_ALREADY_VERIFIED"


async def test_pending_email_reserves_nothing(engine: RunningApp, mailbox: Mailbox) -> None:
    """Its owner may register it or prove it first, and the other link then fails."""
    async with engine.client() as client:
        await register_user(client, ANA)
        mine, bob = await log_in(client, ANA), "bob@example.com"
        await change_email(client, mine, bob)
        token = await mailbox.next_link(VERIFY)
        await add_bob(engine, client)
        assert check_problem(await verify_email(client, token), 400)["reason"] == "UPDATE_USER_EMAIL_ALREADY_EXISTS"
        taken = check_problem(await change_email(client, mine, bob), 400)
        assert taken["reason"] == "UPDATE_USER_EMAIL_ALREADY_EXISTS"


@pytest.mark.parametrize("by", ["another e-mail", "the own e-mail", "a new password", "a reset"])
async def test_pending_email_is_dropped(engine: RunningApp, mailbox: Mailbox, by: str) -> None:
    async with engine.client() as client:
        await register_user(client, ANA)
        mine = await log_in(client, ANA)
        await change_email(client, mine, "thief@example.com")
        token = await mailbox.next_link(VERIFY)
        if by == "a reset":
            await request_reset(client)
            assert (await reset_password(client, await mailbox.next_link(RESET))).status_code == 200
        elif by == "a new password":
            body = {"current_password": PASSWORD, "new_password": NEW}
            assert (await client.patch("/auth/users/me/password", json=body, headers=bearer(mine))).status_code == 200
        else:
            await change_email(client, mine, ANA if by == "the own e-mail" else "other@example.com")
        assert check_problem(await verify_email(client, token), 400)["reason"] == "VERIFY_USER_BAD_TOKEN"


async def test_email_change_needs_a_mail_server(settings: Callable[..., Settings]) -> None:
    async with run_app(settings()) as engine, engine.client() as client:
        await register_user(client, ANA)
        refused = check_problem(await change_email(client, await log_in(client, ANA), "new@example.com"), 400)
    assert refused["reason"] == "EMAIL_CHANGE_NEEDS_MAIL"
    assert "skyflo admin change-email" in refused["detail"]


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("local_mode", [False, True])
async def test_links_are_logged_in_local_mode_only(
    settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture, local_mode: bool
) -> None:
    async with run_app(settings(local_mode=local_mode)) as engine, engine.client(host="localhost") as client:
        await register_user(client, ANA)
        assert (await request_reset(client)).status_code == 202
        await request_verification(client)
        wanted = {"auth.reset_link", "auth.verify_link"} if local_mode else {"auth.link_not_sent"}

        def logged() -> set[str]:
            return {action for record in caplog.records if "link" in (action := getattr(record, "action", ""))}

        await eventually(lambda: logged() == wanted)
    assert ("token=" in caplog.text) is local_mode
    assert (ANA in caplog.text) is local_mode


async def test_removed_user_gets_no_link(engine: RunningApp, mailbox: Mailbox) -> None:
    async with engine.client() as client:
        await register_user(client, ANA)
        made = await add_bob(engine, client)
        await change_user(engine, made, is_active=False)
        await request_reset(client, "bob@example.com")
        await request_verification(client, "bob@example.com")
        await request_reset(client)
        await eventually(lambda: bool(mailbox.links(RESET)))
    assert [message["to"] for message in mailbox.inbox.messages] == [ANA]


async def add_bob(engine: RunningApp, client: httpx.AsyncClient) -> str:
    token = await log_in(client, ANA)
    body = {"email": "bob@example.com", "password": PASSWORD}
    client.cookies.clear()
    return str((await client.post("/team/members", json=body, headers=bearer(token))).json()["id"])


@pytest.mark.promise("bounded")
async def test_link_requests_are_limited_per_account_and_address(
    settings: Callable[..., Settings],
) -> None:
    async with run_app(settings(rate_limiting_enabled=True)) as engine, engine.client() as client:
        known = [(await request_reset(client)).status_code for _ in range(EMAILS_PER_ACCOUNT + 2)]
        assert known[:EMAILS_PER_ACCOUNT] == [202] * EMAILS_PER_ACCOUNT
        assert known[-1] == 429
        others = [
            (await request_verification(client, f"p{n}@example.com")).status_code for n in range(EMAILS_PER_ADDRESS)
        ]
        assert others[-1] == 429
        async with engine.client(peer="203.0.113.9") as elsewhere:
            assert (await request_reset(elsewhere)).status_code == 429
            assert (await request_reset(elsewhere, "other@example.com")).status_code == 202


@pytest.mark.promise("bounded")
async def test_waiting_mail_tasks_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    go, made = asyncio.Event(), []

    async def link() -> Link | None:
        await go.wait()
        made.append(1)
        return None

    async with BackgroundTasks(shutdown_timeout=0) as tasks:
        mail_links = MailLinks(tasks, None)
        for _ in range(MAX_PENDING + 5):
            mail_links.send_later(link)
        go.set()
        await eventually(lambda: len(made) == MAX_PENDING)
        mail_links.send_later(link)
        await eventually(lambda: len(made) == MAX_PENDING + 1)
    assert [record.action for record in caplog.records].count("auth.link_dropped") == 5  # type: ignore[attr-defined]
