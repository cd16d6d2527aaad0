"""Run the npm package `@copilotkit/aimock`, which scripts the APIs of other model providers. Needs Node."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.npm import install_package, wait_for_port
from tests.support.ports import free_port
from tests.support.process_guard import GuardedProcess, start_guarded, stop_guarded

__all__ = ["aimock"]

PACKAGE = "@copilotkit/aimock"
VERSION = "1.43.0"


@contextmanager
def aimock(fixtures: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Start the server and yield its base URL.

    Raises `UnavailableError` without Node or when the package can't be installed.
    """
    script = _program()
    with tempfile.TemporaryDirectory(prefix="skyflo-aimock-") as folder:
        path = Path(folder) / "fixtures.json"
        path.write_text(json.dumps({"fixtures": fixtures}))
        port = free_port()
        options = ("--port", str(port), "--fixtures", str(path), "--log-level", "warn", "--strict")
        guard_process = start_guarded(GuardedProcess(folder=folder, command=("node", str(script), *options)))
        try:
            wait_for_port(port, PACKAGE)
            yield f"http://127.0.0.1:{port}"
        finally:
            stop_guarded(guard_process)


def _program() -> Path:
    folder = install_package(PACKAGE, VERSION)
    binaries = json.loads((folder / "package.json").read_text())["bin"]
    return folder / str(binaries["llmock"])
