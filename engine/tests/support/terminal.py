"""Run the command `skyflo` as a separate process, on a pseudo-terminal or with pipes."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.pooled_process import pooled_run
from tests.support.waiting import PATIENCE

__all__ = ["CommandResult", "Shell", "TerminalSession"]

ENGINE = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "src.cli.main")
_ON_ITS_TERMINAL = 'exec "$@" <"$0" >"$0" 2>&1'
"""A shell that leads a session opens its controlling terminal, so that the system delivers Ctrl-C."""
_SEQUENCES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


@dataclass(frozen=True)
class CommandResult:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """Parse standard output as one JSON object per line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class TerminalSession:
    """A command on a pseudo-terminal. `shown` is its complete output."""

    process: "subprocess.Popen[bytes]"
    master: int
    written: bytearray = field(default_factory=bytearray)
    _read_up_to: int = 0

    @property
    def raw(self) -> str:
        return self.written.decode(errors="replace")

    @property
    def shown(self) -> str:
        """Return the output without escape sequences for colours and cursor movement."""
        return _SEQUENCES.sub("", self.raw).replace("\r", "")

    def expect(self, words: str, within: float = PATIENCE) -> None:
        """Wait until this text appears after the text of the previous `expect`."""
        deadline = time.monotonic() + within
        while (found := self.shown.find(words, self._read_up_to)) < 0:
            left = deadline - time.monotonic()
            assert left > 0, f"{words!r} was not shown, but:\n{self.shown[self._read_up_to :]}"
            assert self._more(left), f"it ended without {words!r}:\n{self.shown}"
        self._read_up_to = found + len(words)

    def type(self, words: str) -> None:
        os.write(self.master, words.encode() + b"\n")

    def interrupt(self) -> None:
        """Send Ctrl-C."""
        os.write(self.master, b"\x03")

    def close_input(self) -> None:
        """Send Ctrl-D."""
        os.write(self.master, b"\x04")

    def wait_for_exit(self, within: float = PATIENCE) -> int:
        """Wait for the end of the command and return its exit code."""
        deadline = time.monotonic() + within
        while self._more(deadline - time.monotonic()):
            assert time.monotonic() < deadline, f"it does not end:\n{self.shown}"
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _more(self, within: float) -> bool:
        """Read the available output. Returns False when no process has the terminal open for writing."""
        if not select.select([self.master], [], [], max(0.0, within))[0]:
            return True
        try:
            piece = os.read(self.master, 65_536)
        except OSError:  # Linux raises EIO when the last process closes the terminal
            return False
        self.written += piece
        return bool(piece)


@dataclass
class Shell:
    """An environment for commands: an empty home folder and the engine's address."""

    home: Path
    server: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        folders = {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_STATE_HOME": str(self.home / "state"),
        }
        kept = {name: os.environ[name] for name in os.environ if name.startswith(("COV", "LANG", "LC_", "PATH"))}
        mine = {"PYTHONPATH": str(ENGINE), "TERM": "xterm-256color", "SKYFLO_ENV_FILE": "", "PYTHONUTF8": "1"}
        return {**kept, **mine, **folders, **({"SKYFLO_SERVER": self.server} if self.server else {}), **self.extra}

    def run(self, *arguments: str, typed: str | None = None, within: float = PATIENCE) -> CommandResult:
        """Run a command with pipes, as a script does. Standard input is `typed`, or empty."""
        done = pooled_run(
            [*COMMAND, *arguments],
            input=typed if typed is not None else "",
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=within,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def on_terminal(self, *arguments: str, columns: int = 100, rows: int = 40) -> Iterator[TerminalSession]:
        """Run a command on a terminal of this size. It is killed at the end of the block if it still runs."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        command = ["sh", "-c", _ON_ITS_TERMINAL, os.ttyname(slave), *COMMAND, *arguments]
        process = subprocess.Popen(command, env=self.environment, cwd=self.home, start_new_session=True)
        on = TerminalSession(process, master)
        try:
            _wait_for_reader(on, slave)
            yield on
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(PATIENCE)
            os.close(master)


def _wait_for_reader(on: TerminalSession, slave: int) -> None:
    """Keep the terminal's other end open until the command has opened it; otherwise it would close first."""
    on.expect("", PATIENCE)
    select.select([on.master], [], [], PATIENCE)
    os.close(slave)
