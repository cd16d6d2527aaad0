"""The scripted server for other providers' wires (npm `@copilotkit/aimock`), where Node is there."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.guardian import Job, guard, release
from tests.support.npm import await_port, installed
from tests.support.services import free_port

__all__ = ["aimock"]

PACKAGE = "@copilotkit/aimock"
VERSION = "1.43.0"


@contextmanager
def aimock(fixtures: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """The server's base URL. Raises `UnavailableError` where there is no Node or the package can't be installed."""
    script = _program()
    with tempfile.TemporaryDirectory(prefix="skyflo-aimock-") as folder:
        path = Path(folder) / "fixtures.json"
        path.write_text(json.dumps({"fixtures": fixtures}))
        port = free_port()
        options = ("--port", str(port), "--fixtures", str(path), "--log-level", "warn", "--strict")
        guardian = guard(Job(folder=folder, command=("node", str(script), *options)))
        try:
            await_port(port, PACKAGE)
            yield f"http://127.0.0.1:{port}"
        finally:
            release(guardian)


def _program() -> Path:
    folder = installed(PACKAGE, VERSION)
    binaries = json.loads((folder / "package.json").read_text())["bin"]
    return folder / str(binaries["llmock"])
