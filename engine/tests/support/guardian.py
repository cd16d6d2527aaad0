"""Keeps a service alive for exactly as long as the tests that asked for it.

The parent holds the other end of our standard input. When that closes, by a normal end, Ctrl-C or SIGKILL alike, the
service is stopped, the clean-up command is run and the folder removed. Works on every POSIX system, needs no root.
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
class Job:
    """What is guarded: a `command` (none: only the clean-up), its log, and what is left to do afterwards."""

    folder: str
    command: tuple[str, ...] = ()
    user: str | None = None
    stop_signal: int = signal.SIGTERM
    clean_up: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        return Path(self.folder) / "service.log"


def guard(job: Job, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Starts a guardian in a session of its own, out of reach of the terminal's Ctrl-C. `release` ends it."""
    return subprocess.Popen(
        [sys.executable, __file__, json.dumps(asdict(job))],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=job.folder,
        env=environment,
    )


def release(guardian: subprocess.Popen[bytes]) -> None:
    """Lets go of the service and returns when nothing of it is left."""
    if guardian.stdin is not None:
        guardian.stdin.close()
    guardian.wait(timeout=STOP_WITHIN_SECONDS + CLEAN_UP_WITHIN_SECONDS)


def keep(job: Job) -> None:
    signal.signal(signal.SIGTERM, _leave)
    try:
        if job.command:
            _keep_service(job)
        else:
            sys.stdin.buffer.read()
    finally:
        if job.clean_up:
            subprocess.run(job.clean_up, check=False, timeout=CLEAN_UP_WITHIN_SECONDS)
        shutil.rmtree(job.folder, ignore_errors=True)


def _keep_service(job: Job) -> None:
    with job.log.open("ab") as log:
        service = subprocess.Popen(
            job.command, user=job.user, cwd=job.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        while service.poll() is None:
            if select.select([sys.stdin], [], [], 0.5)[0]:
                return
        sys.stdin.buffer.read()  # it died by itself: leave its log until the parent has looked
    finally:
        _stop(service, job.stop_signal)


def _stop(service: subprocess.Popen[bytes], stop_signal: int) -> None:
    service.send_signal(stop_signal)
    try:
        service.wait(timeout=STOP_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit


if __name__ == "__main__":
    keep(Job(**json.loads(sys.argv[1])))
