"""`python -m skyflo_sandbox`: the parts that are asked for, on loopback, until the process or its parent ends."""

import argparse
import os
import socket
import sys
import threading
from pathlib import Path

__all__ = ["main"]


def main() -> int:
    """Serves until it is told to stop. Returns the exit code."""
    arguments = _parser().parse_args()
    if arguments.parent_pipe:
        threading.Thread(target=_end_with_parent, name="parent-pipe", daemon=True).start()
    from skyflo_sandbox.serving import serve

    try:
        serve(
            cluster=_socket(arguments.cluster_fd, arguments.cluster_port),
            model=_socket(arguments.model_fd, arguments.model_port),
            keep=arguments.keep,
            fresh=arguments.fresh,
        )
    except OSError as error:
        sys.stderr.write(f"The sandbox can't be started: {error.strerror or error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="skyflo-sandbox", description=__doc__)
    parser.add_argument("--cluster-port", type=int, metavar="PORT", help="serve the cluster on 127.0.0.1:PORT; 0: any")
    parser.add_argument("--model-port", type=int, metavar="PORT", help="serve the model on 127.0.0.1:PORT; 0: any")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the cluster's objects there over restarts")
    parser.add_argument("--fresh", action="store_true", help="begin with a new cluster, whatever was kept")
    parser.add_argument("--cluster-fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--model-fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--parent-pipe", action="store_true", help=argparse.SUPPRESS)
    return parser


def _socket(descriptor: int | None, port: int | None) -> socket.socket | None:
    """The parent's listening socket, or one of our own."""
    if descriptor is not None:
        return socket.socket(fileno=descriptor)
    if port is None:
        return None
    # TCP is named, for else asyncio sets no TCP_NODELAY and every piece waits 40 ms.
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(("127.0.0.1", port))
    return opened


def _end_with_parent() -> None:
    """Asks this process to end, as Ctrl-C does, when the parent's end of the pipe closes."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), 15)


if __name__ == "__main__":
    sys.exit(main())
