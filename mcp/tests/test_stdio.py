"""The command `skyflo-mcp`: a plain server on standard input and output, as desktop clients start it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import yaml
from fastmcp.client import Client
from fastmcp.client.transports import StdioTransport
from server_process import running_server
from tool_client import TOKEN, ToolClient

from skyflo_common.jsontypes import JsonObject
from tests.support.services import Cluster

pytestmark = pytest.mark.processes

COMMAND = str(Path(sys.executable).with_name("skyflo-mcp"))
INITIALIZE: JsonObject = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}
SECONDS = 60


def environment(kubeconfig: Path, **changed: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SKYFLO_TOOLS_")}
    return inherited | {"KUBECONFIG": str(kubeconfig)} | changed


@asynccontextmanager
async def started(env: dict[str, str], *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        COMMAND, *options, env=env, stdin=pipe, stdout=pipe, stderr=pipe, limit=8 * 1024 * 1024
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def request(identifier: int, method: str, params: JsonObject) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": identifier, "method": method, "params": params})


async def converse(env: dict[str, str], lines: Sequence[str]) -> list[JsonObject]:
    """Write the lines and close the input at once. Returns what was printed: each line must be a message."""
    async with started(env) as process:
        text = "".join(f"{line}\n" for line in lines)
        printed, errors = await asyncio.wait_for(process.communicate(text.encode()), SECONDS)
        assert process.returncode == 0, errors
        messages = [json.loads(line) for line in printed.splitlines()]
        assert all(message["jsonrpc"] == "2.0" for message in messages)
        return messages


@pytest.mark.promise("no-approval-no-effect", "safe-defaults")
async def test_desktop_client_gets_reads_only(cluster: Cluster) -> None:
    transport = StdioTransport(COMMAND, [], env=environment(cluster.kubeconfig, CLUSTERS=cluster.context))
    async with Client(transport) as client:
        tools = await client.list_tools()
        assert "k8s_get" in {tool.name for tool in tools}
        assert all(tool.annotations is not None and tool.annotations.read_only_hint for tool in tools)
        box = ToolClient(client)
        assert "kube-system" in (await box.read("k8s_get", kind="namespaces")).text
        arguments: JsonObject = {"kind": "namespace", "name": "kube-system"}
        assert (await box.call("k8s_delete", arguments)).has_error("unknown_tool")


async def test_requests_before_the_end_of_input_are_answered(tmp_path: Path) -> None:
    calls = [request(at, "tools/call", {"name": "k8s_list_clusters", "arguments": {}}) for at in range(2, 12)]
    messages = await converse(
        environment(tmp_path / "none"),
        [
            request(1, "initialize", INITIALIZE),
            '{"jsonrpc": "2.0", "method": "notifications/initialized"}',
            *calls,
        ],
    )
    assert sorted(str(message["id"]) for message in messages) == sorted(str(at) for at in range(1, 12))
    assert all("result" in message for message in messages)


async def test_lines_that_are_no_messages_are_answered_and_survived(tmp_path: Path) -> None:
    broken = ["not JSON", "[]", '{"jsonrpc": "1.0", "id": 7}', '"' + "x" * (5 * 1024 * 1024) + '"', "\udcff\udcfe", ""]
    async with started(environment(tmp_path / "none")) as process:
        text = "\n".join([request(1, "initialize", INITIALIZE), *broken, request(2, "ping", {})])
        printed, _ = await asyncio.wait_for(process.communicate(text.encode(errors="surrogateescape")), SECONDS)
    messages = [json.loads(line) for line in printed.splitlines()]
    refused = [message["error"]["message"] for message in messages if message["id"] is None]
    assert len(refused) == len(broken) - 1
    assert refused.count("the message is longer than 4 MiB") == 1
    assert {message["id"] for message in messages if "result" in message} == {1, 2}


async def test_credential_plugin_can_neither_read_nor_write_the_protocol(tmp_path: Path) -> None:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh",
        "args": ["-c", "cat; echo noise; echo noise >&2"],
        "interactiveMode": "IfAvailable",
    }
    (tmp_path / "config").write_text(
        yaml.safe_dump(
            {
                "current-context": "one",
                "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
                "clusters": [{"name": "one", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "one", "user": {"exec": plugin}}],
            }
        )
    )
    calls = [request(at, "tools/call", {"name": "k8s_get", "arguments": {"kind": "pods"}}) for at in (2, 3)]
    messages = await converse(environment(tmp_path / "config"), [request(1, "initialize", INITIALIZE), *calls])
    assert {message["id"] for message in messages} == {1, 2, 3}


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signal_ends_it_in_order_while_the_input_is_open(tmp_path: Path, ending: signal.Signals) -> None:
    async with started(environment(tmp_path / "none")) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request(1, "initialize", INITIALIZE).encode() + b"\n")
        assert json.loads(await asyncio.wait_for(process.stdout.readline(), SECONDS))["id"] == 1
        process.send_signal(ending)
        assert await asyncio.wait_for(process.wait(), SECONDS) == 0
        assert await process.stdout.read() == b""


async def test_client_that_stops_reading_ends_it(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        COMMAND, env=environment(tmp_path / "none"), stdin=asyncio.subprocess.PIPE, stdout=writing
    )
    os.close(writing)
    os.close(reading)
    assert process.stdin is not None
    process.stdin.write(request(1, "initialize", INITIALIZE).encode() + b"\n")
    assert await asyncio.wait_for(process.wait(), SECONDS) == 0


async def test_several_clients_can_start_it_at_once(tmp_path: Path) -> None:
    env = environment(tmp_path / "none")
    lines = [request(1, "initialize", INITIALIZE), request(2, "tools/list", {})]
    for messages in await asyncio.gather(*(converse(env, lines) for _ in range(2))):
        assert len(messages) == 2


async def test_port_for_stdio_is_refused(tmp_path: Path) -> None:
    async with started(environment(tmp_path / "none"), "--stdio", "--port", "1") as process:
        printed, errors = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 2
    assert printed == b""
    assert b"--port" in errors


@pytest.mark.promise("safe-defaults")
async def test_plain_server_over_http_refuses_foreign_hosts_and_origins(tmp_path: Path) -> None:
    env = environment(tmp_path / "none", SKYFLO_TOOLS_ALLOWED_HOSTS="tools.example.org")
    message = json.loads(request(1, "ping", {}))
    accept = {"Accept": "application/json, text/event-stream"}
    async with (
        running_server(env, [COMMAND, "--http"]) as server,
        httpx2.AsyncClient(base_url=server.url, headers=accept) as http,
    ):
        for headers, status in (
            ({}, 200),
            ({"Host": f"localhost:{server.port}"}, 200),
            ({"Host": "tools.example.org"}, 200),
            ({"Host": "rebound.example.com"}, 421),
            ({"Origin": "https://evil.example.com"}, 403),
            ({"Origin": "null"}, 403),
        ):
            assert (await http.post("/mcp", headers=headers, json=message)).status_code == status, headers
        async with server.open_client(TOKEN) as client:
            assert "no kubeconfig" in (await client.read("k8s_list_clusters")).text
