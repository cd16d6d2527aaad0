"""Run the container images without a container engine, as one would run them. That needs root.

Programs run in PID and mount namespaces of their own, as the account of the image, on a read-only root, with the
network of this machine.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field

from tests.support.image_store import ImageStore, Part
from tests.support.waiting import PATIENCE

__all__ = ["Container", "Image", "open_image"]

START = """\
root=$1 data=$2 user=$3
shift 3
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$data" "$root/data"
mount -t tmpfs tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec /usr/sbin/chroot --userspec="$user" "$root" /opt/skyflo/bin/python -c \
'import json, os, sys; e = json.loads(sys.argv[1]); os.execvpe(sys.argv[2], sys.argv[2:], e)' "$@"
"""
"""Takes the root, the data folder, the account, the environment as JSON and the command."""


class Settings(BaseModel):
    """What an image says about its start, under the names of the image format."""

    user: str = Field(alias="User")
    env: list[str] = Field(alias="Env")
    entrypoint: list[str] = Field(alias="Entrypoint")
    cmd: list[str] = Field(alias="Cmd")

    @property
    def environment(self) -> dict[str, str]:
        return dict(one.split("=", 1) for one in self.env)


@dataclass(frozen=True)
class Image:
    """A built image: its files, and how it starts."""

    root: Path
    settings: Settings
    health_check: list[str]

    @property
    def size(self) -> int:
        """The bytes of all files, without what a file system adds."""
        done = subprocess.run(["du", "-s", "-b", self.root], capture_output=True, text=True, check=True)
        return int(done.stdout.split()[0])

    def run(self, data: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one command in it to its end."""
        return subprocess.run(
            self._arguments(data, command, environment), capture_output=True, text=True, check=False, timeout=PATIENCE
        )

    @contextmanager
    def start(self, data: Path, log: Path, **environment: str) -> Iterator["Container"]:
        """Start its entry point without waiting for it. At the end it is killed."""
        command = (*self.settings.entrypoint, *self.settings.cmd)
        with log.open("ab") as output:
            process = subprocess.Popen(
                self._arguments(data, command, environment), stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        started = Container(process, log)
        try:
            yield started
        finally:
            started.kill()

    def _arguments(self, data: Path, command: tuple[str, ...], environment: Mapping[str, str]) -> list[str]:
        data.mkdir(exist_ok=True)
        user, group = (int(one) for one in self.settings.user.split(":"))
        os.chown(data, user, group)
        whole = json.dumps({**self.settings.environment, **environment})
        isolate = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", START, "sh"]
        return [*isolate, str(self.root), str(data), self.settings.user, whole, *command]


@dataclass(frozen=True)
class Container:
    """A running image. Its first program is process 1 of its namespace, as in a container."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def pid(self) -> int | None:
        """The PID of process 1, as this machine sees it, once it is there."""
        parent = self.process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return int(children[0]) if children else None

    @property
    def handles_sigterm(self) -> bool:
        if self.pid is None:
            return False
        status = Path(f"/proc/{self.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) & 1 << signal.SIGTERM - 1)

    def kill(self) -> None:
        """Kill process 1, with which the kernel kills all others of the namespace, if it still runs.

        The option --kill-child of unshare does not do it: the change of account clears the signal of a parent's death.
        """
        if self.process.poll() is None and self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait(PATIENCE)

    def terminate(self) -> int:
        """Send SIGTERM to process 1 and return its exit code."""
        assert self.pid is not None, self.log_text
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(PATIENCE)


def open_image(store: ImageStore, part: Part) -> Image:
    """Mount an image that was built."""
    root, described = store.open(part)
    return Image(root, Settings.model_validate(described), described["Healthcheck"]["Test"][1:])
