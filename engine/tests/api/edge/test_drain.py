"""Early refusals of request bodies: answered at once and completely, then the connection is closed."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from src.api.middleware import body, drain
from tests.support.app import BASE, RunningApp, serve_on_port
from tests.support.waiting import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("bounded")]

JSON = "Host: localhost\r\nContent-Type: application/json\r\n"
HEAD = f"POST {BASE}/agent/chat HTTP/1.1\r\n{JSON}"
TEN_MEGABYTES = 10 * 1024 * 1024
DECLARED = f"{HEAD}Content-Length: {TEN_MEGABYTES}\r\n"
CHUNK = b"10000\r\n" + b" " * 65_536 + b"\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port(local_engine: RunningApp) -> AsyncIterator[int]:
    async with serve_on_port(local_engine.app) as address:
        yield int(address.rpartition(":")[2].partition("/")[0])


def exchange_all(port: int, *pieces: bytes) -> bytes:
    """Send the whole request before reading, as most HTTP clients do."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        for piece in pieces:
            connection.sendall(piece)
        answer = b""
        while data := connection.recv(65_536):
            answer += data
        return answer


async def send_refused(
    port: int, head: str, sent: bytes = b"x"
) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """Send part of a request; return the response and the connection, which is still open for the rest."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{head}\r\n".encode() + sent)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return answer + await reader.readexactly(length), reader, writer


@pytest.mark.parametrize("closing", ["", "Connection: keep-alive\r\n"])
@pytest.mark.parametrize(
    ("head", "pieces", "status"),
    [
        (DECLARED, [b" " * TEN_MEGABYTES], b"413"),
        (f"{HEAD}Transfer-Encoding: chunked\r\n", [*[CHUNK] * 160, b"0\r\n\r\n"], b"413"),
        (f"{DECLARED}Origin: https://evil.example\r\n", [b" " * TEN_MEGABYTES], b"403"),
        (DECLARED.replace(" HTTP", f"?{'x' * 9_000} HTTP", 1), [b" " * TEN_MEGABYTES], b"414"),
    ],
    ids=["a length", "chunks", "a foreign page", "a long address"],
)
async def test_client_that_sends_whole_body_first_gets_answer(
    port: int, head: str, pieces: list[bytes], status: bytes, closing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "MAX_SECONDS", PATIENCE * 9)
    monkeypatch.setattr(drain, "MAX_IDLE_SECONDS", PATIENCE * 9)
    answer = await asyncio.to_thread(exchange_all, port, f"{head}{closing}\r\n".encode(), *pieces)
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert b"connection: close" in answer
    assert answer.endswith(b"}")


async def test_refusal_is_answered_at_once(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "MAX_SECONDS", PATIENCE * 9)
    monkeypatch.setattr(drain, "MAX_IDLE_SECONDS", PATIENCE * 9)
    answer, _, writer = await send_refused(port, DECLARED)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413")


async def test_client_waiting_for_continue_is_closed_at_once(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "MAX_SECONDS", PATIENCE * 9)
    monkeypatch.setattr(drain, "MAX_IDLE_SECONDS", PATIENCE * 9)
    answer, reader, writer = await send_refused(port, f"{DECLARED}Expect: 100-continue\r\n", b"")
    async with asyncio.timeout(PATIENCE):
        assert await reader.read() == b""
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("bound", ["MAX_SECONDS", "MAX_IDLE_SECONDS"])
async def test_idle_client_is_closed(port: int, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    for each in ("MAX_SECONDS", "MAX_IDLE_SECONDS"):
        monkeypatch.setattr(drain, each, 0.05 if each == bound else PATIENCE * 9)
    _, reader, writer = await send_refused(port, DECLARED)
    async with asyncio.timeout(PATIENCE):
        assert await reader.read() == b""
    writer.close()


async def test_endless_body_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "MAX_BYTES", 2_000_000)
    _, _, writer = await send_refused(port, f"{HEAD}Transfer-Encoding: chunked\r\n", CHUNK * 17)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await write_forever(writer)
    writer.close()


async def write_forever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(CHUNK)
        await writer.drain()


async def test_request_after_refused_body_is_not_processed(port: int) -> None:
    hidden = f"GET {BASE}/auth/me HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    body_and_more = b" " * 2_000_000 + hidden
    head = f"{HEAD}Content-Length: 2000000\r\n\r\n".encode()
    answer = await asyncio.to_thread(exchange_all, port, head, body_and_more)
    assert answer.count(b"HTTP/1.1") == 1
    assert b'"id":"local"' not in answer


async def test_slow_body_times_out(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MAX_SECONDS", 0.05)
    answer, _, writer = await send_refused(port, f"{HEAD}Content-Length: 200\r\n", b"{")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"too_slow"' in answer


async def test_fully_read_request_keeps_connection_open(port: int) -> None:
    _, reader, writer = await send_refused(port, f"{HEAD}Content-Length: 2\r\n", b"{}")
    writer.write(f"GET {BASE}/health HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
