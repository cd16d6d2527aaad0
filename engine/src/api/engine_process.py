"""Run one engine process of several: `python -m src.api.engine_process`, as `supervisor.py` starts it.

It binds the port that the parent has reserved, and writes `LISTENING` to its standard output once it accepts
connections. The parent's tool server is announced on standard input; when that closes, the process stops in order.
"""

import os
import signal
import sys
from types import FrameType

from src.api.adapters.tools.parent_process import LISTENING, ParentProcess
from src.api.config.logging import configure_logging
from src.api.config.settings import Settings, SettingsError
from src.api.server import AnnouncingServer, bind, create_server_config

__all__ = ["main"]


def main() -> int:
    """Serve until stopped. Returns the exit code."""
    signal.signal(signal.SIGTERM, _exit)
    output = os.dup(1)
    os.dup2(2, 1)  # what a library prints is not for the parent
    try:
        settings = Settings.load()
        configure_logging(settings.logged_from, settings.log_format)
        parent = ParentProcess(0, lambda: signal.raise_signal(signal.SIGTERM))
        with bind(os.environ["HOST"], os.environ["PORT"], shared=True) as listener:
            config = create_server_config(settings, parent)
            return AnnouncingServer(config, lambda: os.write(output, LISTENING)).serve_on(listener)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _exit(number: int, _frame: FrameType | None) -> None:
    """Exit with the code by which shells show an end by this signal. The server calls this too, once it has stopped."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
