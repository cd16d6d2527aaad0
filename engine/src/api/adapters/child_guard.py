"""Run a command, and end it with everything it started once the engine is gone, even after SIGKILL.

`python -I -S child_guard.py FD COMMAND...`: FD is the read end of a pipe. Only the engine holds its other end, so the
end of file means that the engine has ended. The command then has the time to end by itself that the engine gives it.

Each guarded child costs one such process, so it imports little and nothing outside the standard library. Processes that
left the group of their own accord (`setsid`) are not found.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

GRACE_SECONDS = 5.0
TERM_SECONDS = 2.0
_CANNOT_START = 127


def main(arguments: Sequence[str]) -> int:
    """Return the command's exit code; 128 + n if signal n ended it, 127 if it can't be started."""
    engine, command = int(arguments[0]), arguments[1:]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stay)  # a handler, because the command would inherit an ignored signal
    try:
        child = subprocess.Popen(command)
    except OSError as error:
        sys.stderr.write(f"The command can't be started: {error.strerror}.\n")
        return _CANNOT_START
    _release_streams()
    ended, end = os.pipe()
    threading.Thread(target=_close_at_end, args=(child, end), daemon=True).start()
    if engine in select.select([engine, ended], [], [])[0]:
        select.select([ended], [], [], GRACE_SECONDS)
        os.killpg(0, signal.SIGTERM)
        time.sleep(TERM_SECONDS)
        os.killpg(0, signal.SIGKILL)
    code = child.wait()
    return 128 - code if code < 0 else code


def _stay(_number: int, _frame: FrameType | None) -> None:
    """Outlive a signal to the group: the guard ends with its command."""


def _release_streams() -> None:
    """Leave the standard streams to the command, so that its closing them is seen."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)


def _close_at_end(child: "subprocess.Popen[bytes]", end: int) -> None:
    child.wait()
    os.close(end)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
