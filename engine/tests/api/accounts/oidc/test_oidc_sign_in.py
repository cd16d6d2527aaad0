"""OIDC sign-in with a real provider: accounts, roles, linking and session lifetime."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from src.api.ports import Reader, Transaction
from src.api.schemas.records import AuditEntry, RefreshToken
from tests.support import app
from tests.support.app import PASSWORD, RunningApp, check_problem, make_settings, run_app
from tests.support.oidc_engine import change_user, list_users, oidc_settings, refuse_sign_in, sign_in
from tests.support.oidc_provider import PAGES, SECRET, Browser, Provider, open_browser

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("authorised")]


async def test_sign_in_refresh_and_logout(oidc_engine: RunningApp, provider: Provider) -> None:
    provider.add_person("ana", "developers", name="Ana")
    async with open_browser(oidc_engine.app) as browser:
        answer = await browser.sign_in("ana", "/auth/oidc/login?next=/chats/7%3Fx=1")
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
    assert (await sign_in(oidc_engine, provider, "ana", "developers"))["id"] == me["id"]


async def test_cookies_are_http_only_secure_and_same_site(tmp_path: Path, provider: Provider) -> None:
    provider.add_person("carla", "admins")
    async with (
        run_app(oidc_settings(tmp_path, provider, oidc_session_hours=3)) as engine,
        open_browser(engine.app) as browser,
    ):
        began = (await browser.open("/auth/oidc/login")).headers["set-cookie"].lower()
        ended = [one.lower() for one in (await browser.sign_in("carla")).headers.get_list("set-cookie")]
    for word in ("oidc_sign_in=", "httponly", "secure", "samesite=lax", "path=/api/v1/auth/oidc", "max-age=600"):
        assert word in began
    access, refresh, gone = ended
    assert all(word in access for word in ("auth_token=", "httponly", "secure", "samesite=lax"))
    assert all(word in refresh for word in ("refresh_token=", "httponly", "secure", "samesite=strict", "max-age=10800"))
    assert all(word in gone for word in ("oidc_sign_in=", "max-age=0", "path=/api/v1/auth/oidc"))


@pytest.mark.parametrize("client", ["confidential", "public", "elliptic"])
async def test_each_client_type_signs_in(tmp_path: Path, provider: Provider, client: str) -> None:
    secret = SECRET if client == "confidential" else None
    async with run_app(oidc_settings(tmp_path, provider, oidc_client_id=client, oidc_client_secret=secret)) as engine:
        assert (await sign_in(engine, provider, "dora", "admins"))["role"] == "admin"


async def test_wrong_client_secret_is_unavailable(tmp_path: Path, provider: Provider) -> None:
    provider.add_person("dora", "admins")
    settings = oidc_settings(tmp_path, provider, oidc_client_secret="wrong")
    async with run_app(settings) as engine, open_browser(engine.app) as browser:
        body = check_problem(await browser.sign_in("dora"), 503)
    assert "OIDC_CLIENT_SECRET" in body["detail"]
    assert "wrong" not in body["detail"]


async def test_each_sign_in_applies_highest_group_role(oidc_engine: RunningApp, provider: Provider) -> None:
    for groups, role in (
        (("everybody", "approvers", "developers"), "approver"),
        (("developers", "unknown"), "member"),
        (("admins",), "admin"),
        (("everybody",), "viewer"),
    ):
        me = await sign_in(oidc_engine, provider, "eva", *groups)
        assert (me["role"], me["is_superuser"]) == (role, role == "admin")


async def test_user_without_mapped_group_is_refused(oidc_engine: RunningApp, provider: Provider) -> None:
    await sign_in(oidc_engine, provider, "finn", "developers")
    provider.add_person("finn", "unknown")
    assert "OIDC_ROLES" in await refuse_sign_in(oidc_engine, "finn", 403, "oidc_no_role")


async def test_last_admin_keeps_role(tmp_path: Path, provider: Provider) -> None:
    async with run_app(oidc_settings(tmp_path, provider)) as engine:
        for groups, role in (("admins", "admin"), ("everybody", "admin")):
            assert (await sign_in(engine, provider, "gina", groups))["role"] == role
        await sign_in(engine, provider, "hugo", "admins")
        assert (await sign_in(engine, provider, "gina", "everybody"))["role"] == "viewer"


async def test_default_role_applies_without_group(tmp_path: Path, provider: Provider) -> None:
    more = {"oidc_default_role": "member", "oidc_scopes": "openid email"}
    async with run_app(oidc_settings(tmp_path, provider, **more, oidc_groups_claim="unknown")) as engine:
        async with engine.client() as client:
            await app.register_user(client, "first@example.com")
        assert (await sign_in(engine, provider, "ida", "admins"))["role"] == "member"


async def test_team_assigns_roles_if_no_mapping_is_set(tmp_path: Path, provider: Provider) -> None:
    async with run_app(oidc_settings(tmp_path, provider, oidc_roles=None)) as engine:
        provider.add_person("jan", "admins")
        assert "Register the first account" in await refuse_sign_in(engine, "jan", 403, "oidc_first_admin")
        async with engine.client() as client:
            assert (await client.get("/auth/is_admin_user")).json() == {"is_admin": True}
            assert (await app.register_user(client, "first@example.com"))["role"] == "admin"
        assert (await sign_in(engine, provider, "jan", "admins"))["role"] == "viewer"
        await change_user(engine, "jan@example.com", role="approver")
        assert (await sign_in(engine, provider, "jan"))["role"] == "approver"


async def test_concurrent_sign_ins_create_one_admin_and_one_account_each(
    tmp_path: Path, provider: Provider, database: str | None
) -> None:
    """A registration, a user who may not be the first, and one user in two browsers sign in concurrently."""
    provider.add_person("kim", "developers")
    provider.add_person("lea", "admins")
    settings = oidc_settings(tmp_path, provider, postgres_database_url=database, registration_enabled=True)
    async with run_app(settings) as engine, open_browser(engine.app) as one, open_browser(engine.app) as two:
        async with open_browser(engine.app) as three, engine.client() as client:
            visits = ((one, "kim"), (two, "lea"), (three, "lea"))
            kim, lea, again = [await browser.callback_url(name) for browser, name in visits]
            coming = [each.http.get(url) for each, url in ((one, kim), (two, lea), (three, again))]
            answers = await asyncio.gather(*coming, app.register_user(client, "max@example.com"))
        assert [answer.status_code for answer in answers[1:3]] == [303, 303]
        assert answers[0].status_code in (303, 403)
        found = {user.email.partition("@")[0]: user.role for user in await list_users(engine)}
    assert found["lea"] == "admin"
    assert found.get("kim", "member") == "member"
    assert len(found) == len(answers) - 1 - (answers[0].status_code == 403)


@asynccontextmanager
async def password_browser(engine: RunningApp, email: str) -> AsyncIterator[Browser]:
    """A browser in which this user has registered and signed in with a password."""
    async with open_browser(engine.app) as browser, engine.client() as client:
        await app.register_user(client, email)
        login = {"username": email, "password": PASSWORD}
        assert (await browser.http.post(f"{PAGES}/api/v1/auth/jwt/login", data=login)).status_code == 200
        yield browser


async def link_account(browser: Browser, password: str = PASSWORD) -> Any:
    return await browser.http.post(f"{PAGES}/api/v1/auth/oidc/link", json={"current_password": password, "next": "/me"})


async def test_signed_in_user_links_account_with_password(tmp_path: Path, provider: Provider) -> None:
    provider.add_person("quinn", "approvers", email="other@example.org", verified=False)
    async with run_app(oidc_settings(tmp_path, provider, registration_enabled=True)) as engine:
        await app.register_client(engine, "first@example.com")
        async with password_browser(engine, "quinn@example.com") as browser:
            check_problem(await link_account(browser, "wrong"), 400)
            begun = (await link_account(browser)).json()
            answer = await browser.http.get(await browser.authenticate_at_provider("quinn", begun["url"]))
            assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGES}/me")
            me = (await browser.open("/auth/me")).json()
        assert (me["email"], me["role"]) == ("quinn@example.com", "approver")
        assert (await sign_in(engine, provider, "quinn", "approvers", email="other@example.org"))["id"] == me["id"]
        async with password_browser(engine, "rosa@example.com") as browser:
            begun = (await link_account(browser)).json()
            back = await browser.authenticate_at_provider("quinn", begun["url"])
            assert check_problem(await browser.http.get(back), 409)["reason"] == "oidc_linked"
            provider.add_person("rosa", "developers")
            back = await browser.authenticate_at_provider("rosa", (await link_account(browser)).json()["url"])
            await browser.http.post(f"{PAGES}/api/v1/auth/logout")
            assert check_problem(await browser.http.get(back), 400)["reason"] == "oidc_state"


async def test_account_without_password_rejects_password_login(
    oidc_engine: RunningApp, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.add_person("sven", "developers")
    async with open_browser(oidc_engine.app) as browser, oidc_engine.client() as client:
        await browser.sign_in("sven")
        for password in ("!", "", PASSWORD):
            login = await client.post("/auth/jwt/login", data={"username": "sven@example.com", "password": password})
            assert login.status_code in (400, 422)
        check_problem(await link_account(browser, "!"), 400)
        new = {"current_password": "!", "new_password": PASSWORD}
        change = await browser.http.patch(f"{PAGES}/api/v1/auth/users/me/password", json=new)
        assert "identity provider" in check_problem(change, 400)["detail"]
        with caplog.at_level(logging.INFO):
            forgot = await client.post("/auth/reset-password/forgot-password", json={"email": "sven@example.com"})
            await oidc_engine.services.accounts()
            assert forgot.status_code == 202
    assert "reset_link" not in str([record.__dict__.get("action") for record in caplog.records])


async def test_removed_user_is_refused(oidc_engine: RunningApp, provider: Provider) -> None:
    await sign_in(oidc_engine, provider, "tina", "developers")
    await change_user(oidc_engine, "tina@example.com", is_active=False)
    assert "closed" in await refuse_sign_in(oidc_engine, "tina", 403, "oidc_closed")


async def test_callback_works_once_in_the_same_browser(oidc_engine: RunningApp, provider: Provider) -> None:
    provider.add_person("uma", "developers")
    async with open_browser(oidc_engine.app) as browser, open_browser(oidc_engine.app) as other:
        back = await browser.callback_url("uma")
        cookie = browser.http.cookies["oidc_sign_in"]
        assert check_problem(await other.http.get(back), 400)["reason"] == "oidc_state"
        await other.open("/auth/oidc/login")
        assert check_problem(await other.http.get(back), 400)["reason"] == "oidc_state"
        assert (await browser.http.get(back)).status_code == 303
        assert check_problem(await browser.http.get(back), 400)["reason"] == "oidc_state"
        other.http.cookies.clear()
        again = await other.http.get(back, headers={"Cookie": f"oidc_sign_in={cookie}"})
        assert check_problem(again, 400)["reason"] == "oidc_code"


async def test_callback_of_another_issuer_is_refused(oidc_engine: RunningApp, provider: Provider) -> None:
    provider.add_person("vera", "developers")
    for iss in ("&iss=https://evil.example", ""):
        async with open_browser(oidc_engine.app) as browser:
            back = await browser.callback_url("vera")
            assert parse_qs(urlsplit(back).query)["iss"] == [provider.issuer]
            assert (
                check_problem(await browser.http.get(back.partition("&iss=")[0] + iss), 400)["reason"] == "oidc_issuer"
            )


async def test_denied_consent_redirects_to_login_page(oidc_engine: RunningApp, provider: Provider) -> None:
    async with open_browser(oidc_engine.app) as browser:
        back = await browser.callback_url(None)
        assert check_problem(await browser.http.get(back), 403)["reason"] == "oidc_denied"
        shown = await browser.http.get(back, headers={"Accept": "text/html,*/*;q=0.8"})
        assert (shown.status_code, shown.headers["location"]) == (303, f"{PAGES}/login?error=oidc_denied")


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "/\\evil.example", "https://evil.example", "chats", "/a b", "/\t/evil.example", "/" * 501],
)
async def test_next_accepts_local_paths_only(oidc_engine: RunningApp, path: str) -> None:
    async with open_browser(oidc_engine.app) as browser:
        check_problem(await browser.open("/auth/oidc/login", params={"next": path}), 422)


async def test_session_ends_after_oidc_session_hours(oidc_engine: RunningApp, provider: Provider) -> None:
    """Refreshing does not extend the session: the provider is asked again on time."""
    provider.add_person("will", "developers")
    async with open_browser(oidc_engine.app) as browser:
        await browser.sign_in("will")
        me = (await browser.open("/auth/me")).json()

        async def rows(reader: Reader) -> list[RefreshToken]:
            return await reader.find(RefreshToken, {"user_id": me["id"]})

        async def age(tx: Transaction) -> None:
            await tx.change_all(RefreshToken, {"user_id": me["id"]}, ends_at=1)

        store = oidc_engine.services.conversations.store
        assert (await browser.http.post(f"{PAGES}/api/v1/auth/refresh")).status_code == 200
        for row in await store.read(rows):
            assert row.ends_at is not None
            assert row.expires_at == row.ends_at
            assert round((row.ends_at - me["created_at"]) / 3_600_000) == 24
        await store.transaction(age)
        check_problem(await browser.http.post(f"{PAGES}/api/v1/auth/refresh"), 401)
        check_problem(await browser.http.post(f"{PAGES}/api/v1/auth/refresh/issue"), 401)


@pytest.mark.promise("secrets")
async def test_secrets_are_not_logged(
    oidc_engine: RunningApp, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.add_person("xena", "developers")
    with caplog.at_level(logging.DEBUG):
        async with open_browser(oidc_engine.app) as browser:
            back = await browser.callback_url("xena")
            cookie = browser.http.cookies["oidc_sign_in"]
            caplog.clear()  # drop what the test's browser logged
            answer = await browser.http.get(back)
    query = parse_qs(urlsplit(back).query)
    ours = [record for record in caplog.records if "browser" not in record.name and record.name != "httpx"]
    logged = "\n".join(record.getMessage() for record in ours)
    secrets = [query["code"][0], query["state"][0], SECRET, cookie, *answer.cookies.values()]
    assert answer.status_code == 303
    assert [secret for secret in secrets if secret in logged] == []


@pytest.mark.promise("audit")
async def test_sign_in_is_audited(oidc_engine: RunningApp, provider: Provider) -> None:
    for groups in ("developers", "approvers"):
        me = await sign_in(oidc_engine, provider, "yves", groups)

    async def body(reader: Reader) -> list[list[AuditEntry]]:
        return [await reader.find(AuditEntry, {"stream": name}, "n") for name in (f"user:{me['id']}", "team")]

    own, team = await oidc_engine.services.conversations.store.read(body)
    assert [entry.action for entry in own] == ["user.registered", "identity.linked", "session.begun", "session.begun"]
    assert all(provider.issuer in entry.body and entry.actor == f"user:{me['id']}" for entry in own)
    assert '"was":"member"' in [entry.body for entry in team if me["id"] in entry.body][-1]


async def test_provider_is_listed_by_name(oidc_engine: RunningApp, tmp_path: Path) -> None:
    async with run_app(make_settings(tmp_path)) as without, oidc_engine.client() as on, without.client() as off:
        assert (await on.get("/auth/oidc")).json() == {"enabled": True, "name": "OpenID Connect"}
        assert (await off.get("/auth/oidc")).json() == {"enabled": False, "name": None}
        assert check_problem(await off.get("/auth/oidc/login"), 404)["reason"] == "oidc_off"
        assert check_problem(await off.get("/auth/oidc/callback"), 404)["reason"] == "oidc_off"
        ready = {each["name"]: each for each in (await on.get("/health/ready")).json()["dependencies"]}
        assert ready["oidc"]["state"] == "ok"
        assert "oidc" not in (await off.get("/health/ready")).text
