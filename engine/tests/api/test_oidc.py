"""Sign-in by a real OpenID provider: who comes in, as whom, in which role, and for how long."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio

from src.api.config.settings import Settings
from src.api.ports import Reader, Transaction
from src.api.schemas.records import RefreshToken, User
from src.api.schemas.trail import AuditEntry
from tests.support.app import PASSWORD, Running, given, newcomer, problem, registered, running, signed_in
from tests.support.oidc_provider import PAGES, SECRET, Browser, Provider, a_browser

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("authorised")]

ROLES = {"admins": "admin", "approvers": "approver", "developers": "member", "everybody": "viewer"}


def asking(folder: Path, provider: Provider, **more: Any) -> Settings:
    """Outside local mode, but for the provider, which speaks HTTP."""
    wanted = given(
        folder,
        **{
            "local_mode": True,
            "public_url": PAGES,
            "oidc_issuer": provider.issuer,
            "oidc_client_id": "confidential",
            "oidc_client_secret": SECRET,
            "oidc_scopes": "openid email profile groups",
            "oidc_roles": ROLES,
            **more,
        },
    )
    return wanted.model_copy(update={"local_mode": False})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> AsyncIterator[Running]:
    """An engine whose admin, root, came by the provider."""
    async with running(asking(tmp_path_factory.mktemp("data"), provider)) as engine:
        await comes(engine, provider, "root", "admins")
        yield engine


async def comes(engine: Running, provider: Provider, name: str, *groups: str, **told: Any) -> dict[str, Any]:
    """Signs in, in a browser of their own; the account."""
    provider.knows(name, *groups, **told)
    async with a_browser(engine.app) as browser:
        answer = await browser.signs_in(name)
        assert answer.status_code == 303, answer.text
        return dict((await browser.open("/auth/me")).json())


async def refused(engine: Running, name: str, status: int, reason: str) -> str:
    """The sentence with which they are not let in."""
    async with a_browser(engine.app) as browser:
        body = problem(await browser.signs_in(name), status)
        assert body["reason"] == reason
        assert (await browser.open("/auth/me")).status_code == 401
    return str(body["detail"])


async def change(engine: Running, email: str, **values: Any) -> None:
    async def body(tx: Transaction) -> None:
        (found,) = await tx.find(User, {"email": email})
        assert await tx.change(User, {"id": found.id}, **values)

    await engine.services.conversations._store.transaction(body)


async def users(engine: Running) -> list[User]:
    async def body(reader: Reader) -> list[User]:
        return await reader.find(User, {})

    return await engine.services.conversations._store.read(body)


async def test_somebody_comes_in_stays_and_leaves(house: Running, provider: Provider) -> None:
    provider.knows("ana", "developers", name="Ana")
    async with a_browser(house.app) as browser:
        answer = await browser.signs_in("ana", "/auth/oidc/login?next=/chats/7%3Fx=1")
        assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGES}/chats/7?x=1")
        me = (await browser.open("/auth/me")).json()
        assert (me["email"], me["full_name"], me["role"]) == ("ana@example.com", "Ana", "member")
        assert (me["is_verified"], me["is_superuser"]) == (True, False)
        refreshed = await browser.http.post(f"{PAGES}/api/v1/auth/refresh")
        assert refreshed.json()["user"] == me
        assert (await browser.http.post(f"{PAGES}/api/v1/auth/logout")).status_code == 200
        assert (
            await browser.open("/auth/me", headers={"Authorization": f"Bearer {refreshed.json()['access_token']}"})
        ).status_code == 401
    assert (await comes(house, provider, "ana", "developers"))["id"] == me["id"]


async def test_cookies_are_kept_from_scripts_and_other_sites(tmp_path: Path, provider: Provider) -> None:
    provider.knows("carla", "admins")
    async with running(asking(tmp_path, provider, oidc_session_hours=3)) as engine, a_browser(engine.app) as browser:
        began = (await browser.open("/auth/oidc/login")).headers["set-cookie"].lower()
        ended = [one.lower() for one in (await browser.signs_in("carla")).headers.get_list("set-cookie")]
    for word in ("oidc_sign_in=", "httponly", "secure", "samesite=lax", "path=/api/v1/auth/oidc", "max-age=600"):
        assert word in began
    access, refresh, gone = ended
    assert all(word in access for word in ("auth_token=", "httponly", "secure", "samesite=lax"))
    assert all(word in refresh for word in ("refresh_token=", "httponly", "secure", "samesite=strict", "max-age=10800"))
    assert all(word in gone for word in ("oidc_sign_in=", "max-age=0", "path=/api/v1/auth/oidc"))


@pytest.mark.parametrize("client", ["confidential", "public", "elliptic"])
async def test_each_kind_of_client(tmp_path: Path, provider: Provider, client: str) -> None:
    secret = SECRET if client == "confidential" else None
    async with running(asking(tmp_path, provider, oidc_client_id=client, oidc_client_secret=secret)) as engine:
        assert (await comes(engine, provider, "dora", "admins"))["role"] == "admin"


async def test_a_secret_that_is_not_the_clients(tmp_path: Path, provider: Provider) -> None:
    provider.knows("dora", "admins")
    settings = asking(tmp_path, provider, oidc_client_secret="wrong")
    async with running(settings) as engine, a_browser(engine.app) as browser:
        body = problem(await browser.signs_in("dora"), 503)
    assert "OIDC_CLIENT_SECRET" in body["detail"]
    assert "wrong" not in body["detail"]


async def test_the_highest_role_of_the_groups_counts_at_every_sign_in(house: Running, provider: Provider) -> None:
    for groups, role in (
        (("everybody", "approvers", "developers"), "approver"),
        (("developers", "unknown"), "member"),
        (("admins",), "admin"),
        (("everybody",), "viewer"),
    ):
        me = await comes(house, provider, "eva", *groups)
        assert (me["role"], me["is_superuser"]) == (role, role == "admin")


async def test_who_is_in_no_group_is_refused(house: Running, provider: Provider) -> None:
    await comes(house, provider, "finn", "developers")
    provider.knows("finn", "unknown")
    assert "OIDC_ROLES" in await refused(house, "finn", 403, "oidc_no_role")


async def test_the_last_admin_stays_one(tmp_path: Path, provider: Provider) -> None:
    async with running(asking(tmp_path, provider)) as engine:
        for groups, role in (("admins", "admin"), ("everybody", "admin")):
            assert (await comes(engine, provider, "gina", groups))["role"] == role
        await comes(engine, provider, "hugo", "admins")
        assert (await comes(engine, provider, "gina", "everybody"))["role"] == "viewer"


async def test_without_a_group_there_may_be_a_default(tmp_path: Path, provider: Provider) -> None:
    more = {"oidc_default_role": "member", "oidc_scopes": "openid email"}
    async with running(asking(tmp_path, provider, **more, oidc_groups_claim="unknown")) as engine:
        async with engine.client() as client:
            await registered(client, "first@example.com")
        assert (await comes(engine, provider, "ida", "admins"))["role"] == "member"


async def test_without_roles_the_team_gives_them(tmp_path: Path, provider: Provider) -> None:
    async with running(asking(tmp_path, provider, oidc_roles=None)) as engine:
        provider.knows("jan", "admins")
        assert "first to register" in await refused(engine, "jan", 403, "oidc_first_admin")
        async with engine.client() as client:
            assert (await client.get("/auth/is_admin_user")).json() == {"is_admin": True}
            assert (await registered(client, "first@example.com"))["role"] == "admin"
        assert (await comes(engine, provider, "jan", "admins"))["role"] == "viewer"
        await change(engine, "jan@example.com", role="approver")
        assert (await comes(engine, provider, "jan"))["role"] == "approver"


async def test_at_the_same_instant_there_is_one_admin_and_one_account_each(
    tmp_path: Path, provider: Provider, database: str | None
) -> None:
    """Registration, a person who may not be the first, and another from two browsers."""
    provider.knows("kim", "developers")
    provider.knows("lea", "admins")
    settings = asking(tmp_path, provider, postgres_database_url=database, registration_enabled=True)
    async with running(settings) as engine, a_browser(engine.app) as one, a_browser(engine.app) as two:
        async with a_browser(engine.app) as three, engine.client() as client:
            kim, lea, again = [await who.sent_back(name) for who, name in ((one, "kim"), (two, "lea"), (three, "lea"))]
            answers = await asyncio.gather(
                one.http.get(kim), two.http.get(lea), three.http.get(again), registered(client, "max@example.com")
            )
        assert [answer.status_code for answer in answers[1:3]] == [303, 303]
        assert answers[0].status_code in (303, 403)
        found = {user.email.partition("@")[0]: user.role for user in await users(engine)}
    assert found["lea"] == "admin"
    assert found.get("kim", "member") == "member"
    assert len(found) == len(answers) - 1 - (answers[0].status_code == 403)


async def test_an_account_is_taken_over_only_when_both_sides_have_proved_its_e_mail(
    tmp_path: Path, provider: Provider
) -> None:
    async with running(asking(tmp_path, provider, registration_enabled=True)) as engine:
        await newcomer(engine, "first@example.com")
        async with await newcomer(engine, "nora@example.com") as nora:
            own = (await nora.get("/auth/me")).json()
        provider.knows("nora", "developers")
        assert "link" in await refused(engine, "nora", 409, "oidc_link_needed")
        await change(engine, "nora@example.com", is_verified=True)
        for claim in (False, None, "yes", 1):
            provider.knows("nora", "developers", verified=claim)
            await refused(engine, "nora", 409, "oidc_link_needed")
        assert (await comes(engine, provider, "nora", "developers"))["id"] == own["id"]
        assert (await comes(engine, provider, "nora", "developers", verified=False))["id"] == own["id"]
        async with engine.client() as client:
            await signed_in(client, "nora@example.com")


async def test_an_unproved_e_mail_makes_an_unproved_account(house: Running, provider: Provider) -> None:
    assert (await comes(house, provider, "olga", "everybody", verified=False))["is_verified"] is False
    provider.knows("otto", "everybody", email="olga@example.com")
    await refused(house, "otto", 409, "oidc_link_needed")


@pytest.mark.parametrize("email", [None, "nobody", "a@b\x00.example", "x" * 400 + "@example.com", 7])
async def test_without_an_e_mail_there_is_no_account(house: Running, provider: Provider, email: object) -> None:
    provider.knows("paul", "everybody", email=email)
    await refused(house, "paul", 403, "oidc_no_email")


@asynccontextmanager
async def at_home(engine: Running, email: str) -> AsyncIterator[Browser]:
    """A browser in which this person has registered and signed in with a password."""
    async with a_browser(engine.app) as browser, engine.client() as client:
        await registered(client, email)
        login = {"username": email, "password": PASSWORD}
        assert (await browser.http.post(f"{PAGES}/api/v1/auth/jwt/login", data=login)).status_code == 200
        yield browser


async def linking(browser: Browser, password: str = PASSWORD) -> Any:
    return await browser.http.post(f"{PAGES}/api/v1/auth/oidc/link", json={"current_password": password, "next": "/me"})


async def test_who_is_signed_in_links_by_password(tmp_path: Path, provider: Provider) -> None:
    provider.knows("quinn", "approvers", email="other@example.org", verified=False)
    async with running(asking(tmp_path, provider, registration_enabled=True)) as engine:
        await newcomer(engine, "first@example.com")
        async with at_home(engine, "quinn@example.com") as browser:
            problem(await linking(browser, "wrong"), 400)
            begun = (await linking(browser)).json()
            answer = await browser.http.get(await browser.at_the_provider("quinn", begun["url"]))
            assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGES}/me")
            me = (await browser.open("/auth/me")).json()
        assert (me["email"], me["role"]) == ("quinn@example.com", "approver")
        assert (await comes(engine, provider, "quinn", "approvers", email="other@example.org"))["id"] == me["id"]
        async with at_home(engine, "rosa@example.com") as browser:
            begun = (await linking(browser)).json()
            back = await browser.at_the_provider("quinn", begun["url"])
            assert problem(await browser.http.get(back), 409)["reason"] == "oidc_linked"
            provider.knows("rosa", "developers")
            back = await browser.at_the_provider("rosa", (await linking(browser)).json()["url"])
            await browser.http.post(f"{PAGES}/api/v1/auth/logout")
            assert problem(await browser.http.get(back), 400)["reason"] == "oidc_state"


async def test_an_account_without_a_password_has_none(
    house: Running, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.knows("sven", "developers")
    async with a_browser(house.app) as browser, house.client() as client:
        await browser.signs_in("sven")
        for password in ("!", "", PASSWORD):
            login = await client.post("/auth/jwt/login", data={"username": "sven@example.com", "password": password})
            assert login.status_code in (400, 422)
        problem(await linking(browser, "!"), 400)
        new = {"current_password": "!", "new_password": PASSWORD}
        change = await browser.http.patch(f"{PAGES}/api/v1/auth/users/me/password", json=new)
        assert "identity provider" in problem(change, 400)["detail"]
        with caplog.at_level(logging.INFO):
            forgot = await client.post("/auth/reset-password/forgot-password", json={"email": "sven@example.com"})
            await house.services.accounts()
            assert forgot.status_code == 202
    assert "reset_link" not in str([record.__dict__.get("action") for record in caplog.records])


async def test_who_was_removed_does_not_come_back(house: Running, provider: Provider) -> None:
    await comes(house, provider, "tina", "developers")
    await change(house, "tina@example.com", is_active=False)
    assert "closed" in await refused(house, "tina", 403, "oidc_closed")


async def test_a_callback_works_once_and_in_its_own_browser(house: Running, provider: Provider) -> None:
    provider.knows("uma", "developers")
    async with a_browser(house.app) as browser, a_browser(house.app) as other:
        back = await browser.sent_back("uma")
        cookie = browser.http.cookies["oidc_sign_in"]
        assert problem(await other.http.get(back), 400)["reason"] == "oidc_state"
        await other.open("/auth/oidc/login")
        assert problem(await other.http.get(back), 400)["reason"] == "oidc_state"
        assert (await browser.http.get(back)).status_code == 303
        assert problem(await browser.http.get(back), 400)["reason"] == "oidc_state"
        other.http.cookies.clear()
        again = await other.http.get(back, headers={"Cookie": f"oidc_sign_in={cookie}"})
        assert problem(again, 400)["reason"] == "oidc_code"


async def test_a_foreign_issuer_in_the_answer(house: Running, provider: Provider) -> None:
    provider.knows("vera", "developers")
    for iss in ("&iss=https://evil.example", ""):
        async with a_browser(house.app) as browser:
            back = await browser.sent_back("vera")
            assert parse_qs(urlsplit(back).query)["iss"] == [provider.issuer]
            assert problem(await browser.http.get(back.partition("&iss=")[0] + iss), 400)["reason"] == "oidc_issuer"


async def test_who_says_no_is_told_on_the_page_for_it(house: Running, provider: Provider) -> None:
    async with a_browser(house.app) as browser:
        back = await browser.sent_back(None)
        assert problem(await browser.http.get(back), 403)["reason"] == "oidc_denied"
        shown = await browser.http.get(back, headers={"Accept": "text/html,*/*;q=0.8"})
        assert (shown.status_code, shown.headers["location"]) == (303, f"{PAGES}/login?error=oidc_denied")


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "/\\evil.example", "https://evil.example", "chats", "/a b", "/\t/evil.example", "/" * 501],
)
async def test_it_leads_to_our_own_pages_only(house: Running, path: str) -> None:
    async with a_browser(house.app) as browser:
        problem(await browser.open("/auth/oidc/login", params={"next": path}), 422)


async def test_the_session_ends_in_its_time(house: Running, provider: Provider) -> None:
    """Refreshing does not put off when the provider is asked again."""
    provider.knows("will", "developers")
    async with a_browser(house.app) as browser:
        await browser.signs_in("will")
        me = (await browser.open("/auth/me")).json()

        async def rows(reader: Reader) -> list[RefreshToken]:
            return await reader.find(RefreshToken, {"user_id": me["id"]})

        async def age(tx: Transaction) -> None:
            await tx.change_all(RefreshToken, {"user_id": me["id"]}, ends_at=1)

        store = house.services.conversations._store
        assert (await browser.http.post(f"{PAGES}/api/v1/auth/refresh")).status_code == 200
        for row in await store.read(rows):
            assert row.ends_at is not None
            assert row.expires_at == row.ends_at
            assert round((row.ends_at - me["created_at"]) / 3_600_000) == 24
        await store.transaction(age)
        problem(await browser.http.post(f"{PAGES}/api/v1/auth/refresh"), 401)
        problem(await browser.http.post(f"{PAGES}/api/v1/auth/refresh/issue"), 401)


@pytest.mark.promise("secrets")
async def test_nothing_secret_is_logged(house: Running, provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    provider.knows("xena", "developers")
    with caplog.at_level(logging.DEBUG):
        async with a_browser(house.app) as browser:
            back = await browser.sent_back("xena")
            cookie = browser.http.cookies["oidc_sign_in"]
            caplog.clear()  # of the browser's own steps
            answer = await browser.http.get(back)
    query = parse_qs(urlsplit(back).query)
    ours = [record for record in caplog.records if "browser" not in record.name and record.name != "httpx"]
    told = "\n".join(record.getMessage() for record in ours)
    secrets = [query["code"][0], query["state"][0], SECRET, cookie, *answer.cookies.values()]
    assert answer.status_code == 303
    assert [secret for secret in secrets if secret in told] == []


@pytest.mark.promise("audit")
async def test_it_is_on_record(house: Running, provider: Provider) -> None:
    for groups in ("developers", "approvers"):
        me = await comes(house, provider, "yves", groups)

    async def body(reader: Reader) -> list[list[AuditEntry]]:
        return [await reader.find(AuditEntry, {"stream": name}, "n") for name in (f"user:{me['id']}", "team")]

    own, team = await house.services.conversations._store.read(body)
    assert [entry.action for entry in own] == ["user.registered", "identity.linked", "session.begun", "session.begun"]
    assert all(provider.issuer in entry.body and entry.actor == f"user:{me['id']}" for entry in own)
    assert '"was":"member"' in [entry.body for entry in team if me["id"] in entry.body][-1]


async def test_it_is_offered_by_name(house: Running, tmp_path: Path) -> None:
    async with running(given(tmp_path)) as without, house.client() as on, without.client() as off:
        assert (await on.get("/auth/oidc")).json() == {"enabled": True, "name": "OpenID Connect"}
        assert (await off.get("/auth/oidc")).json() == {"enabled": False, "name": None}
        assert problem(await off.get("/auth/oidc/login"), 404)["reason"] == "oidc_off"
        assert problem(await off.get("/auth/oidc/callback"), 404)["reason"] == "oidc_off"
        ready = {each["name"]: each for each in (await on.get("/health/ready")).json()["dependencies"]}
        assert ready["oidc"]["state"] == "ok"
        assert "oidc" not in (await off.get("/health/ready")).text
