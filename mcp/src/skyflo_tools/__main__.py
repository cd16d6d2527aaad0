"""The command `skyflo-mcp`: serve the tools to an MCP client, over standard input and output or over HTTP."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Literal

from skyflo_tools import __version__

Transport = Literal["stdio", "http"]

DESCRIPTION = """\
Kubernetes tools for MCP clients. Without a grant key it offers only tools that read.
By default it speaks MCP on standard input and output, as desktop clients start it.
With --http, --host or --port it serves Streamable HTTP at /mcp and prints its port.
Every setting is an environment variable: KUBECONFIG, CLUSTERS, SKYFLO_TOOLS_*."""


def main(argv: Sequence[str] | None = None, default: Transport = "stdio") -> int:
    """Run the command. Returns the exit code."""
    os.environ.setdefault(
        "FASTMCP_LOG_ENABLED", "false"
    )  # FastMCP logs through rich; this process logs plain lines to stderr
    os.environ.setdefault("FASTMCP_CHECK_FOR_UPDATES", "off")
    options = _parse(argv)
    given = {name: value for name in ("host", "port") if (value := getattr(options, name)) is not None}
    transport: Transport = options.transport or ("http" if given else default)
    if transport == "stdio" and given:
        sys.stderr.write("skyflo-mcp: --host and --port are for HTTP: leave out --stdio\n")
        return 2
    if transport == "http":
        # Process 1 of a container never gets a SIGTERM for which it has no handler, and the imports take seconds.
        signal.signal(signal.SIGTERM, _exit)
    from skyflo_tools.process import run

    return run(transport, given)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="skyflo-mcp", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"skyflo-mcp {__version__}")
    transports = parser.add_mutually_exclusive_group()
    transports.add_argument("--transport", choices=("stdio", "http"), help="how clients connect (default: stdio)")
    transports.add_argument("--stdio", action="store_const", const="stdio", dest="transport", help="--transport stdio")
    transports.add_argument("--http", action="store_const", const="http", dest="transport", help="--transport http")
    parser.add_argument("--host", help="address for HTTP (default: 127.0.0.1; others need SKYFLO_TOOLS_TOKEN)")
    parser.add_argument("--port", type=int, help="port for HTTP (default: any free port)")
    return parser.parse_args(argv)


def _exit(number: int, _frame: FrameType | None) -> None:
    """Exit with the code by which shells show an end by this signal. The server calls this too, once it has stopped."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(default="http"))
