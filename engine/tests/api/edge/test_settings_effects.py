"""Effects of settings on HTTP: CORS, paths, limits, tokens, cookies and OpenAPI."""

from collections.abc import Callable

import jwt
import pytest

from src.api.asgi import create_application
from src.api.config.settings import Settings
from tests.support.app import PASSWORD, RunningApp, check_problem, log_in, register_user, run_app

ALLOWED_ORIGIN = "https://console.example"


async def test_cors_is_closed_by_default(engine: RunningApp) -> None:
    async with engine.client() as client:
        answer = await client.options("/conversations", headers=_preflight("https://console.example"))
    assert "access-control-allow-origin" not in answer.headers


async def test_cors_origins_allows_named_origins(settings: Callable[..., Settings]) -> None:
    async with run_app(settings(cors_origins=(ALLOWED_ORIGIN,))) as engine, engine.client() as client:
        allowed = await client.options("/conversations", headers=_preflight(ALLOWED_ORIGIN))
        foreign = await client.options("/conversations", headers=_preflight("https://evil.example"))
        refused = await client.get("/auth/me", headers={"Origin": ALLOWED_ORIGIN})
    assert allowed.headers["access-control-allow-origin"] == ALLOWED_ORIGIN
    assert allowed.headers["access-control-allow-credentials"] == "true"
    assert "access-control-allow-origin" not in foreign.headers
    assert check_problem(refused, 401)
    assert refused.headers["access-control-allow-origin"] == ALLOWED_ORIGIN


def _preflight(origin: str) -> dict[str, str]:
    return {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


async def test_cors_origins_may_use_cookie(settings: Callable[..., Settings]) -> None:
    async with run_app(settings(cors_origins=(ALLOWED_ORIGIN,))) as engine, engine.client() as client:
        await register_user(client, "ana@example.com")
        headers = {"Cookie": f"auth_token={await log_in(client, 'ana@example.com')}"}
        allowed = await client.post("/conversations", json={}, headers={**headers, "Origin": ALLOWED_ORIGIN})
        foreign = await client.post("/conversations", json={}, headers={**headers, "Origin": "https://evil.example"})
    assert allowed.status_code == 200
    check_problem(foreign, 403)


async def test_api_v1_str_prefixes_every_route(settings: Callable[..., Settings]) -> None:
    async with run_app(settings(api_v1_str="/engine/v9")) as engine, engine.client() as client:
        assert (await client.get("http://testserver/engine/v9/health")).status_code == 200
        check_problem(await client.get("/health"), 404)
        form = {"username": "a@example.com", "password": PASSWORD}
        check_problem(await client.post("http://testserver/engine/v9/auth/jwt/login", data=form), 400)


async def test_max_body_bytes_limits_body(settings: Callable[..., Settings]) -> None:
    async with run_app(settings(max_body_bytes=1_024)) as engine, engine.client() as client:
        check_problem(await client.post("/conversations", json={"title": "x" * 1_100}), 413)


async def test_registration_enabled_allows_registration(settings: Callable[..., Settings]) -> None:
    async with run_app(settings(registration_enabled=True)) as engine, engine.client() as client:
        await register_user(client, "first@example.com")
        assert (await register_user(client, "second@example.com"))["role"] == "viewer"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_jwt_settings_apply_to_token(settings: Callable[..., Settings], algorithm: str) -> None:
    wanted = settings(
        jwt_secret="s" * 40 + "0123456789abcdef" * 2, jwt_algorithm=algorithm, jwt_access_token_expire_minutes=7
    )
    async with run_app(wanted) as engine, engine.client() as client:
        await register_user(client, "ana@example.com")
        answer = await client.post("/auth/jwt/login", data={"username": "ana@example.com", "password": PASSWORD})
    token = answer.json()["access_token"]
    assert jwt.get_unverified_header(token)["alg"] == algorithm
    claims = jwt.decode(token, wanted.secret, [algorithm], audience="fastapi-users:auth")
    assert "Max-Age=420" in answer.headers["set-cookie"]
    assert set(claims) == {"sub", "sid", "aud", "exp"}


def test_app_settings_appear_in_openapi(settings: Callable[..., Settings]) -> None:
    named = settings(app_name="Ours", app_version="9.9", app_description="It asks first.")
    info = create_application(named).openapi()["info"]
    assert info == {"title": "Ours", "version": "9.9", "description": "It asks first."}


async def test_cookie_is_not_secure_in_local_mode(settings: Callable[..., Settings]) -> None:
    async with run_app(settings(local_mode=True)) as engine, engine.client(host="localhost") as client:
        await register_user(client, "ana@example.com")
        answer = await client.post("/auth/jwt/login", data={"username": "ana@example.com", "password": PASSWORD})
    assert "secure" not in answer.headers["set-cookie"].lower()
