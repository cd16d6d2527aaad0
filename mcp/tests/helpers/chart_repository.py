"""A chart repository on loopback: two versions of the test chart, packaged by the real helm."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from helm_releases import CHARTS

from tests.support.http_threads import serve_in_thread

VERSIONS = ("0.1.0", "0.2.0")


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Keep the test's output free of requests."""


def package_charts(binary: str, folder: Path) -> None:
    for version in VERSIONS:
        command = [binary, "package", str(CHARTS / "shop"), "--version", version, "--destination", str(folder)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)


@contextmanager
def serve_charts(binary: str, folder: Path) -> Iterator[str]:
    """Serve a folder with charts and their index. Yields the repository's address."""
    folder.mkdir(parents=True, exist_ok=True)
    package_charts(binary, folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=str(folder)))
    url = f"http://127.0.0.1:{server.server_port}"
    subprocess.run([binary, "repo", "index", str(folder), "--url", url], check=True, capture_output=True, timeout=60)
    try:
        with serve_in_thread(server):
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def push_charts(binary: str, folder: Path, registry: str) -> str:
    """Push the charts to a registry. Returns the address of the place that holds them."""
    folder.mkdir(parents=True, exist_ok=True)
    package_charts(binary, folder)
    for archive in sorted(folder.glob("*.tgz")):
        command = [binary, "push", str(archive), f"oci://{registry}/charts", "--plain-http"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    return f"oci://{registry}/charts"
