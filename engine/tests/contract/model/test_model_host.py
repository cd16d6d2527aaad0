"""How the host of a model is reached: through proxies, with credentials in its URL, on kept connections."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from src.api.adapters.model.catalog import ModelCatalog
from src.api.adapters.model.host import tls_context
from src.api.adapters.model.openai import ModelTimeouts, OpenAIModel, OpenAISettings
from src.api.errors import ModelRefused, ModelUnavailable
from src.api.ports import ChatMessage, ModelRequest, TextDelta
from tests.support.certificates import Certificate, create_certificate
from tests.support.waiting import PATIENCE

ANSWER = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Ok."}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass(slots=True)
class Peer:
    """A host or a proxy: it answers every request, or closes the connection when `answers` is used up.

    `kept` is for how many requests it keeps a connection.
    """

    tls: ssl.SSLContext | None = None
    port: int = 0
    answers: int = 100
    kept: int = 100
    connections: int = 0
    requests: list[dict[bytes, bytes]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            for _ in range(self.kept):
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).rstrip().split(b"\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
                if first.startswith(b"CONNECT "):
                    self.requests.append({b"": first, **headers})
                    await self._tunnel(int(first.split()[1].partition(b":")[2]), reader, writer)
                    return
                await reader.readexactly(int(headers[b"content-length"]))
                self.requests.append({b"": first, **headers})
                if len(self.requests) > self.answers:
                    return
                head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(ANSWER)}\r\n\r\n"
                writer.write(head.encode() + ANSWER)
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()

    async def _tunnel(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(_pipe(reader, other_writer), _pipe(other_reader, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def open_peer(tls: ssl.SSLContext | None = None, **settings: int) -> AsyncIterator[Peer]:
    peer = Peer(tls, **settings)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@asynccontextmanager
async def open_model(url: str) -> AsyncIterator[OpenAIModel]:
    model = OpenAIModel(OpenAISettings("sk-scripted", url, ModelTimeouts(PATIENCE, PATIENCE, PATIENCE)), ModelCatalog())
    try:
        yield model
    finally:
        await model.aclose()


async def ask(model: OpenAIModel) -> str:
    request = ModelRequest("openai/m", [ChatMessage("user", "How is the cluster?")])
    return "".join([chunk.text async for chunk in model.stream(request) if isinstance(chunk, TextDelta)])


@pytest.mark.parametrize(
    ("variables", "goes_through"),
    [
        ({"HTTP_PROXY": "http://127.0.0.1:{port}"}, True),
        ({"http_proxy": "127.0.0.1:{port}"}, True),
        ({"ALL_PROXY": "http://127.0.0.1:{port}"}, True),
        ({"HTTPS_PROXY": "http://127.0.0.1:{port}"}, False),
        ({"HTTP_PROXY": "http://127.0.0.1:{port}", "NO_PROXY": "models.example"}, True),
        ({"HTTP_PROXY": "http://127.0.0.1:{port}", "NO_PROXY": "localhost,127.0.0.1"}, False),
    ],
)
async def test_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], goes_through: bool
) -> None:
    async with open_peer() as host, open_peer() as proxy:
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(port=proxy.port))
        async with open_model(f"http://127.0.0.1:{host.port}/v1") as model:
            assert await ask(model) == "Ok."
    path = b"/v1/chat/completions"
    whole = b"http://127.0.0.1:%d%b" % (host.port, path)
    assert [request[b""].split()[1] for request in proxy.requests] == ([whole] if goes_through else [])
    assert [request[b""].split()[1] for request in host.requests] == ([] if goes_through else [path])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return create_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Certificate]:
    """A certificate whose authority the environment names."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    tls_context.cache_clear()
    yield certificate
    tls_context.cache_clear()


@pytest.mark.parametrize("is_proxied", [False, True])
async def test_encrypted_host_is_reached_directly_and_through_a_proxy(
    trusted: Certificate, monkeypatch: pytest.MonkeyPatch, is_proxied: bool
) -> None:
    async with open_peer(trusted.context()) as host, open_peer() as proxy:
        if is_proxied:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with open_model(f"https://127.0.0.1:{host.port}/v1") as model:
            assert [await ask(model) for _ in range(2)] == ["Ok."] * 2
    assert host.requests[0][b"authorization"] == b"Bearer sk-scripted"
    tunnels = [request for request in proxy.requests if b"authorization" not in request]
    assert [request[b""].split()[0] for request in tunnels] == ([b"CONNECT"] if is_proxied else [])


@pytest.mark.promise("secrets")
async def test_host_with_a_certificate_of_nobody_gets_no_key(certificate: Certificate) -> None:
    async with open_peer(certificate.context()) as host, open_model(f"https://127.0.0.1:{host.port}/v1") as model:
        with pytest.raises(ModelUnavailable, match="Certificate"):
            await ask(model)
    assert host.requests == []


async def test_proxy_with_a_password_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_peer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://ann:p%40ss@127.0.0.1:{proxy.port}")
        async with open_model("http://models.example/v1") as model:
            await ask(model)
    assert proxy.requests[0][b"proxy-authorization"] == b"Basic YW5uOnBAc3M="
    assert proxy.requests[0][b"authorization"] == b"Bearer sk-scripted"


async def test_proxy_of_another_kind_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://ann:secret@127.0.0.1:9")
    async with open_model("http://models.example/v1") as model:
        with pytest.raises(ModelRefused, match="a socks5 proxy") as raised:
            await ask(model)
    assert "secret" not in str(raised.value)


async def test_credentials_in_the_url_replace_the_key_and_stay_out_of_errors() -> None:
    async with open_peer(answers=1) as host, open_model(f"http://ann:p%40ss@127.0.0.1:{host.port}/v1") as model:
        await ask(model)
        with pytest.raises(ModelUnavailable) as raised:
            await ask(model)
    assert host.requests[0][b"authorization"] == b"Basic YW5uOnBAc3M="
    assert "p%40ss" not in str(raised.value)
    assert f"127.0.0.1:{host.port}" in str(raised.value)


async def test_connection_that_the_host_has_closed_is_not_used_again() -> None:
    """Every answer is followed at once by the next request."""
    async with open_peer(kept=1) as host, open_model(f"http://127.0.0.1:{host.port}/v1") as model:
        assert [await ask(model) for _ in range(50)] == ["Ok."] * 50
    assert len(host.requests) == 50


async def test_connection_is_kept() -> None:
    async with open_peer() as host, open_model(f"http://127.0.0.1:{host.port}/v1") as model:
        assert [await ask(model) for _ in range(3)] == ["Ok."] * 3
    assert host.connections == 1


@pytest.mark.parametrize("answered", [0, 1])
async def test_request_is_sent_once_when_the_host_does_not_answer(answered: int) -> None:
    """On a new connection, and on a kept one."""
    async with open_peer(answers=answered) as host, open_model(f"http://127.0.0.1:{host.port}/v1") as model:
        for _ in range(answered):
            await ask(model)
        with pytest.raises(ModelUnavailable):
            await ask(model)
    assert len(host.requests) == answered + 1
