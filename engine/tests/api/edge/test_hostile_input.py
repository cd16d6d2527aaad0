"""Malformed bytes, numbers and names: never a 5xx, and the engine keeps working."""

from typing import Any

import pytest

from tests.support.app import RunningApp

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
LOGIN = "/auth/jwt/login"
HELLO = b'{"messages":[{"role":"user","content":"hi"}]}'

ODD_REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", LOGIN, {"content": b"username=%ff%fe&password=x", "headers": FORM}),
    ("POST", LOGIN, {"content": b"\xff\xfe", "headers": FORM}),
    ("POST", LOGIN, {"content": b"username=a%00&password=x", "headers": FORM}),
    ("POST", LOGIN, {"content": b"&".join([b"a=b"] * 5_000), "headers": FORM}),
    ("POST", LOGIN, {"content": b"username=a&username=b&password=x", "headers": FORM}),
    ("POST", LOGIN, {"content": b"username=" + b"a" * 500_000 + b"&password=x", "headers": FORM}),
    ("POST", LOGIN, {"content": b"--x", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}),
    ("GET", "/conversations?cursor=%ff%fe", {}),
    ("GET", "/conversations?limit=1e2", {}),
    ("GET", "/conversations?limit=\u0661", {}),
    ("GET", "/conversations?cursor=%F0%9F%92%A9", {}),
    ("GET", "/conversations/%ff", {}),
    ("GET", "/conversations/..%2f..%2fetc", {}),
    ("GET", "/agent/approvals?status=everything", {}),
    ("GET", "/agent/runs?state=1&conversation_id=2", {}),
    ("GET", "/agent/runs/00000000-0000-0000-0000-000000000000/events?after=-0", {}),
    ("POST", "/agent/chat", {"content": HELLO, "headers": {**JSON, "Idempotency-Key": "\u00e9"}}),
    ("POST", "/agent/chat", {"content": HELLO, "headers": {**JSON, "Idempotency-Key": "x" * 201}}),
    ("POST", "/agent/chat", {"content": HELLO, "headers": {**JSON, "Idempotency-Key": " "}}),
    ("POST", "/agent/chat", {"content": HELLO.replace(b"hi", b"  "), "headers": JSON}),
    ("POST", "/agent/chat", {"content": HELLO.replace(b"user", b"assistant"), "headers": JSON}),
    ("POST", "/agent/chat", {"content": b"9" * 5_000, "headers": JSON}),
    ("POST", "/agent/chat", {"content": b"\xef\xbb\xbf" + HELLO, "headers": JSON}),
    ("POST", "/agent/chat", {"content": HELLO.decode().encode("utf-16"), "headers": JSON}),
    ("POST", "/conversations", {"content": b'{"title":"' + b"x" * 201 + b'"}', "headers": JSON}),
    ("POST", "/conversations", {"content": b'{"conversation_id":true}', "headers": JSON}),
    ("POST", "/agent/stop", {"content": b'{"conversation_id":null,"run_id":[]}', "headers": JSON}),
    ("PATCH", "/auth/me", {"content": b'{"full_name":{"$ne":1}}', "headers": JSON}),
    ("GET", "/health", {"headers": {"Cookie": "\xff=\xfe; auth_token"}}),
    ("GET", "/auth/me", {"headers": {"Authorization": "Bearer"}}),
    ("GET", "/auth/me", {"headers": {"Authorization": "Basic dXNlcjpwYXNz"}}),
    ("GET", "/auth/me", {"headers": {"Authorization": "Bearer \xff"}}),
    ("GET", "/auth/me", {"headers": {"Authorization": "Bearer " + "a." * 5_000}}),
    ("GET", "/auth/me", {"headers": {"Origin": "http://[::1"}}),
    ("GET", "/auth/me", {"headers": {"Host": "[::1"}}),
    ("GET", "/auth/me", {"headers": {"Host": "localhost:99999999999"}}),
]


@pytest.mark.parametrize(("method", "path", "options"), ODD_REQUESTS, ids=[f"{n}" for n in range(len(ODD_REQUESTS))])
async def test_odd_request_is_no_server_error(
    local_engine: RunningApp, method: str, path: str, options: dict[str, Any]
) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in options.pop("headers", {}).items()]
    async with local_engine.client(host="localhost") as client:
        answer = await client.request(method, path, headers=headers, **options)
        assert (await client.get("/auth/me")).status_code == 200
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    "value", ["1" + "0" * 30, "1e999", "NaN", "-0.0", '"\\ud800"', "[" * 60 + "]" * 60, '{"\\ud83d\\ude00":1}']
)
async def test_odd_metadata_is_stored_or_refused(local_engine: RunningApp, value: str) -> None:
    async with local_engine.client(host="localhost") as client:
        made = (await client.post("/conversations", json={})).json()["id"]
        body = f'{{"conversation_metadata":{{"a":{value}}}}}'.encode()
        answer = await client.patch(f"/conversations/{made}", content=body, headers=JSON)
        read = await client.get(f"/conversations/{made}")
    assert answer.status_code < 500, answer.text
    assert read.status_code == 200
