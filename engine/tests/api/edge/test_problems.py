"""Invalid requests get a 4xx problem with a detail to act on."""

import asyncio
import json
import logging

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from src.api.middleware.drain import MAX_BYTES
from src.api.middleware.problems import ProblemRenderer
from src.api.services.tools.catalog import ToolCatalog
from tests.support.app import RunningApp, check_problem

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}
CHAT = b'{"messages":[{"role":"user","content":"hello"}]}'


async def post(engine: RunningApp, body: bytes, path: str = "/agent/chat", **headers: str) -> httpx.Response:
    async with engine.client(host="localhost") as client:
        return await client.post(path, content=body, headers={**JSON, **headers})


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b'{"messages":[', 422, "not valid JSON"),
        (b"\xff\xfe", 400, "not UTF-8"),
        (b'{"messages":[{"role":"user","content":"a\\u0000b"}]}', 400, "NUL"),
        (b"[" * 500 + b"]" * 500, 400, "nested"),
        (b"{}", 422, "messages"),
        (b'{"messages":[]}', 422, "messages"),
        (b'"text"', 422, "body"),
        (b'{"messages":[{"role":"user","content":3}]}', 422, "messages.0.content"),
        (b'{"messages":[{"role":"user","content":"\\ud800"}]}', 422, "messages.0.content"),
        (b'{"messages":[{"role":"user","content":"x"}],"conversation_id":"1"}', 422, "conversation_id"),
        (b'{"messages":[{"role":"user","content":"x"}],"on_busy":"now"}', 422, "on_busy"),
        (json.dumps({"messages": [{"role": "user", "content": "x" * 100_001}]}).encode(), 422, "100000"),
        (b"", 422, "body"),
    ],
)
async def test_invalid_body_is_refused_with_reason(
    local_engine: RunningApp, body: bytes, status: int, says: str
) -> None:
    assert says in check_problem(await post(local_engine, body), status)["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
@pytest.mark.promise("no-injection")
async def test_only_json_is_accepted(local_engine: RunningApp, kind: str) -> None:
    """Web pages can send these types across origins without a preflight."""
    answer = await post(local_engine, CHAT, **{"Content-Type": kind})
    assert "application/json" in check_problem(answer, 415)["detail"]


async def test_escaped_backslash_is_not_nul(local_engine: RunningApp) -> None:
    body = b'{"title":"a \\\\u0000 b"}'
    assert (await post(local_engine, body, "/conversations")).status_code == 200


@pytest.mark.promise("bounded")
async def test_oversized_body_is_refused_early(local_engine: RunningApp) -> None:
    read = 0

    async def endless():  # type: ignore[no-untyped-def]
        nonlocal read
        while True:
            read += 1
            yield b" " * 65_536

    async with local_engine.client(host="localhost") as client:
        declared = await client.post("/agent/chat", content=b"", headers={**JSON, "Content-Length": "99999999"})
        streamed = await client.post("/agent/chat", content=endless(), headers=JSON)
    assert "1048576" in check_problem(declared, 413)["detail"]
    check_problem(streamed, 413)
    assert read * 65_536 < MAX_BYTES + 2_000_000


async def test_wrong_content_length_does_not_bypass_limit(local_engine: RunningApp) -> None:
    async with local_engine.client(host="localhost") as client:
        answer = await client.post("/agent/chat", content=b" " * 2_000_000, headers={**JSON, "Content-Length": "-5"})
    check_problem(answer, 413)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("DELETE", "/agent/chat", 405),
        ("GET", "/conversations/not-a-uuid", 422),
        ("GET", "/conversations/" + "9" * 5_000, 422),
        ("GET", "/conversations?limit=0", 422),
        ("GET", "/conversations?limit=51", 422),
        ("GET", "/conversations?limit=9" + "9" * 400, 422),
        ("GET", "/conversations?cursor=%00", 400),
        ("GET", "/conversations?cursor=nonsense", 400),
        ("GET", "/conversations?cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTphYmM", 400),
        ("GET", "/conversations/%00", 400),
        ("GET", "/conversations/01a20388-5707-772c-ab92-c81792db8efa", 404),
    ],
)
async def test_invalid_url_is_refused(local_engine: RunningApp, method: str, path: str, status: int) -> None:
    async with local_engine.client(host="localhost") as client:
        check_problem(await client.request(method, path), status)


async def test_validation_error_does_not_echo_input(local_engine: RunningApp) -> None:
    answer = await post(local_engine, b'{"email":"x","password":"hunter2"}', "/auth/register/register")
    assert "hunter2" not in answer.text
    check_problem(answer, 422)


async def test_internal_error_is_logged_once_without_details_in_response(
    local_engine: RunningApp, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("of-the-inside")

    monkeypatch.setattr(ToolCatalog, "list", broken)
    async with local_engine.client(host="localhost") as client:
        answer = await client.get("/agent/tools")
    body = check_problem(answer, 500)
    assert "of-the-inside" not in answer.text
    faults = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(faults) == 1
    assert faults[0].exc_info
    assert body["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/health", "/health/", "/conversations", "/conversations/", "/conversations//"])
async def test_trailing_slash_is_accepted(local_engine: RunningApp, path: str) -> None:
    async with local_engine.client(host="localhost") as client:
        assert (await client.get(path)).status_code == 200


async def test_responses_have_headers_and_requests_are_logged(
    local_engine: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "skyflo.access")
    async with local_engine.client(host="localhost") as client:
        answer = await client.get("/conversations?query=secret-question", headers={"X-Request-ID": "mine-12345"})
        odd = await client.get("/nothing%0aelse", headers={"X-Request-ID": "a b\tc"})
    assert answer.headers["x-request-id"] == "mine-12345"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    lines = [record.getMessage() for record in caplog.records if record.name == "skyflo.access"]
    assert len(lines) == 2
    assert "status=200" in lines[0]
    assert "caller=local" in lines[0]
    assert "secret-question" not in lines[0]
    assert "\n" not in lines[1]
    assert odd.headers["x-request-id"] != "a b\tc"


async def test_request_that_a_stop_cuts_off_is_unavailable_and_not_an_internal_error() -> None:
    """uvicorn cancels what runs at the end of its grace period, and answers 500 to a request without a response."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    async def hang(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    scope = {"type": "http", "path": "/api/v1/agent/stop", "headers": []}
    request = asyncio.create_task(ProblemRenderer(hang, {})(scope, receive, send))
    await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert (sent[0]["status"], json.loads(sent[1]["body"])["code"]) == (503, "unavailable")
