"""What settings do at the edge: each has its effect here, where it is used."""

from collections.abc import Callable

import jwt
import pytest

from src.api.asgi import create_application
from src.api.config.settings import Settings
from tests.support.app import PASSWORD, Running, problem, registered, running, signed_in

OURS = "https://console.example"


async def test_cors_is_closed_by_default(engine: Running) -> None:
    async with engine.client() as client:
        answer = await client.options("/conversations", headers=_preflight("https://console.example"))
    assert "access-control-allow-origin" not in answer.headers


async def test_cors_origins_opens_it_for_those_named(settings: Callable[..., Settings]) -> None:
    async with running(settings(cors_origins=(OURS,))) as engine, engine.client() as client:
        ours = await client.options("/conversations", headers=_preflight(OURS))
        foreign = await client.options("/conversations", headers=_preflight("https://evil.example"))
        refused = await client.get("/auth/me", headers={"Origin": OURS})
    assert ours.headers["access-control-allow-origin"] == OURS
    assert ours.headers["access-control-allow-credentials"] == "true"
    assert "access-control-allow-origin" not in foreign.headers
    assert problem(refused, 401)
    assert refused.headers["access-control-allow-origin"] == OURS


def _preflight(origin: str) -> dict[str, str]:
    return {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


async def test_cors_origins_lets_their_pages_use_the_cookie(settings: Callable[..., Settings]) -> None:
    async with running(settings(cors_origins=(OURS,))) as engine, engine.client() as client:
        await registered(client, "ana@example.com")
        headers = {"Cookie": f"auth_token={await signed_in(client, 'ana@example.com')}"}
        ours = await client.post("/conversations", json={}, headers={**headers, "Origin": OURS})
        foreign = await client.post("/conversations", json={}, headers={**headers, "Origin": "https://evil.example"})
    assert ours.status_code == 200
    problem(foreign, 403)


async def test_api_v1_str_moves_every_route(settings: Callable[..., Settings]) -> None:
    async with running(settings(api_v1_str="/engine/v9")) as engine, engine.client() as client:
        assert (await client.get("http://testserver/engine/v9/health")).status_code == 200
        problem(await client.get("/health"), 404)
        form = {"username": "a@example.com", "password": PASSWORD}
        problem(await client.post("http://testserver/engine/v9/auth/jwt/login", data=form), 400)


async def test_max_body_bytes_bounds_a_body(settings: Callable[..., Settings]) -> None:
    async with running(settings(max_body_bytes=1_024)) as engine, engine.client() as client:
        problem(await client.post("/conversations", json={"title": "x" * 1_100}), 413)


async def test_registration_enabled_opens_the_door(settings: Callable[..., Settings]) -> None:
    async with running(settings(registration_enabled=True)) as engine, engine.client() as client:
        await registered(client, "first@example.com")
        assert (await registered(client, "second@example.com"))["role"] == "viewer"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_jwt_settings_make_the_token(settings: Callable[..., Settings], algorithm: str) -> None:
    wanted = settings(
        jwt_secret="s" * 40 + "0123456789abcdef" * 2, jwt_algorithm=algorithm, jwt_access_token_expire_minutes=7
    )
    async with running(wanted) as engine, engine.client() as client:
        await registered(client, "ana@example.com")
        answer = await client.post("/auth/jwt/login", data={"username": "ana@example.com", "password": PASSWORD})
    token = answer.json()["access_token"]
    assert jwt.get_unverified_header(token)["alg"] == algorithm
    claims = jwt.decode(token, wanted.secret, [algorithm], audience="fastapi-users:auth")
    assert "Max-Age=420" in answer.headers["set-cookie"]
    assert set(claims) == {"sub", "sid", "aud", "exp"}


def test_app_settings_stand_in_openapi(settings: Callable[..., Settings]) -> None:
    named = settings(app_name="Ours", app_version="9.9", app_description="It asks first.")
    info = create_application(named).openapi()["info"]
    assert info == {"title": "Ours", "version": "9.9", "description": "It asks first."}


async def test_the_cookie_is_secure_but_in_local_mode(settings: Callable[..., Settings]) -> None:
    async with running(settings(local_mode=True)) as engine, engine.client(host="localhost") as client:
        await registered(client, "ana@example.com")
        answer = await client.post("/auth/jwt/login", data={"username": "ana@example.com", "password": PASSWORD})
    assert "secure" not in answer.headers["set-cookie"].lower()
