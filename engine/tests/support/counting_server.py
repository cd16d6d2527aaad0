"""A tool server that counts its effects and can fail as networks, processes and tools do.

    python -m tests.support.counting_server --data FOLDER [--port 0] [--token T] [--grant-key K] [--legacy]

It prints `{"event": "listening", "port": N}`, serves MCP at `/mcp` and accepts orders at `/control`. Its effects are in
`FOLDER/effects.db`, committed before it answers, so that `kill -9` loses none. With a grant key it follows the contract
of our own tool server (grants, settling, evidence); without one it acts as a third-party server.

Orders (POST, JSON; any of): `{"fault": name, "tool"?: name, "times"?: n}` arms one of `WIRE_FAULTS` or `TOOL_FAULTS`
for the next n calls. `{"hints": {tool: {hint: value}}}` and `{"schema": {tool: {...}}}` change the tool list and notify
clients unless `"notify": false`. `{"set": {name: value}}` changes a thing without a call. `{"reset": true}` resets all.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.support.counting_store import CountingStore
from tests.support.counting_tools import TOOL_FAULTS, CountingTools
from tests.support.counting_wire import WIRE_FAULTS, FaultyWire, Transports, protocol_with

FAULTS = WIRE_FAULTS | TOOL_FAULTS


class CountingServer:
    """The ASGI application: the tools behind a transport with injectable faults."""

    def __init__(self, folder: Path, token: str | None, grant_key: str | None, legacy: bool) -> None:
        self.store = CountingStore(folder)
        self.transports: Transports = {}
        self._tools = CountingTools(self.store, grant_key)
        self._bus = InMemorySubscriptionBus()
        server: Server[dict[str, object]] = Server(
            "counting",
            on_list_tools=self._tools.list,
            on_call_tool=self._tools.call,
            on_subscriptions_listen=ListenHandler(self._bus),
        )
        control = [Route("/control", self._report, methods=["GET"]), Route("/control", self._control, methods=["POST"])]
        inner = server.streamable_http_app(custom_starlette_routes=control)
        self.app = FaultyWire(inner, self.store, self.transports, token, legacy)

    async def _report(self, _request: Request) -> JSONResponse:
        effects = [effect.__dict__ for effect in self.store.effects()]
        return JSONResponse({"effects": effects, "running": self._tools.running, "cancelled": self._tools.cancelled})

    async def _control(self, request: Request) -> JSONResponse:
        order = json.loads(await request.body())
        if "fault" in order:
            if order["fault"] not in FAULTS:
                return JSONResponse({"error": f"no such fault; there are: {sorted(FAULTS)}"}, 400)
            self.store.arm_fault(order.get("tool", "*"), order["fault"], order.get("times", 1))
        if order.get("reset"):
            self.store.reset()
            self._tools.restore()
        for name, value in order.get("set", {}).items():
            self.store.set_thing(name, value)
        if "hints" in order or "schema" in order:
            self._tools.change_list(order.get("hints", {}), order.get("schema", {}))
            if order.get("notify", True):
                await self._bus.publish(ToolsListChanged())
        return JSONResponse({"status": "ok"})


class AnnouncingServer(uvicorn.Server):
    """Print the port once the server accepts connections."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            sys.stdout.write(json.dumps({"event": "listening", "port": port}) + "\n")
            sys.stdout.flush()


async def serve(options: argparse.Namespace) -> None:
    counting = CountingServer(options.data, options.token, options.grant_key, options.legacy)
    config = uvicorn.Config(
        counting.app,
        host="127.0.0.1",
        port=options.port,
        http=protocol_with(counting.transports),
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    await AnnouncingServer(config).serve()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token")
    parser.add_argument("--grant-key")
    parser.add_argument("--legacy", action="store_true", help="speak only the protocol of before 2026")
    parser.add_argument("--parent-pipe", action="store_true", help="end when standard input does")
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    options = parser.parse_args()
    if options.parent_pipe:
        threading.Thread(target=_exit_with_parent, daemon=True).start()
    asyncio.run(serve(options))


def _exit_with_parent() -> None:
    """Exit when the pipe closes, which means that the parent process has ended for any reason."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
