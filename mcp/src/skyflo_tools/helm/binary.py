"""Run the helm binary: arguments as a list, a private folder for each call, bounded output and time."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from skyflo_tools.errors import DeadlineExceeded, InvalidArguments, ToolFailure

MAX_OUTPUT = 16 * 1024 * 1024
MAX_ERRORS = 64 * 1024
ERROR_CHARACTERS = 1500
READ_SECONDS = 60.0
_CHUNK = 64 * 1024
_INHERITED = ("PATH", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
MISSING_HINT = (
    "install Helm 3.14 or newer where the tool server runs (https://helm.sh/docs/intro/install), or set HELM_BINARY to "
    "its path; helm_list_releases, helm_status, helm_history, helm_diff and helm_get_* work without it"
)


class HelmMissing(ToolFailure):
    """The binary can't be started."""

    code = "helm_missing"


class HelmFailed(ToolFailure):
    """Helm ended with an error. `message` is what it said."""

    code = "helm_failed"


class HelmLost(ToolFailure):
    """Helm was started and its end is not known: it was killed, or it said too much."""

    code = "helm_lost"


@dataclass(frozen=True)
class HelmSettings:
    """Where the binary, charts in folders and the tool server's own data are. None: not available."""

    binary: str = "helm"
    charts: Path | None = None
    data: Path | None = None


@dataclass
class HelmFolder:
    """The private folder of one call: Helm's caches, configuration, credentials and charts."""

    settings: HelmSettings
    path: Path
    kubeconfig: Path | None = None
    was_started: bool = False
    """Whether the child process of the latest run was started."""

    @property
    def repository_config(self) -> Path:
        return self.path / "repositories.yaml"

    @property
    def repository_cache(self) -> Path:
        return self.path / "repository"

    def environment(self) -> dict[str, str]:
        """Return the child's environment. It holds no plugins, repositories or logins of the user's Helm."""
        kept = {name: os.environ[name] for name in (*_INHERITED, *_PROXIES) if name in os.environ}
        folders = {f"HELM_{name.upper()}_HOME": str(self.path / name) for name in ("cache", "config", "data")}
        return kept | folders | {
            "HOME": str(self.path / "home"),
            "TMPDIR": str(self.path / "tmp"),
            "HELM_PLUGINS": str(self.path / "plugins"),
            "HELM_REGISTRY_CONFIG": str(self.path / "registry.json"),
            "HELM_REPOSITORY_CONFIG": str(self.repository_config),
            "HELM_REPOSITORY_CACHE": str(self.repository_cache),
            "HELM_DRIVER": "secret",
            "KUBECONFIG": str(self.kubeconfig or self.path / "no-kubeconfig"),
        }  # fmt: skip

    async def run(self, *arguments: str, seconds: float = READ_SECONDS) -> str:
        """Run helm once and return its standard output.

        Raises HelmMissing, HelmFailed with what it said, DeadlineExceeded, or HelmLost. The child never outlives the
        call: it is killed at the deadline and when the call is cancelled.
        """
        self.was_started = False
        process = await self._start(arguments)
        self.was_started = True
        try:
            async with asyncio.timeout(seconds):
                output, errors = await _read_both(process)
                code = await process.wait() if output is not None else 0
        except TimeoutError as error:
            raise DeadlineExceeded(f"helm {arguments[0]} did not finish within {seconds:.0f} s") from error
        finally:
            await _kill(process)
        if output is None:
            raise HelmLost(f"helm {arguments[0]} printed more than {MAX_OUTPUT} bytes", code="answer_too_large")
        if code < 0:
            raise HelmLost(f"helm {arguments[0]} was killed by signal {-code}")
        if code:
            raise HelmFailed(f"helm {arguments[0]}: {_error_text(errors)}")
        return output.decode("utf-8", errors="replace")

    async def _start(self, arguments: Sequence[str]) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                self.settings.binary,
                *arguments,
                env=self.environment(),
                cwd=self.path,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise HelmMissing(
                f"the helm binary {self.settings.binary} can't be started: {error.strerror}", hint=MISSING_HINT
            ) from error


async def _read_both(process: asyncio.subprocess.Process) -> tuple[bytes | None, bytes]:
    """Read both streams to their ends. Returns None for output beyond the bound, without waiting for its end."""
    if process.stdout is None or process.stderr is None:
        raise HelmLost("helm was started without pipes")
    errors = asyncio.create_task(_read_end(process.stderr))
    try:
        output = await _read_bounded(process.stdout)
        return output, b"" if output is None else await errors
    finally:
        errors.cancel()
        await asyncio.wait([errors])


async def _read_bounded(stream: asyncio.StreamReader) -> bytes | None:
    chunks: list[bytes] = []
    size = 0
    while chunk := await stream.read(_CHUNK):
        size += len(chunk)
        if size > MAX_OUTPUT:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


async def _read_end(stream: asyncio.StreamReader) -> bytes:
    """Read a stream and keep its end."""
    kept = b""
    while chunk := await stream.read(_CHUNK):
        kept = (kept + chunk)[-MAX_ERRORS:]
    return kept


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill the child and what it started, and wait for it."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.shield(_reap(process))


async def _reap(process: asyncio.subprocess.Process) -> None:
    """Wait for a killed child. asyncio reports its end only after its pipes have been read to their ends."""
    streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    await asyncio.gather(process.wait(), *(_discard(stream) for stream in streams))


async def _discard(stream: asyncio.StreamReader) -> None:
    while await stream.read(_CHUNK):
        pass


def _error_text(errors: bytes) -> str:
    """Return the error that helm printed. Its warnings come before it."""
    text = errors.decode("utf-8", errors="replace").strip()
    _, found, last = text.rpartition("Error: ")
    said = " ".join((last if found else text).split())
    return said[:ERROR_CHARACTERS] or "it failed without a message"


@asynccontextmanager
async def open_folder(settings: HelmSettings) -> AsyncIterator[HelmFolder]:
    """Create the private folder of a call, and remove it at the end."""
    root = settings.data / "calls" if settings.data else None
    path = await asyncio.to_thread(_create_folder, root)
    try:
        yield HelmFolder(settings, path)
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, path, ignore_errors=True))


def _create_folder(root: Path | None) -> Path:
    if root is not None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = Path(tempfile.mkdtemp(prefix="helm-", dir=root))
    for name in ("cache", "config", "data", "home", "tmp", "plugins", "repository", "charts"):
        (path / name).mkdir(mode=0o700)
    return path


def remove_old_folders(settings: HelmSettings) -> None:
    """Remove what calls of an earlier process left behind: their folders can hold credentials."""
    if settings.data is not None:
        shutil.rmtree(settings.data / "calls", ignore_errors=True)


def refuse_flags(**values: str | None) -> None:
    """Refuse values that helm would take for flags. Raises InvalidArguments that names the argument."""
    for name, value in values.items():
        if value is not None and value.startswith("-"):
            raise InvalidArguments(f"{name} must not begin with '-'")
