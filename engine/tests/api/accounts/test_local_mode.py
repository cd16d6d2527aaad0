"""Local mode: requests from this machine are made by the admin, all others are anonymous."""

import asyncio
import os
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from src.api.config.secret_keys import derive_local_key
from tests.support.app import PASSWORD, RunningApp, check_problem, make_settings, run_app, serve_on_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOPBACK_HOSTS = ["localhost", "localhost:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "LOCALHOST"]
FOREIGN_HOSTS = [
    "example.com",
    "localhost.evil.com",
    "evil.com:8080",
    "10.0.0.1",
    "[2001:db8::1]",
    "localhost@evil.com",
    "",
]


@pytest.mark.parametrize("host", LOOPBACK_HOSTS)
async def test_loopback_host_is_local_admin(local_engine: RunningApp, host: str) -> None:
    async with local_engine.client() as client:
        answer = await client.get("/auth/me", headers={"Host": host})
    assert answer.json()["role"] == "admin"
    assert answer.json()["id"] == "local"


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
@pytest.mark.promise("authorised")
async def test_local_mode_rejects_foreign_host_names(local_engine: RunningApp, host: str) -> None:
    """DNS rebinding: the host name of a web page, resolved to 127.0.0.1."""
    async with local_engine.client() as client:
        check_problem(await client.get("/auth/me", headers={"Host": host}), 401)


@pytest.mark.parametrize("peer", ["10.0.0.7", "192.168.1.2", "2001:db8::7", "::ffff:10.0.0.7"])
@pytest.mark.promise("authorised")
async def test_local_mode_rejects_remote_clients(local_engine: RunningApp, peer: str) -> None:
    async with local_engine.client(peer=peer, host="localhost") as client:
        check_problem(await client.get("/auth/me"), 401)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
async def test_local_mode_accepts_every_loopback_address(local_engine: RunningApp, peer: str) -> None:
    async with local_engine.client(peer=peer, host="localhost") as client:
        assert (await client.get("/auth/me")).status_code == 200


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Anything"])
@pytest.mark.promise("authorised")
async def test_local_mode_rejects_forwarded_requests(local_engine: RunningApp, header: str) -> None:
    async with local_engine.client(host="localhost") as client:
        check_problem(await client.get("/auth/me", headers={header: "127.0.0.1"}), 401)


@pytest.mark.parametrize("origin", ["https://evil.com", "null", "http://localhost:3000", "http://localhost.evil.com"])
@pytest.mark.promise("authorised")
async def test_local_mode_rejects_foreign_origins(local_engine: RunningApp, origin: str) -> None:
    async with local_engine.client(host="localhost:8080") as client:
        check_problem(await client.get("/auth/me", headers={"Origin": origin}), 403)


async def test_local_mode_accepts_same_origin(local_engine: RunningApp) -> None:
    async with local_engine.client(host="localhost:8080") as client:
        answer = await client.get("/auth/me", headers={"Origin": "http://localhost:8080"})
    assert answer.status_code == 200


async def test_invalid_token_does_not_become_local_admin(local_engine: RunningApp) -> None:
    async with local_engine.client("nonsense", host="localhost") as client:
        check_problem(await client.get("/auth/me"), 401)


@pytest.mark.promise("authorised")
async def test_remote_client_can_not_register_first_admin(local_engine: RunningApp) -> None:
    async with local_engine.client(peer="10.0.0.7", host="localhost") as client:
        answer = await client.post("/auth/register/register", json={"email": "a@b.example", "password": PASSWORD})
    check_problem(answer, 401)


@pytest.mark.promise("safe-defaults")
async def test_loopback_is_anonymous_outside_local_mode(tmp_path: Path) -> None:
    async with run_app(make_settings(tmp_path)) as engine, engine.client(host="localhost") as client:
        check_problem(await client.get("/auth/me"), 401)
        check_problem(
            await client.post("/agent/chat", json={"messages": [{"role": "user", "content": "List pods"}]}), 401
        )


OTHER_UID = 54_321
needs_root = pytest.mark.skipif(os.geteuid() != 0 or not hasattr(socket, "AF_NETLINK"), reason="needs root on Linux")


def request_as_other_account(port: int, *headers: str, path: str = "/api/v1/auth/me", reads: str = "cat <&3") -> str:
    """Send a request as another account of this machine and return the response."""
    lines = "".join(f"{line}\\r\\n" for line in (f"GET {path} HTTP/1.1", f"Host: localhost:{port}", *headers))
    script = f"exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{lines}Connection: close\\r\\n\\r\\n' >&3; {reads}"
    account = {"user": OTHER_UID, "group": OTHER_UID}
    return subprocess.check_output(["/bin/bash", "-c", script], timeout=60, **account).decode()


@needs_root
@pytest.mark.promise("authorised")
async def test_other_accounts_of_the_machine_need_the_key(local_engine: RunningApp) -> None:
    key = derive_local_key(local_engine.settings.secret)
    async with serve_on_port(local_engine.app) as address, httpx.AsyncClient(base_url=address) as own:
        assert (await own.get("/auth/me")).json()["id"] == "local"
        port = own.base_url.port or 0

        async def ask(*headers: str, path: str = "/api/v1/auth/me") -> str:
            return await asyncio.to_thread(request_as_other_account, port, *headers, path=path)

        refused = await ask()
        assert " 401 " in refused.partition("\r\n")[0]
        assert "another account of this machine" in refused
        assert '"id":"local"' in await ask(f"Authorization: Bearer {key}")
        assert " 401 " in await ask(f"Authorization: Bearer {key[:-1]}0")
        signed_in = await ask(path=f"/?key={key}")
        assert " 303 " in signed_in.partition("\r\n")[0]
        cookie = next(line for line in signed_in.splitlines() if line.lower().startswith("set-cookie: local_key="))
        value = cookie.partition(": ")[2].partition(";")[0]
        assert '"id":"local"' in await ask(f"Cookie: {value}")
        assert "local_key" not in await ask(path="/?key=wrong")


@pytest.mark.promise("secrets")
async def test_start_takes_the_data_folder_from_others(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with run_app(make_settings(folder, local_mode=True)):
        pass
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    async with run_app(make_settings(folder, local_mode=True)):
        modes = {path.name: path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())}
    assert len(modes) > 1
    assert set(modes.values()) == {0}
