"""HTTP on a real connection: ambiguous framing is refused, and every response has the security headers."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.app import (
    BASE,
    RunningApp,
    check_problem,
    log_in,
    make_settings,
    register_user,
    run_app,
    serve_on_port,
)
from tests.support.services import PROJECT

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("bounded")]

TIMEOUT_SECONDS = 30
HEAD = f"POST {BASE}/agent/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
}
OPERATIONS = [
    (method.upper(), path.removeprefix(BASE))
    for path, methods in json.loads((PROJECT / "docs" / "openapi.json").read_text())["paths"].items()
    for method in methods
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def remote_engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningApp]:
    """An engine outside local mode."""
    async with run_app(make_settings(tmp_path_factory.mktemp("data"), registration_enabled=True)) as engine:
        yield engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port(local_engine: RunningApp) -> AsyncIterator[int]:
    async with serve_on_port(local_engine.app) as address:
        yield int(address.rpartition(":")[2].partition("/")[0])


async def send(port: int, *pieces: bytes) -> tuple[bytes, bool]:
    """Send bytes without ending the request; return the response, and whether the connection was closed after it."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            rest = await reader.read() if b"connection: close" in answer.lower() else b""
            return answer + rest, bool(rest)
        except (BrokenPipeError, ConnectionResetError):
            return b"", True
        finally:
            writer.close()


async def test_declared_oversized_body_is_refused_by_header(port: int) -> None:
    answer, closed = await send(port, f"{HEAD}Content-Length: 10485760\r\nExpect: 100-continue\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer
    assert closed


async def test_chunked_oversized_body_is_refused_early(port: int) -> None:
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    answer, closed = await send(port, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode(), *[chunk] * 17)
    assert closed
    assert answer.startswith(b"HTTP/1.1 413")


SMUGGLED_REQUEST = f"GET {BASE}/auth/me HTTP/1.1\r\nHost: localhost\r\n\r\n"
FRAMINGS = {
    "two lengths": "Content-Length: 2\r\nContent-Length: 60\r\n\r\n{}",
    "a length beside chunks": f"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED_REQUEST}",
    "chunks beside a length": f"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{SMUGGLED_REQUEST}",
    "a space before the colon": f"Content-Length : 2\r\n\r\n{{}}{SMUGGLED_REQUEST}",
    "another coding": f"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{SMUGGLED_REQUEST}",
    "a negative length": "Content-Length: -1\r\n\r\n{}",
    "a length that is none": "Content-Length: 2, 60\r\n\r\n{}",
    "a folded header": f"Content-Length: 2\r\n Transfer-Encoding: chunked\r\n\r\n{{}}{SMUGGLED_REQUEST}",
    "headers without end": "X-Long: " + "x" * 200_000 + "\r\n\r\n",
    "many headers": "".join(f"X-{n}: {'y' * 50}\r\n" for n in range(5_000)) + "\r\n",
}


@pytest.mark.parametrize("name", FRAMINGS)
async def test_ambiguous_framing_is_refused(port: int, name: str) -> None:
    answer, _ = await send(port, (HEAD + FRAMINGS[name]).encode())
    assert answer[9:12] in (b"400", b"413", b"501", b"")
    assert b'"id":"local"' not in answer


async def test_malformed_request_line_is_refused(port: int) -> None:
    for line in (
        b"G\x00T / HTTP/1.1",
        b"GET  /  HTTP/1.1",
        b"\x16\x03\x01\x02\x00",
        b"GET / path HTTP/1.1",
    ):
        answer, _ = await send(port, line + b"\r\nHost: localhost\r\n\r\n")
        assert answer[9:12] == b"400", line


@pytest.mark.promise("bounded")
async def test_bodies_of_too_many_parts_are_refused(local_engine: RunningApp) -> None:
    """Parsing and validating them would keep the event loop from other requests."""
    text = {"tool": "no_such_tool", "args": {"manifests": '[{"a": 1}, "b"],\\' * 10_000}}
    async with local_engine.client(host="localhost") as client:
        for part in (b"[],", b"{},", b"1,", b'"a",', b'"" '):
            body = b'{"title":[' + part * 50_000 + b"1]}"
            answer = await client.post("/conversations", content=body, headers={"Content-Type": "application/json"})
            assert "strings, commas and brackets" in check_problem(answer, 413)["detail"], part
        form = await client.post("/auth/jwt/login", data={f"k{number}": "%" for number in range(10_000)})
        check_problem(form, 413)
        check_problem(await client.post("/policy/explain", json=text), 404)


async def test_long_query_is_refused(local_engine: RunningApp) -> None:
    async with local_engine.client(host="localhost") as client:
        check_problem(await client.get("/conversations?query=" + "x" * 9_000), 414)
        check_problem(await client.get("/health?" + "&".join(["a"] * 5_000)), 414)


@pytest.mark.parametrize(
    "body",
    [
        b'{"conversation_id":null,"conversation_id":null}',
        b'{"conversation_metadata":{"a":1,"a":2}}',
        b'{"title":"x","other":1}',
        b'{"title":"x","Title":"y"}',
    ],
)
async def test_duplicate_and_unknown_fields_are_refused(local_engine: RunningApp, body: bytes) -> None:
    async with local_engine.client(host="localhost") as client:
        answer = await client.post("/conversations", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text


@pytest.mark.parametrize("wrong", [{"approve": 1}, {"approve": "true"}, {"digset": "x"}, {"reason": 3}, {"args": []}])
async def test_decision_fields_are_validated_strictly(local_engine: RunningApp, wrong: dict[str, object]) -> None:
    call = "01a20388-5707-772c-ab92-c81792db8efa"
    async with local_engine.client(host="localhost") as client:
        answer = await client.post(
            f"/agent/approvals/{call}", json={"approve": False, "conversation_id": call, **wrong}
        )
    check_problem(answer, 422)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_trailing_slash_makes_no_difference(remote_engine: RunningApp, method: str, path: str) -> None:
    """Every response, whatever its status, has the security headers."""
    async with remote_engine.client() as client:
        plain, slashed = [
            await client.request(method, f"{path.replace('{', '').replace('}', '')}{end}") for end in ("", "/")
        ]
    assert plain.status_code == slashed.status_code
    assert not plain.is_redirect
    assert SECURITY_HEADERS.items() <= dict(plain.headers).items()
    assert plain.headers["cache-control"] == "no-store"


async def test_errors_have_security_headers(remote_engine: RunningApp) -> None:
    async with remote_engine.client() as client:
        answers = [
            await client.get("/nothing"),
            await client.put("/agent/chat"),
            await client.options("/conversations"),
            await client.post("/conversations", content=b"x" * 2_000_000),
            await client.post("/conversations", content=b"x", headers={"Content-Type": "text/plain"}),
            await client.get("/conversations/%00"),
        ]
    assert [answer.status_code for answer in answers] == [404, 405, 405, 413, 415, 400]
    for answer in answers:
        check_problem(answer, answer.status_code)
        assert SECURITY_HEADERS.items() <= dict(answer.headers).items()
    assert [answers[index].headers["allow"] for index in (1, 2)] == ["POST", "GET, POST"]


async def test_streams_have_security_headers(local_engine: RunningApp) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}]}
    async with local_engine.client(host="localhost") as client:
        answer = await client.post("/agent/chat", json=body)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache"
    assert SECURITY_HEADERS.items() <= dict(answer.headers).items()


async def test_https_sends_strict_transport_security(remote_engine: RunningApp) -> None:
    async with remote_engine.client() as client:
        answer = await client.get("/health", extensions={}, headers={})
        secure = await client.get(f"https://testserver{BASE}/health")
    assert "strict-transport-security" not in answer.headers
    assert "max-age=" in secure.headers["strict-transport-security"]


@pytest.mark.promise("authorised")
async def test_foreign_origin_can_neither_log_in_nor_use_cookie(remote_engine: RunningApp) -> None:
    """The origin check applies outside local mode too."""
    evil = {"Origin": "https://evil.example"}
    async with remote_engine.client() as client:
        await register_user(client, "ana@example.com")
        token = await log_in(client, "ana@example.com")
        client.cookies.clear()
        cookie = {"Cookie": f"auth_token={token}"}
        form = {"username": "ana@example.com", "password": "x"}
        check_problem(await client.post("/auth/jwt/login", data=form, headers=evil), 403)
        for method, path in (
            ("POST", "/conversations"),
            ("PATCH", "/auth/me"),
            ("POST", "/auth/logout"),
            ("DELETE", "/auth/tokens/x"),
        ):
            check_problem(await client.request(method, path, json={}, headers=cookie | evil), 403)
            check_problem(await client.request(method, path, json={}, headers=cookie | {"Origin": "null"}), 403)
        check_problem(await client.post("/auth/jwt/login", data=form, headers={"Origin": "http://testserver"}), 400)
        check_problem(await client.post("/conversations", data={"title": "x"}, headers=cookie), 415)
        assert (await client.post("/conversations", json={}, headers=cookie)).status_code == 200
