"""Local mode: who sits at the machine is the admin, and nobody else is."""

from pathlib import Path

import pytest

from tests.support.app import PASSWORD, Running, given, problem, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOPBACK = ["localhost", "localhost:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "LOCALHOST"]
ELSEWHERE = [
    "example.com",
    "localhost.evil.com",
    "evil.com:8080",
    "10.0.0.1",
    "[2001:db8::1]",
    "localhost@evil.com",
    "",
]


@pytest.mark.parametrize("host", LOOPBACK)
async def test_this_machine_is_the_local_admin(local_engine: Running, host: str) -> None:
    async with local_engine.client() as client:
        answer = await client.get("/auth/me", headers={"Host": host})
    assert answer.json()["role"] == "admin"
    assert answer.json()["id"] == "local"


@pytest.mark.parametrize("host", ELSEWHERE)
@pytest.mark.promise("authorised")
async def test_another_host_name_is_nobody(local_engine: Running, host: str) -> None:
    """DNS rebinding: the page's own name, resolved to 127.0.0.1."""
    async with local_engine.client() as client:
        problem(await client.get("/auth/me", headers={"Host": host}), 401)


@pytest.mark.parametrize("peer", ["10.0.0.7", "192.168.1.2", "2001:db8::7", "::ffff:10.0.0.7"])
@pytest.mark.promise("authorised")
async def test_another_machine_is_nobody(local_engine: Running, peer: str) -> None:
    async with local_engine.client(peer=peer, host="localhost") as client:
        problem(await client.get("/auth/me"), 401)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
async def test_every_loopback_address_is_this_machine(local_engine: Running, peer: str) -> None:
    async with local_engine.client(peer=peer, host="localhost") as client:
        assert (await client.get("/auth/me")).status_code == 200


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Anything"])
@pytest.mark.promise("authorised")
async def test_what_a_proxy_passes_on_is_nobody(local_engine: Running, header: str) -> None:
    async with local_engine.client(host="localhost") as client:
        problem(await client.get("/auth/me", headers={header: "127.0.0.1"}), 401)


@pytest.mark.parametrize("origin", ["https://evil.com", "null", "http://localhost:3000", "http://localhost.evil.com"])
@pytest.mark.promise("authorised")
async def test_a_foreign_page_is_refused(local_engine: Running, origin: str) -> None:
    async with local_engine.client(host="localhost:8080") as client:
        problem(await client.get("/auth/me", headers={"Origin": origin}), 403)


async def test_our_own_page_is_not_foreign(local_engine: Running) -> None:
    async with local_engine.client(host="localhost:8080") as client:
        answer = await client.get("/auth/me", headers={"Origin": "http://localhost:8080"})
    assert answer.status_code == 200


async def test_a_wrong_token_is_not_upgraded_to_the_local_admin(local_engine: Running) -> None:
    async with local_engine.client("nonsense", host="localhost") as client:
        problem(await client.get("/auth/me"), 401)


@pytest.mark.promise("authorised")
async def test_nobody_registers_the_first_admin_from_elsewhere(local_engine: Running) -> None:
    async with local_engine.client(peer="10.0.0.7", host="localhost") as client:
        answer = await client.post("/auth/register/register", json={"email": "a@b.example", "password": PASSWORD})
    problem(answer, 401)


@pytest.mark.promise("safe-defaults")
async def test_outside_local_mode_this_machine_is_nobody(tmp_path: Path) -> None:
    async with running(given(tmp_path)) as engine, engine.client(host="localhost") as client:
        problem(await client.get("/auth/me"), 401)
        problem(await client.post("/agent/chat", json={"messages": [{"role": "user", "content": "List pods"}]}), 401)
