"""Run `skyflo support-bundle`: one archive that helps to find a fault, without secrets."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path

from rich.text import Text

from src.cli.client import open_engine
from src.cli.console import Terminal
from src.cli.doctor import check_engine, check_this_machine
from src.cli.errors import DONE, CliError
from src.cli.jsontypes import Json

__all__ = ["support_bundle"]


def support_bundle(output: Path | None, log: Path | None, server: str | None, insecure: bool) -> int:
    """Write the archive, which only its owner may read, and list what it contains."""
    from src.api.support_bundle import collect

    files, masker = asyncio.run(collect(log))
    with open_engine(server, insecure) as engine:
        results = [*(check_this_machine() if engine.server.is_loopback else []), *check_engine(engine)]
    rows: list[Json] = [{"check": each.name, "state": each.state, "detail": each.detail} for each in results]
    files["checks.json"] = masker.dump(rows)
    target = output or Path(f"skyflo-support-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.tar.gz")
    _write(target, files)
    terminal = Terminal()
    terminal.show(Text(f"Wrote {target}: {', '.join(sorted(files))}."))
    terminal.note(Text("Secrets and texts of settings are masked. Look into it before you share it."))
    return DONE


def _write(target: Path, files: Mapping[str, str]) -> None:
    """Write a new file. Raises `CliError` if it exists or can't be written."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CliError(f"{target} can't be written ({error.strerror}): name another file with --output.") from error
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, text in sorted(files.items()):
            content = text.encode()
            entry = tarfile.TarInfo(f"skyflo-support/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(content))
