"""Run the sandbox as a process: `python -m skyflo_sandbox`."""

import argparse
import os
import socket
import sys
import threading
from pathlib import Path

__all__ = ["main"]


def main() -> int:
    """Serve the requested parts until a signal arrives, and return the exit code."""
    arguments = _parser().parse_args()
    if arguments.parent_pipe:
        threading.Thread(target=_stop_with_parent, name="parent-pipe", daemon=True).start()
    from skyflo_sandbox.serving import serve

    try:
        serve(
            cluster_socket=_open_socket(arguments.cluster_fd, arguments.cluster_port),
            model_socket=_open_socket(arguments.model_fd, arguments.model_port),
            keep=arguments.keep,
            fresh=arguments.fresh,
        )
    except OSError as error:
        sys.stderr.write(f"The sandbox can't start: {error.strerror or error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="skyflo-sandbox", description=__doc__)
    parser.add_argument(
        "--cluster-port", type=int, metavar="PORT", help="serve the cluster on 127.0.0.1:PORT; 0 picks a free port"
    )
    parser.add_argument(
        "--model-port", type=int, metavar="PORT", help="serve the model on 127.0.0.1:PORT; 0 picks a free port"
    )
    parser.add_argument("--keep", type=Path, metavar="FILE", help="save the cluster to FILE, and restore it on start")
    parser.add_argument("--fresh", action="store_true", help="delete the saved cluster first")
    parser.add_argument("--cluster-fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--model-fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--parent-pipe", action="store_true", help=argparse.SUPPRESS)
    return parser


def _open_socket(descriptor: int | None, port: int | None) -> socket.socket | None:
    """Return the inherited listening socket, or bind a new one to the port; None if neither is given."""
    if descriptor is not None:
        return socket.socket(fileno=descriptor)
    if port is None:
        return None
    # Without an explicit IPPROTO_TCP asyncio does not set TCP_NODELAY, and every chunk waits 40 ms.
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(("127.0.0.1", port))
    return opened


def _stop_with_parent() -> None:
    """Send SIGTERM to this process when the parent's end of the pipe closes."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), 15)


if __name__ == "__main__":
    sys.exit(main())
