"""A real OCI registry for tests."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.ports import free_port
from tests.support.process_guard import GuardedProcess
from tests.support.services import UnavailableError, run_service, temporary_folder


@contextmanager
def oci_registry() -> Iterator[str]:
    """Start an OCI registry of Debian's package docker-registry. Yields its `host:port`.

    Raises:
        UnavailableError: there is none.
    """
    binary = shutil.which("docker-registry")
    if binary is None:
        raise UnavailableError("no docker-registry: on Debian, apt-get install docker-registry")
    port = free_port()
    with temporary_folder("registry", None) as folder:
        settings = folder / "registry.yaml"
        settings.write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}\n"
            f"http: {{addr: '127.0.0.1:{port}'}}\nlog: {{level: warn}}\n"
        )
        job = GuardedProcess(str(folder), (binary, "serve", str(settings)))
        with run_service(job, lambda: _accepts(port)):
            yield f"127.0.0.1:{port}"


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
