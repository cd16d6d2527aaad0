"""The chat completions endpoint: streams, errors and requests that it refuses."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from skyflo_common.jsontypes import JsonObject
from skyflo_sandbox.clock import SystemClock
from skyflo_sandbox.model.app import BODY_BYTES, create_model
from skyflo_sandbox.model.markdown import SIGNATURE

CHAT = "/v1/chat/completions"
TOOLS = [{"type": "function", "function": {"name": "k8s_get", "parameters": {}}}]


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_model(SystemClock(), pace=0))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client


def asking(said: str, **others: object) -> dict[str, object]:
    return {"model": "sandbox", "messages": [{"role": "user", "content": said}], **others}


def events(text: str) -> list[JsonObject]:
    """Parse the chunks of a stream and check that it ends with `[DONE]`."""
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


async def test_streamed_text_equals_the_whole_answer(http: httpx.AsyncClient) -> None:
    whole = (await http.post(CHAT, json=asking("hello"))).json()
    response = await http.post(CHAT, json=asking("hello", stream=True))
    assert response.headers["content-type"].startswith("text/event-stream")
    completion_chunks = events(response.text)
    deltas = [chunk["choices"][0]["delta"] for chunk in completion_chunks]
    text = "".join(delta.get("content", "") for delta in deltas)
    assert text == whole["choices"][0]["message"]["content"]
    assert text.endswith(SIGNATURE)
    assert len(deltas) > 50
    assert completion_chunks[-1]["choices"][0]["finish_reason"] == "stop" == whole["choices"][0]["finish_reason"]
    assert {chunk["id"] for chunk in completion_chunks} == {whole["id"]}


async def test_tool_calls_are_streamed_as_deltas(http: httpx.AsyncClient) -> None:
    asked = asking("list pods in shop", tools=TOOLS, stream=True, stream_options={"include_usage": True})
    *completion_chunks, last = events((await http.post(CHAT, json=asked)).text)
    deltas = [delta for chunk in completion_chunks for delta in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert deltas[0]["function"]["name"] == "k8s_get"
    assert deltas[0]["id"].startswith("call_")
    arguments = json.loads("".join(delta["function"]["arguments"] for delta in deltas))
    assert arguments == {"kind": "pods", "limit": 500, "namespace": "shop"}
    assert completion_chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"] > 0


async def test_same_request_gets_the_same_answer(http: httpx.AsyncClient) -> None:
    asked = asking("why is checkout failing?", tools=TOOLS)
    first, second = [(await http.post(CHAT, json=asked)).json() for _ in range(2)]
    assert first["choices"] == second["choices"]
    assert first["id"] == second["id"]


async def test_content_may_be_a_list_of_parts(http: httpx.AsyncClient) -> None:
    parts = [
        {"type": "text", "text": "list pods"},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "in shop"},
    ]
    asked = {"model": "sandbox", "messages": [{"role": "user", "content": parts}], "tools": TOOLS}
    message = (await http.post(CHAT, json=asked)).json()["choices"][0]["message"]
    assert json.loads(message["tool_calls"][0]["function"]["arguments"])["namespace"] == "shop"


async def test_model_is_listed(http: httpx.AsyncClient) -> None:
    assert [model["id"] for model in (await http.get("/v1/models")).json()["data"]] == ["sandbox"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (json.dumps({"model": "sandbox", "messages": []}).encode(), 400),
        (json.dumps({"model": "sandbox"}).encode(), 400),
        (json.dumps({"model": "sandbox", "messages": [{"role": "wizard", "content": "x"}]}).encode(), 400),
        (json.dumps({"model": "sandbox", "messages": [{"role": "user", "content": "x"}] * 4_001}).encode(), 400),
        (json.dumps(asking("x", n=2)).encode(), 400),
        (json.dumps(asking("x", tools="all")).encode(), 400),
        (json.dumps(asking("x") | {"model": "gpt-4"}).encode(), 404),
        (b'"' + b"x" * BODY_BYTES + b'"', 413),
    ],
)
async def test_invalid_request_gets_an_openai_error(http: httpx.AsyncClient, body: bytes, status: int) -> None:
    response = await http.post(CHAT, content=body)
    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.json()["error"]["message"]


async def test_other_paths_and_methods_are_refused(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/embeddings")).status_code == 404
    assert (await http.get(CHAT)).status_code == 405
    assert "error" in (await http.post("/")).json()


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example.org"}, {"host": "127.0.0.1.evil.org"}, {"origin": "http://127.0.0.1"}, {"host": ""}],
)
async def test_request_from_a_web_page_is_refused(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    response = await http.post(CHAT, json=asking("hello"), headers=headers)
    assert response.status_code == 403
    assert "error" in response.json()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:80", "LOCALHOST:1"])
async def test_loopback_hosts_are_accepted(http: httpx.AsyncClient, host: str) -> None:
    assert (await http.get("/v1/models", headers={"host": host})).status_code == 200
