"""Create a certificate for servers on this machine."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import PATIENCE

__all__ = ["Certificate", "create_certificate"]


@dataclass(frozen=True)
class Certificate:
    """A certificate for 127.0.0.1. A client that loads `file` as its CA accepts it."""

    file: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context


def create_certificate(folder: Path) -> Certificate:
    made = Certificate(folder / "server.pem", folder / "server.key")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    paths = ["-keyout", str(made.key), "-out", str(made.file)]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command = ["openssl", "req", "-x509", *curve, "-nodes", "-days", "1", *names, *paths]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    return made
