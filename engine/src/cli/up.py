"""Run `skyflo up`: the engine in this process."""

import os
import signal
import sys
from types import FrameType

__all__ = ["up"]


def up(host: str | None, port: int | None, sandbox: str | None, fresh_sandbox: bool) -> int:
    """Serve until stopped. Options that are not given are read from the environment and `.env`."""
    # Process 1 of a container never gets a SIGTERM for which it has no handler, and the imports take a second.
    signal.signal(signal.SIGTERM, _exit)
    options = {
        "HOST": host,
        "PORT": None if port is None else str(port),
        "SANDBOX": sandbox,
        "SANDBOX_FRESH": "true" if fresh_sandbox else None,
    }
    os.environ.update({name: value for name, value in options.items() if value is not None})
    from src.api.up import main

    return main()


def _exit(number: int, _frame: FrameType | None) -> None:
    """Exit with the code by which shells show an end by this signal. The server calls this too, once it has stopped."""
    sys.exit(128 + number)
