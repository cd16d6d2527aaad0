"""Keep a service alive exactly as long as the tests that use it.

The parent holds the other end of this process's standard input. When that closes, through a normal end, Ctrl-C or
SIGKILL, the service is stopped, the clean-up command runs and the folder is removed. Works on every POSIX system,
without root.
"""

import json
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

STOP_WITHIN_SECONDS = 60
CLEAN_UP_WITHIN_SECONDS = 60


@dataclass(frozen=True)
class GuardedProcess:
    """A guarded service: its `command` (None: only the clean-up), its log, and the clean-up afterwards."""

    folder: str
    command: tuple[str, ...] = ()
    user: str | None = None
    stop_signal: int = signal.SIGTERM
    clean_up: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        return Path(self.folder) / "service.log"


def start_guarded(job: GuardedProcess, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a guard in its own session, which the terminal's Ctrl-C does not reach. `stop_guarded` ends it."""
    return subprocess.Popen(
        [sys.executable, __file__, json.dumps(asdict(job))],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=job.folder,
        env=environment,
    )


def stop_guarded(guard_process: subprocess.Popen[bytes]) -> None:
    """Stop the service and wait until all of its processes have ended."""
    if guard_process.stdin is not None:
        guard_process.stdin.close()
    guard_process.wait(timeout=STOP_WITHIN_SECONDS + CLEAN_UP_WITHIN_SECONDS)


def run_guarded(job: GuardedProcess) -> None:
    signal.signal(signal.SIGTERM, _exit)
    try:
        if job.command:
            _run_service(job)
        else:
            sys.stdin.buffer.read()
    finally:
        if job.clean_up:
            subprocess.run(job.clean_up, check=False, timeout=CLEAN_UP_WITHIN_SECONDS)
        shutil.rmtree(job.folder, ignore_errors=True)


def _run_service(job: GuardedProcess) -> None:
    with job.log.open("ab") as log:
        service = subprocess.Popen(
            job.command, user=job.user, cwd=job.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        while service.poll() is None:
            if select.select([sys.stdin], [], [], 0.5)[0]:
                return
        sys.stdin.buffer.read()  # the service ended by itself: keep its log until the parent has read it
    finally:
        _stop(service, job.stop_signal)


def _stop(service: subprocess.Popen[bytes], stop_signal: int) -> None:
    service.send_signal(stop_signal)
    try:
        service.wait(timeout=STOP_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit


if __name__ == "__main__":
    run_guarded(GuardedProcess(**json.loads(sys.argv[1])))
