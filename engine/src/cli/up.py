"""Run `skyflo up`, `skyflo api` and `skyflo worker`: the engine, or a part of it, in this process."""

import os
import signal
import sys
from collections.abc import Mapping
from types import FrameType

__all__ = ["run_part", "up"]


def up(host: str | None, port: int | None, processes: int | None, sandbox: str | None, fresh_sandbox: bool) -> int:
    """Serve until stopped. Options that are not given are read from the environment and `.env`."""
    fresh = "true" if fresh_sandbox else None
    return _serve(host, port, processes, {"SANDBOX": sandbox, "SANDBOX_FRESH": fresh})


def run_part(role: str, host: str | None, port: int | None, processes: int | None) -> int:
    """Run the part of the engine that `ENGINE_ROLE` calls `role` until stopped."""
    return _serve(host, port, processes, {"ENGINE_ROLE": role})


def _serve(host: str | None, port: int | None, processes: int | None, more: Mapping[str, str | None]) -> int:
    # Process 1 of a container never gets a SIGTERM for which it has no handler, and the imports take a second.
    signal.signal(signal.SIGTERM, _exit)
    options = {"HOST": host, "PORT": port, "ENGINE_PROCESSES": processes, **more}
    os.environ.update({name: str(value) for name, value in options.items() if value is not None})
    from src.api.up import main

    return main()


def _exit(number: int, _frame: FrameType | None) -> None:
    """Exit with the code by which shells show an end by this signal. The server calls this too, once it has stopped."""
    sys.exit(128 + number)
