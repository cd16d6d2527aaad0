"""Test `skyflo audit`: list, export and verify the audit log."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.engines import EngineProcess
from tests.support.terminal import Shell

pytestmark = pytest.mark.promise("audit")


def test_audit_log_is_listed_exported_and_verified(tmp_path: Path, engine: EngineProcess) -> None:
    shell = Shell(tmp_path, engine.url.removesuffix("/api/v1"))
    shell.run("chat", "hello")
    printed = shell.run("audit", "list")
    assert printed.code == 0
    assert "message.submitted" in printed.out
    listed = [json.loads(each) for each in shell.run("audit", "list", "--actor", "local", "--json").out.splitlines()]
    assert {entry["actor"] for entry in listed} == {"local"}
    intact = shell.run("audit", "verify")
    assert (intact.code, "Intact" in intact.out) == (0, True)

    export = shell.run("audit", "export")
    file = tmp_path / "audit.jsonl"
    file.write_text(export.out)
    assert shell.run("audit", "verify", "--file", str(file)).code == 0
    lines = export.out.splitlines()
    for changed in (lines[:-1], [*lines[:1], *lines[2:]], [each.replace("completed", "failed") for each in lines]):
        file.write_text("\n".join(changed) + "\n")
        found = shell.run("audit", "verify", "--file", str(file))
        assert (found.code, "CHANGED" in found.out) == (1, True)

    with closing(sqlite3.connect(engine.database.removeprefix("sqlite://"))) as database, database:
        database.execute("UPDATE audit SET actor = 'nobody' WHERE action = 'message.submitted'")
    found = shell.run("audit", "verify")
    assert (found.code, "CHANGED. Entry 1 of run:" in found.out) == (1, True)
    assert shell.run("audit", "verify", "--json").json["status"] == "tampered"
