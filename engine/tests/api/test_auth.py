"""Accounts: the first is the admin, nobody raises themselves, and sessions are who they say."""

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
from src.api.services.users import HASHES_AT_ONCE
from tests.support.app import PASSWORD, SECRET, Running, problem, registered, running, signed_in


async def test_the_first_to_register_is_the_admin(engine: Running) -> None:
    async with engine.client() as client:
        assert (await client.get("/auth/is_admin_user")).json() == {"is_admin": True}
        made = await registered(client, "Ana@Example.com", full_name="Ana")
        assert (await client.get("/auth/is_admin_user")).json() == {"is_admin": False}
    assert made["role"] == "admin"
    assert made["is_superuser"] is True
    assert made["email"] == "ana@example.com"
    assert "password" not in str(made)


@pytest.mark.promise("authorised")
async def test_two_at_once_make_one_admin(settings: Callable[..., Settings], database: str | None) -> None:
    wanted = settings(postgres_database_url=database, registration_enabled=True)
    async with running(wanted) as engine, engine.client() as client:
        made = await asyncio.gather(*(registered(client, f"user{n}@example.com") for n in range(8)))
    assert sorted(one["role"] for one in made) == ["admin", *["viewer"] * 7]


async def test_two_at_once_with_one_address_make_one_account(
    settings: Callable[..., Settings], database: str | None
) -> None:
    body = {"email": "ana@example.com", "password": PASSWORD}
    wanted = settings(postgres_database_url=database, registration_enabled=True)
    async with running(wanted) as engine, engine.client() as client:
        answers = await asyncio.gather(*(client.post("/auth/register/register", json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]


@pytest.mark.promise("safe-defaults")
async def test_registration_is_closed_after_the_first(engine: Running) -> None:
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        second = await client.post("/auth/register/register", json={"email": "b@example.com", "password": PASSWORD})
    assert "Ask an admin" in problem(second, 403)["detail"]


@pytest.mark.promise("authorised")
async def test_no_field_of_a_body_raises_a_role(settings: Callable[..., Settings]) -> None:
    greedy = {"role": "admin", "is_superuser": True, "is_verified": True, "is_active": True, "id": "mine"}
    async with running(settings(registration_enabled=True)) as engine, engine.client() as client:
        await registered(client, "admin@example.com")
        made = await registered(client, "greedy@example.com", **greedy)
        token = await signed_in(client, "greedy@example.com")
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
async def test_what_makes_no_account(engine: Running, body: dict[str, str]) -> None:
    async with engine.client() as client:
        answer = await client.post("/auth/register/register", json=body)
    problem(answer, 422)
    assert body.get("password", "nothing was given") not in answer.text


async def test_the_password_is_not_the_address(engine: Running) -> None:
    body = {"email": "anabel.lee@example.com", "password": "Anabel.Lee@example.com"}
    async with engine.client() as client:
        problem(await client.post("/auth/register/register", json=body), 400)


async def test_signing_in_gives_a_token_and_a_cookie(engine: Running) -> None:
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        answer = await client.post("/auth/jwt/login", data={"username": "ANA@example.com", "password": PASSWORD})
        assert answer.json() == {"access_token": answer.json()["access_token"], "token_type": "bearer"}
        cookie = answer.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("auth_token=", "httponly", "secure", "samesite=lax", "path=/"))
        me = await client.get("/auth/me", headers={"Cookie": f"auth_token={answer.json()['access_token']}"})
    assert me.json()["email"] == "ana@example.com"


async def test_signing_out_takes_the_cookie_back(engine: Running) -> None:
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        token = await signed_in(client, "ana@example.com")
        answer = await client.post("/auth/jwt/logout", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 204
    assert "max-age=0" in answer.headers["set-cookie"].lower()


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> "Hashing":
    """Every computation of a password hash from now on."""
    seen = Hashing()
    for name in ("hash", "verify_and_update"):
        monkeypatch.setattr(PasswordHelper, name, seen.watching(getattr(PasswordHelper, name)))
    return seen


class Hashing:
    """How many hashes were computed, in which threads, and how many at once at most."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.at_once = 0
        self._now = 0
        self._lock = threading.Lock()

    def watching(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: object) -> Any:
            with self._lock:
                self._now += 1
                self.at_once = max(self.at_once, self._now)
                self.threads.append(threading.get_ident())
            try:
                return compute(*arguments)
            finally:
                with self._lock:
                    self._now -= 1

        return watched


async def test_a_wrong_password_and_an_unknown_address_look_the_same(engine: Running, hashing: Hashing) -> None:
    """In words, and in time: each costs one hash."""
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        told = []
        for email in ("ana@example.com", "nobody@example.com"):
            before = len(hashing.threads)
            answer = await client.post("/auth/jwt/login", data={"username": email, "password": "wrong"})
            told.append({**problem(answer, 400), "request_id": ""})
            assert len(hashing.threads) - before == 1
    assert told[0] == told[1]
    assert told[0]["reason"] == "LOGIN_BAD_CREDENTIALS"


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
async def test_tokens_that_are_not_ours(engine: Running, token: str) -> None:
    async with engine.client(token) as client:
        answer = await client.get("/auth/me")
    problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


def signed_anew(token: str, secret: str | None = SECRET, algorithm: str = "HS256", **changed: Any) -> str:
    """The same claims but for these, under another header or signature."""
    headers = changed.pop("headers", None)
    claims = jwt.decode(token, options={"verify_signature": False}) | changed
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, secret, algorithm, headers=headers)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.promise("authorised")
async def test_a_session_is_worth_nothing_under_another_signature(engine: Running) -> None:
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        token = await signed_in(client, "ana@example.com")
        head, claims, signature = token.split(".")
        bad = {
            "unsigned": signed_anew(token, None, "none"),
            "without a signature": f"{head}.{claims}.",
            "of the unsigned kind, with a signature": f"{signed_anew(token, None, 'none')}{signature}",
            "another algorithm": signed_anew(token, algorithm="HS512"),
            "a short secret": signed_anew(token, "0"),
            "a key of its own choice": signed_anew(
                token, "0", headers={"kid": "/dev/null", "jku": "https://e.example"}
            ),
            "expired": signed_anew(token, exp=1),
            "not yet good": signed_anew(token, nbf=4_000_000_000),
            "of another use": signed_anew(token, aud=["fastapi-users:reset"]),
            "of all uses but this": signed_anew(token, aud=["fastapi-users:verify", "skyflo:oidc"]),
            "for nobody": signed_anew(token, aud=None),
            "another's session": signed_anew(token, sub="somebody else"),
            "no session": signed_anew(token, sid=None),
            "a list of sessions": signed_anew(token, sid=["x"]),
            "claims of another": f"{head}.{signed_anew(token, 'x' * 32, sub='x').split('.')[1]}.{signature}",
        }
        answers = {}
        for name, each in bad.items():
            answers[name] = (await client.get("/auth/me", headers={"Authorization": f"Bearer {each}"})).status_code
        client.cookies.clear()
        good = await client.get("/auth/me", headers={"Authorization": f"Bearer {signed_anew(token)}"})
    assert {name: status for name, status in answers.items() if status != 401} == {}
    assert good.status_code == 200


async def test_a_token_of_someone_removed_is_worth_nothing(engine: Running) -> None:
    async with engine.client() as client:
        made = await registered(client, "ana@example.com")
        token = await signed_in(client, "ana@example.com")

        async def deactivate(tx: Transaction) -> None:
            assert await tx.change(User, {"id": made["id"]}, is_active=False)

        await engine.services.conversations._store.transaction(deactivate)
        problem(await client.get("/auth/me", headers={"Authorization": f"Bearer {token}"}), 401)
        answer = await client.post("/auth/jwt/login", data={"username": "ana@example.com", "password": PASSWORD})
    problem(answer, 400)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"full_name": "Ana B."}, 200),
        ({"email": "new@example.com"}, 400),
        ({"email": "new@example.com", "current_password": "wrong"}, 400),
        ({"email": "new@example.com", "current_password": PASSWORD}, 200),
        ({"password": "a new and long one"}, 400),
        ({"password": "a new and long one", "current_password": PASSWORD}, 200),
    ],
)
async def test_changing_oneself(engine: Running, change: dict[str, str], status: int) -> None:
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        token = await signed_in(client, "ana@example.com")
        answer = await client.patch("/auth/me", json=change, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status
        if status == 200 and "password" in change:
            await signed_in(client, "ana@example.com", change["password"])


@pytest.mark.promise("authorised")
async def test_a_foreign_page_can_not_use_the_cookie(engine: Running) -> None:
    """CSRF: the browser sends the cookie, but says from which page."""
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        token = await signed_in(client, "ana@example.com")
        cookie = {"Cookie": f"auth_token={token}"}
        foreign = await client.post("/conversations", json={}, headers={**cookie, "Origin": "https://evil.example"})
        own = await client.post("/conversations", json={}, headers={**cookie, "Origin": "http://testserver"})
    problem(foreign, 403)
    assert own.status_code == 200


async def test_logins_leave_the_event_loop_free(engine: Running, hashing: Hashing) -> None:
    """Hashes are computed in threads, and few at a time, for each takes a core and 64 MiB."""
    async with engine.client() as client:
        await registered(client, "ana@example.com")
        await asyncio.gather(*(signed_in(client, "ana@example.com") for _ in range(10)))
    assert len(hashing.threads) == 11
    assert threading.get_ident() not in hashing.threads
    assert hashing.at_once <= HASHES_AT_ONCE
