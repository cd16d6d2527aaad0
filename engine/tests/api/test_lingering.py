"""Answers that do not wait for the whole request: they come at once, arrive in full, and end the connection."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from src.api.middleware import body, lingering
from tests.support.app import BASE, Running, on_a_port
from tests.support.waiting import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("bounded")]

JSON = "Host: localhost\r\nContent-Type: application/json\r\n"
HEAD = f"POST {BASE}/agent/chat HTTP/1.1\r\n{JSON}"
TEN_MEGABYTES = 10 * 1024 * 1024
DECLARED = f"{HEAD}Content-Length: {TEN_MEGABYTES}\r\n"
CHUNK = b"10000\r\n" + b" " * 65_536 + b"\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port(local_engine: Running) -> AsyncIterator[int]:
    async with on_a_port(local_engine.app) as address:
        yield int(address.rpartition(":")[2].partition("/")[0])


def everything(port: int, *pieces: bytes) -> bytes:
    """What a client gets that sends all it has before it looks, as most libraries do."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        for piece in pieces:
            connection.sendall(piece)
        answer = b""
        while data := connection.recv(65_536):
            answer += data
        return answer


async def refused(port: int, head: str, sent: bytes = b"x") -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """The answer, by its own length, and the connection, on which the request has not ended."""
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
async def test_who_sends_everything_before_looking_gets_the_answer(
    port: int, head: str, pieces: list[bytes], status: bytes, closing: str
) -> None:
    answer = await asyncio.to_thread(everything, port, f"{head}{closing}\r\n".encode(), *pieces)
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert b"connection: close" in answer
    assert answer.endswith(b"}")


async def test_the_answer_waits_for_nothing(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "MOST_SECONDS", PATIENCE * 9)
    monkeypatch.setattr(lingering, "MOST_SILENCE", PATIENCE * 9)
    answer, _, writer = await refused(port, DECLARED)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413")


async def test_who_waits_to_be_asked_is_not_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "MOST_SECONDS", PATIENCE * 9)
    monkeypatch.setattr(lingering, "MOST_SILENCE", PATIENCE * 9)
    answer, reader, writer = await refused(port, f"{DECLARED}Expect: 100-continue\r\n", b"")
    async with asyncio.timeout(PATIENCE):
        assert await reader.read() == b""
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("bound", ["MOST_SECONDS", "MOST_SILENCE"])
async def test_who_neither_sends_nor_leaves_is_let_go(port: int, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    for each in ("MOST_SECONDS", "MOST_SILENCE"):
        monkeypatch.setattr(lingering, each, 0.05 if each == bound else PATIENCE * 9)
    _, reader, writer = await refused(port, DECLARED)
    async with asyncio.timeout(PATIENCE):
        assert await reader.read() == b""
    writer.close()


async def test_who_never_ends_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "MOST_BYTES", 2_000_000)
    _, _, writer = await refused(port, f"{HEAD}Transfer-Encoding: chunked\r\n", CHUNK * 17)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await endless(writer)
    writer.close()


async def endless(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(CHUNK)
        await writer.drain()


async def test_a_request_behind_a_refused_one_reaches_nobody(port: int) -> None:
    hidden = f"GET {BASE}/auth/me HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    body_and_more = b" " * 2_000_000 + hidden
    head = f"{HEAD}Content-Length: 2000000\r\n\r\n".encode()
    answer = await asyncio.to_thread(everything, port, head, body_and_more)
    assert answer.count(b"HTTP/1.1") == 1
    assert b'"id":"local"' not in answer


async def test_a_body_that_trickles_in_is_waited_for_a_while(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MOST_SECONDS", 0.05)
    answer, _, writer = await refused(port, f"{HEAD}Content-Length: 200\r\n", b"{")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"too_slow"' in answer


async def test_a_request_that_was_read_leaves_its_connection_open(port: int) -> None:
    _, reader, writer = await refused(port, f"{HEAD}Content-Length: 2\r\n", b"{}")
    writer.write(f"GET {BASE}/health HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
