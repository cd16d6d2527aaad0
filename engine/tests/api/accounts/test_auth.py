"""Registration, login, access tokens and changes to the caller's account."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from fastapi_users.password import PasswordHelper

from src.api.config.settings import Settings
from src.api.ports import Transaction
from src.api.schemas.records import User
from src.api.services.accounts.users import MAX_CONCURRENT_HASHES
from tests.support.app import PASSWORD, SECRET, RunningApp, check_problem, log_in, register_user, run_app


async def test_first_registered_user_is_admin(engine: RunningApp) -> None:
    async with engine.client() as client:
        assert (await client.get("/auth/is_admin_user")).json() == {"is_admin": True}
        made = await register_user(client, "Ana@Example.com", full_name="Ana")
        assert (await client.get("/auth/is_admin_user")).json() == {"is_admin": False}
    assert made["role"] == "admin"
    assert made["is_superuser"] is True
    assert made["email"] == "ana@example.com"
    assert "password" not in str(made)


@pytest.mark.promise("authorised")
async def test_concurrent_registrations_create_one_admin(
    settings: Callable[..., Settings], database: str | None
) -> None:
    wanted = settings(postgres_database_url=database, registration_enabled=True)
    async with run_app(wanted) as engine, engine.client() as client:
        made = await asyncio.gather(*(register_user(client, f"user{n}@example.com") for n in range(8)))
    assert sorted(one["role"] for one in made) == ["admin", *["viewer"] * 7]


async def test_concurrent_registrations_of_one_email_create_one_account(
    settings: Callable[..., Settings], database: str | None
) -> None:
    body = {"email": "ana@example.com", "password": PASSWORD}
    wanted = settings(postgres_database_url=database, registration_enabled=True)
    async with run_app(wanted) as engine, engine.client() as client:
        answers = await asyncio.gather(*(client.post("/auth/register/register", json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]


@pytest.mark.promise("safe-defaults")
async def test_registration_closes_after_first_user(engine: RunningApp) -> None:
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        second = await client.post("/auth/register/register", json={"email": "b@example.com", "password": PASSWORD})
    assert "Ask an admin" in check_problem(second, 403)["detail"]


@pytest.mark.promise("authorised")
async def test_body_fields_do_not_raise_role(settings: Callable[..., Settings]) -> None:
    greedy = {"role": "admin", "is_superuser": True, "is_verified": True, "is_active": True, "id": "mine"}
    async with run_app(settings(registration_enabled=True)) as engine, engine.client() as client:
        await register_user(client, "admin@example.com")
        made = await register_user(client, "greedy@example.com", **greedy)
        token = await log_in(client, "greedy@example.com")
        changed = await client.patch("/auth/me", json=greedy, headers={"Authorization": f"Bearer {token}"})
    for view in (made, changed.json()):
        assert (view["role"], view["is_superuser"], view["is_verified"]) == ("viewer", False, False)
        assert view["id"] != "mine"


@pytest.mark.parametrize(
    "body",
    [
        {"email": "not an address", "password": PASSWORD},
        {"email": "a@example.com", "password": "short"},
        {"email": "a@example.com", "password": "x" * 257},
        {"email": f"{'a' * 400}@example.com", "password": PASSWORD},
        {"email": "a@example.com"},
    ],
)
async def test_invalid_registration_is_refused(engine: RunningApp, body: dict[str, str]) -> None:
    async with engine.client() as client:
        answer = await client.post("/auth/register/register", json=body)
    check_problem(answer, 422)
    assert body.get("password", "nothing was given") not in answer.text


async def test_password_equal_to_email_is_refused(engine: RunningApp) -> None:
    body = {"email": "anabel.lee@example.com", "password": "Anabel.Lee@example.com"}
    async with engine.client() as client:
        check_problem(await client.post("/auth/register/register", json=body), 400)


async def test_login_returns_token_and_sets_cookie(engine: RunningApp) -> None:
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        answer = await client.post("/auth/jwt/login", data={"username": "ANA@example.com", "password": PASSWORD})
        assert answer.json() == {"access_token": answer.json()["access_token"], "token_type": "bearer"}
        cookie = answer.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("auth_token=", "httponly", "secure", "samesite=lax", "path=/"))
        me = await client.get("/auth/me", headers={"Cookie": f"auth_token={answer.json()['access_token']}"})
    assert me.json()["email"] == "ana@example.com"


async def test_logout_clears_cookie(engine: RunningApp) -> None:
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        token = await log_in(client, "ana@example.com")
        answer = await client.post("/auth/jwt/logout", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 204
    assert "max-age=0" in answer.headers["set-cookie"].lower()


@pytest.fixture
def password_hashes(monkeypatch: pytest.MonkeyPatch) -> "HashCounter":
    """Record every password hash that is computed."""
    seen = HashCounter()
    for name in ("hash", "verify_and_update"):
        monkeypatch.setattr(PasswordHelper, name, seen.count(getattr(PasswordHelper, name)))
    return seen


class HashCounter:
    """Counts hash computations: their threads, and the maximum at the same time."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.at_once = 0
        self._now = 0
        self._lock = threading.Lock()

    def count(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: object) -> Any:
            with self._lock:
                self._now += 1
                self.at_once = max(self.at_once, self._now)
                self.threads.append(threading.get_ident())
            try:
                return compute(*arguments)
            finally:
                with self._lock:
                    self._now -= 1

        return counted


async def test_wrong_password_and_unknown_email_are_indistinguishable(
    engine: RunningApp, password_hashes: HashCounter
) -> None:
    """Both give the same message and cost one hash, so that time reveals nothing."""
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        problems = []
        for email in ("ana@example.com", "nobody@example.com"):
            before = len(password_hashes.threads)
            answer = await client.post("/auth/jwt/login", data={"username": email, "password": "wrong"})
            problems.append({**check_problem(answer, 400), "request_id": ""})
            assert len(password_hashes.threads) - before == 1
    assert problems[0] == problems[1]
    assert problems[0]["reason"] == "LOGIN_BAD_CREDENTIALS"


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        jwt.encode({"sub": "x", "aud": ["fastapi-users:auth"]}, "another-secret-of-enough-bytes-to-be-ok", "HS256"),
        jwt.encode({"sub": "x", "aud": ["fastapi-users:auth"], "exp": 1}, SECRET, "HS256"),
        jwt.encode({"sub": "x", "aud": ["fastapi-users:reset"]}, SECRET, "HS256"),
        jwt.encode({"sub": "x", "aud": ["fastapi-users:auth"]}, SECRET, "HS256"),
        jwt.encode({"aud": ["fastapi-users:auth"]}, SECRET, "HS256"),
        jwt.encode({"sub": "x", "aud": ["fastapi-users:auth"]}, None, "none"),
    ],
    ids=["nonsense", "forged", "expired", "of another use", "of nobody", "without a subject", "unsigned"],
)
@pytest.mark.promise("authorised")
async def test_foreign_tokens_are_refused(engine: RunningApp, token: str) -> None:
    async with engine.client(token) as client:
        answer = await client.get("/auth/me")
    check_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


def resign(token: str, secret: str | None = SECRET, algorithm: str = "HS256", **changed: Any) -> str:
    """Re-encode a token with changed claims, headers or signature; None removes a claim."""
    headers = changed.pop("headers", None)
    claims = jwt.decode(token, options={"verify_signature": False}) | changed
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, secret, algorithm, headers=headers)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.promise("authorised")
async def test_altered_access_token_is_refused(engine: RunningApp) -> None:
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        token = await log_in(client, "ana@example.com")
        head, claims, signature = token.split(".")
        bad = {
            "unsigned": resign(token, None, "none"),
            "without a signature": f"{head}.{claims}.",
            "of the unsigned kind, with a signature": f"{resign(token, None, 'none')}{signature}",
            "another algorithm": resign(token, algorithm="HS512"),
            "a short secret": resign(token, "0"),
            "a key of its own choice": resign(token, "0", headers={"kid": "/dev/null", "jku": "https://e.example"}),
            "expired": resign(token, exp=1),
            "not yet good": resign(token, nbf=4_000_000_000),
            "of another use": resign(token, aud=["fastapi-users:reset"]),
            "of all uses but this": resign(token, aud=["fastapi-users:verify", "skyflo:oidc"]),
            "for nobody": resign(token, aud=None),
            "another's session": resign(token, sub="somebody else"),
            "no session": resign(token, sid=None),
            "a list of sessions": resign(token, sid=["x"]),
            "claims of another": f"{head}.{resign(token, 'x' * 32, sub='x').split('.')[1]}.{signature}",
        }
        answers = {}
        for name, each in bad.items():
            answers[name] = (await client.get("/auth/me", headers={"Authorization": f"Bearer {each}"})).status_code
        client.cookies.clear()
        good = await client.get("/auth/me", headers={"Authorization": f"Bearer {resign(token)}"})
    assert {name: status for name, status in answers.items() if status != 401} == {}
    assert good.status_code == 200


async def test_token_of_removed_user_is_refused(engine: RunningApp) -> None:
    async with engine.client() as client:
        made = await register_user(client, "ana@example.com")
        token = await log_in(client, "ana@example.com")

        async def deactivate(tx: Transaction) -> None:
            assert await tx.change(User, {"id": made["id"]}, is_active=False)

        await engine.services.conversations.store.transaction(deactivate)
        check_problem(await client.get("/auth/me", headers={"Authorization": f"Bearer {token}"}), 401)
        answer = await client.post("/auth/jwt/login", data={"username": "ana@example.com", "password": PASSWORD})
    check_problem(answer, 400)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"full_name": "Ana B."}, 200),
        ({"email": "new@example.com"}, 400),
        ({"email": "new@example.com", "current_password": "wrong"}, 400),
        ({"email": "new@example.com", "current_password": PASSWORD}, 400),  # no mail, so no proof
        ({"password": "a new and long one"}, 400),
        ({"password": "a new and long one", "current_password": PASSWORD}, 200),
    ],
)
async def test_changing_email_or_password_requires_current_password(
    engine: RunningApp, change: dict[str, str], status: int
) -> None:
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        token = await log_in(client, "ana@example.com")
        answer = await client.patch("/auth/me", json=change, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status
        if status == 200 and "password" in change:
            await log_in(client, "ana@example.com", change["password"])


@pytest.mark.promise("authorised")
async def test_cookie_is_refused_from_foreign_origin(engine: RunningApp) -> None:
    """CSRF: the browser sends the cookie, and the Origin header names the page."""
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        token = await log_in(client, "ana@example.com")
        cookie = {"Cookie": f"auth_token={token}"}
        foreign = await client.post("/conversations", json={}, headers={**cookie, "Origin": "https://evil.example"})
        own = await client.post("/conversations", json={}, headers={**cookie, "Origin": "http://testserver"})
    check_problem(foreign, 403)
    assert own.status_code == 200


async def test_logins_hash_in_threads_with_limited_concurrency(
    engine: RunningApp, password_hashes: HashCounter
) -> None:
    """Hashes are computed in a few threads: each takes a core and 64 MiB."""
    async with engine.client() as client:
        await register_user(client, "ana@example.com")
        await asyncio.gather(*(log_in(client, "ana@example.com") for _ in range(10)))
    assert len(password_hashes.threads) == 11
    assert threading.get_ident() not in password_hashes.threads
    assert password_hashes.at_once <= MAX_CONCURRENT_HASHES
