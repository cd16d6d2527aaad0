"""The audit trail from a shell: listed, taken away, checked with and without the engine."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.engines import Engine
from tests.support.terminal import Shell

pytestmark = pytest.mark.promise("audit")


def test_the_trail_is_listed_exported_and_checked(tmp_path: Path, engine: Engine) -> None:
    shell = Shell(tmp_path, engine.url.removesuffix("/api/v1"))
    shell.run("chat", "hello")
    told = shell.run("audit", "list")
    assert told.code == 0
    assert "message.submitted" in told.out
    listed = [json.loads(each) for each in shell.run("audit", "list", "--actor", "local", "--json").out.splitlines()]
    assert {each["actor"] for each in listed} == {"local"}
    whole = shell.run("audit", "verify")
    assert (whole.code, "Intact" in whole.out) == (0, True)

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
