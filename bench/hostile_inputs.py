"""The worst inputs for an engine: bodies, requests, answers of a model and of tool servers."""

import http.client
import json
import random
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from urllib.parse import quote, urlencode
from uuid import uuid4

from bench.harness import API, CHAT
from bench.processes import ROOT, Process
from tests.support.model_script import Call, Reply, Rule, Script, Step, When

__all__ = ["HOSTILE_SCRIPT", "INPUTS", "SERVERS"]

Send = Callable[[Process], None]
LIMIT = 1_048_576
"""The longest body that the engine reads (`MAX_BODY_BYTES`)."""
TIMEOUT_SECONDS = 60
LARGE = 10_000_000
ENGINE = ROOT / "engine"

_TOOL_CASES = ("HugeText", "Repetitive", "ManyBlocks", "MostNumbers", "Blobs", "SlowPattern", "Deep", "Flood")
_LIST_CASES = ("HugeList", "HugeTool", "EndlessPages", "DeepList", "Schemas", "Storm")


def _server(case: str) -> dict[str, object]:
    return {
        "name": case.lower(),
        "command": sys.executable,
        "args": ["-m", "tests.support.hostile_mcp", case],
        "cwd": str(ENGINE),
        "env": {"PYTHONPATH": str(ENGINE)},
        "trusted": True,
    }


SERVERS = json.dumps([_server(case) for case in ("Plain", *_TOOL_CASES, *_LIST_CASES)])
"""`MCP_SERVERS` of the engine that is fed."""

# -- what a model answers


def _manifests() -> str:
    """Return about 900 KB of YAML with a Secret in each document."""
    document = (
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: s{0}}}\nstringData: {{a: 'canary {0}', b: [1, {{c: d}}]}}\n"
    )
    return "---\n".join(document.format(number) for number in range(9_000))


def _calls(user: str, *calls: Call, **step: object) -> Rule:
    reply = Reply(steps=[Step.model_validate({"calls": list(calls), **step})])
    return Rule(when=When(user=user, results=0), reply=reply)


def _apply(manifests: str) -> Call:
    return Call(name="k8s_apply", arguments={"manifests": manifests})


_TEXT = "word " * 200_000
_ANSWERS = (
    *("manifests", "aliases", "nested", "words", "deep call", "many calls"),
    *("one piece", "many pieces", "thinking", "bad answer"),
)
_DEEP = '{"a":' * 50_000 + "1" + "}" * 50_000
HOSTILE_SCRIPT = Script(
    rules=[
        *(_calls(f"^{case}$", Call(name=f"{case.lower()}__look", arguments={})) for case in _TOOL_CASES),
        _calls("^manifests$", _apply(_manifests())),
        _calls("^aliases$", _apply("a: &a [1,2,3]\n" + "b: [*a,*a,*a,*a,*a,*a,*a,*a]\n" * 30_000)),
        _calls("^nested$", _apply("[" * 400_000)),
        _calls("^words$", _apply("password: " * 90_000), pieces=20_000),
        _calls("^deep call$", Call(name="k8s_get", arguments=_DEEP)),
        _calls("^many calls$", *(Call(name="k8s_get", arguments={"kind": "pods"}) for _ in range(1_000))),
        Rule(when=When(user="^one piece$"), reply=Reply(steps=[Step(text=_TEXT, pieces=1)])),
        Rule(when=When(user="^many pieces$"), reply=Reply(steps=[Step(text=_TEXT, pieces=50_000)])),
        Rule(when=When(user="^thinking$"), reply=Reply(steps=[Step(thinking=_TEXT, pieces=20_000)])),
        Rule(when=When(user="^bad answer$"), reply=Reply(status=400, error={"error": {"message": _TEXT}})),
        Rule(reply=Reply(steps=[Step(text="Hello", pieces=1)])),
    ]
)

# -- requests


def _post(path: str, body: bytes, kind: str = "application/json") -> Send:
    return lambda engine: _request(engine, "POST", path, body, kind)


def _get(path: str) -> Send:
    return lambda engine: _request(engine, "GET", path, None, "application/json")


def _request(engine: Process, method: str, path: str, body: bytes | None, kind: str) -> None:
    """Send one request and read its response to the end, whatever it is."""
    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=TIMEOUT_SECONDS)
    with suppress(OSError, http.client.HTTPException):
        connection.request(method, f"{API}{path}", body, {"Content-Type": kind})
        connection.getresponse().read()
    connection.close()


def _chat(text: str) -> Send:
    return _post(CHAT.removeprefix(API), json.dumps({"messages": [{"role": "user", "content": text}]}).encode())


def _explain(manifests: str) -> Send:
    return _post("/policy/explain", _json({"tool": "k8s_apply", "args": {"manifests": manifests[: LIMIT - 200_000]}}))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _upload(engine: Process) -> None:
    """Send 10 MB without a declared length until the engine refuses it."""
    piece = f"{50_000:x}\r\n".encode() + b" " * 50_000 + b"\r\n"
    head = f"POST {API}/conversations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with suppress(OSError), socket.create_connection(("127.0.0.1", engine.port), TIMEOUT_SECONDS) as connection:
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(LARGE // 50_000):
            connection.sendall(piece)


def _open_feeds(engine: Process) -> None:
    """Open the live feed 19 times, read its snapshot, and leave."""
    opened = [http.client.HTTPConnection("127.0.0.1", engine.port, timeout=TIMEOUT_SECONDS) for _ in range(19)]
    with suppress(OSError, http.client.HTTPException):
        for each in opened:
            each.request("GET", f"{API}/events")
        for each in opened:
            each.getresponse().read(10)
    for each in opened:
        each.close()


def _open_run_streams(engine: Process) -> None:
    """Start a run and follow it a hundred times."""
    opened: list[http.client.HTTPConnection] = []
    with suppress(OSError, http.client.HTTPException):
        first = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=TIMEOUT_SECONDS)
        opened.append(first)
        body = _json({"messages": [{"role": "user", "content": "many pieces"}]})
        first.request("POST", CHAT, body, {"Content-Type": "application/json"})
        lines = first.getresponse()
        run = next(json.loads(line[6:])["run_id"] for line in lines if b'"run_id"' in line)
        for _ in range(100):
            connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=TIMEOUT_SECONDS)
            connection.request("GET", f"{API}/agent/runs/{run}/events")
            opened.append(connection)
        for connection in opened[1:20]:
            connection.getresponse().read(200_000)
    for connection in opened:
        connection.close()


def _read_everything(engine: Process) -> None:
    """Read the newest conversations, and export them."""
    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=TIMEOUT_SECONDS)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", f"{API}/conversations?limit=50")
        listed = json.loads(connection.getresponse().read())["data"]
        for each in random.sample(listed, min(5, len(listed))):
            for path in ("", "/export?format=json", "/export?format=markdown"):
                connection.request("GET", f"{API}/conversations/{each['id']}{path}")
                connection.getresponse().read()
    connection.close()


def _objects(count: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": "x"} for _ in range(count)]


_METADATA = {"conversation_metadata": dict.fromkeys(map(str, range(80_000)), "")}
_LOGIN = urlencode({"username": "nobody@example.com", "password": "wrong" * 20}).encode()

INPUTS: Mapping[str, Sequence[Send]] = {
    "bodies": (
        _upload,
        _post("/conversations", b'{"title":' + b"[" * 900_000),
        _post("/conversations", b'{"title":"' + b"\\\\" * 500_000 + b'"}'),
        _post("/conversations", b"[" + b"1," * 500_000 + b"1]"),
        _post("/conversations", b"[" + b"[]," * 300_000 + b"1]"),
        _post("/conversations", b"[" + b"{}," * 300_000 + b"1]"),
        _post("/conversations", _json({"title": "x" * 1_000_000})),
        _post("/conversations", _json({f"k{number}": number for number in range(60_000)})),
        _post("/agent/chat", _json({"messages": _objects(30_000)})),
        _post("/agent/chat", _json({"messages": _objects(1_000), "toolsets": ["a"] * 100_000})),
        lambda engine: _request(engine, "PATCH", f"/conversations/{uuid4()}", _json(_METADATA), "application/json"),
        _post("/auth/jwt/login", b"username=" + b"%41" * 300_000, "application/x-www-form-urlencoded"),
        _post("/auth/jwt/login", b"a=b&" * 250_000, "application/x-www-form-urlencoded"),
    ),
    "policy questions": (
        _explain(_manifests()),
        _explain("a: &a [1]\n" + "b: [*a,*a,*a,*a]\n" * 40_000),
        _explain("{" * 700_000),
        _explain("- " * 400_000),
        _explain("a: b\n" * 150_000),
        _explain('"' + "\\x41" * 200_000),
        _post("/policy/explain", _json({"tool": "k8s_patch", "args": {"patch": [{"op": "add"}] * 60_000}})),
        _post("/policy/explain", _json({"tool": "k8s_get", "args": {f"k{n}": n for n in range(50_000)}})),
    ),
    "logins, searches, exports": (
        _post("/auth/jwt/login", _LOGIN, "application/x-www-form-urlencoded"),
        _get(f"/conversations?query={quote('%_' * 100)}"),
        _get(f"/conversations?query={quote('word word')}"),
        _get("/analytics/metrics?last_n_days=3650"),
        _get("/agent/tools"),
        _get("/audit?limit=100"),
        _read_everything,
    ),
    "streams": (_open_feeds, _open_feeds, _open_run_streams),
    "model answers": tuple(_chat(text) for text in _ANSWERS),
    "tool results": tuple(_chat(case) for case in _TOOL_CASES),
}
"""The inputs by kind. Each is sent again and again, those of a kind at once."""
