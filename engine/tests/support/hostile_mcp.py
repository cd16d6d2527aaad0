"""Serve a badly behaved tool server: `python -m tests.support.hostile_mcp CASE [--http]`.

It speaks MCP on its standard streams. With `--http` it prints `{"port": N}`, serves MCP at `/mcp`, and counts requests
by method at `/counts`. `hostile_cases` has the cases. All speak the protocol of before 2026.
"""

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.hostile_cases import CASES, Message, Plain, response


class Protocol:
    """Answer messages by the case, and count them by method."""

    def __init__(self, case: Plain) -> None:
        self.case = case
        self.counts: Counter[str] = Counter()

    def answer(self, message: Message) -> Iterator[str]:
        method, number = message.get("method"), message.get("id")
        self.counts[str(method)] += 1
        if number is None or method is None:
            return
        params = message.get("params") or {}
        if method == "initialize":
            server = {"name": "hostile", "version": "1"}
            capabilities = {"tools": {"listChanged": True}}
            version = params["protocolVersion"]
            yield response(number, {"protocolVersion": version, "capabilities": capabilities, "serverInfo": server})
        elif method == "tools/list":
            yield response(number, self.case.pages(params.get("cursor")))
        elif method == "tools/call":
            yield from self.case.call(number, params)
        elif method == "ping":
            yield response(number, {})
        else:
            error = {"code": -32601, "message": "Method not found"}
            yield json.dumps({"jsonrpc": "2.0", "id": number, "error": error})


def serve_stdio(protocol: Protocol) -> None:
    lock = threading.Lock()

    def write(lines: Iterator[str]) -> None:
        for line in lines:
            with lock:
                sys.stdout.write(line + "\n")
                sys.stdout.flush()

    def announce() -> None:
        write(protocol.case.announcements())

    for line in sys.stdin:
        message = json.loads(line)
        write(protocol.answer(message))
        if message.get("method") == "notifications/initialized":
            threading.Thread(target=announce, daemon=True).start()
    os._exit(0)


class Handler(BaseHTTPRequestHandler):
    """Serve the protocol: requests are answered by event streams."""

    protocol: Protocol

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if message.get("method") == "server/discover":
            self.send_error(404)
        elif "id" not in message or "method" not in message:
            list(self.protocol.answer(message))
            self.send_response(202)
            self.end_headers()
        else:
            self._stream(self.protocol.answer(message))

    def do_GET(self) -> None:
        if self.path == "/counts":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(self.protocol.counts).encode())
        else:
            self._stream(self.protocol.case.announcements())

    def _stream(self, lines: Iterator[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Mcp-Session-Id", "hostile")  # without a session, clients don't ask for announcements
        self.end_headers()
        for line in lines:
            self.wfile.write(f"event: message\ndata: {line}\n\n".encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True


def serve_http(protocol: Protocol) -> None:
    Handler.protocol = protocol
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(json.dumps({"port": server.server_port}) + "\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    chosen = Protocol(CASES[sys.argv[1]]())
    if "--http" in sys.argv:
        serve_http(chosen)
    else:
        serve_stdio(chosen)
