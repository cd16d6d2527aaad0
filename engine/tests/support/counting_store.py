"""Store the counting server's effects in a SQLite file that survives a kill."""

import json
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (n INTEGER PRIMARY KEY, tool TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS effects (
    n INTEGER PRIMARY KEY, tool TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, approval TEXT, at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS things (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS grants (id TEXT PRIMARY KEY, state TEXT NOT NULL, effect TEXT NOT NULL, result TEXT);
CREATE TABLE IF NOT EXISTS faults (
    n INTEGER PRIMARY KEY, tool TEXT NOT NULL, fault TEXT NOT NULL, times INTEGER NOT NULL
);
"""


@dataclass(frozen=True)
class Effect:
    """One change that really happened. `approval` is the single-use id of its grant, if it had one."""

    tool: str
    name: str
    value: str
    approval: str | None


class CountingStore:
    """The server's records. Each method is one committed transaction."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(folder / "effects.db", isolation_level=None, timeout=60)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        self._database.close()

    def count_request(self, tool: str) -> None:
        self._database.execute("INSERT INTO requests (tool, at) VALUES (?, ?)", (tool, time.time()))

    def requests(self, tool: str) -> int:
        """Return how many `tools/call` requests for this tool arrived, answered or not."""
        return int(self._one("SELECT count(*) FROM requests WHERE tool = ?", tool))

    def apply_change(self, tool: str, name: str, value: str, approval: str | None) -> None:
        """Apply the change and record its effect."""
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self.set_thing(name, value)
            row = (tool, name, value, approval, time.time())
            self._database.execute("INSERT INTO effects (tool, name, value, approval, at) VALUES (?, ?, ?, ?, ?)", row)

    def effects(self) -> list[Effect]:
        rows = self._database.execute("SELECT tool, name, value, approval FROM effects ORDER BY n")
        return [Effect(*row) for row in rows]

    def set_thing(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO things (name, value) VALUES (?, ?)", (name, value))

    def thing(self, name: str) -> str | None:
        found = self._database.execute("SELECT value FROM things WHERE name = ?", (name,)).fetchone()
        return str(found[0]) if found else None

    def begin(self, grant: str) -> str | None:
        """Consume a grant. Returns None on success, otherwise the grant's present state."""
        sql = "INSERT INTO grants (id, state, effect) VALUES (?, 'started', 'unknown') ON CONFLICT DO NOTHING"
        if self._database.execute(f"{sql} RETURNING id", (grant,)).fetchall():
            return None
        return str(self._one("SELECT state FROM grants WHERE id = ?", grant))

    def end(self, grant: str, state: str, effect: str, result: dict[str, object]) -> None:
        sql = "UPDATE grants SET state = ?, effect = ?, result = ? WHERE id = ?"
        self._database.execute(sql, (state, effect, json.dumps(result), grant))

    def grant(self, grant: str) -> str | None:
        """Return the state of a grant without settling it."""
        found = self._database.execute("SELECT state FROM grants WHERE id = ?", (grant,)).fetchone()
        return str(found[0]) if found else None

    def settle(self, grant: str) -> dict[str, object]:
        """Settle a grant as the contract's `grant_settle` does: an unseen grant is refused from then on."""
        sql = "INSERT INTO grants (id, state, effect) VALUES (?, 'revoked', 'none') ON CONFLICT DO NOTHING"
        self._database.execute(sql, (grant,))
        row = self._database.execute("SELECT state, effect, result FROM grants WHERE id = ?", (grant,)).fetchone()
        state, effect, result = row
        said = "never_ran" if state == "revoked" else state
        return {"state": said, "effect": effect, "result": json.loads(result) if result else None}

    def reset(self) -> None:
        for table in ("requests", "effects", "things", "grants", "faults"):
            self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own

    def arm_fault(self, tool: str, fault: str, times: int) -> None:
        self._database.execute("INSERT INTO faults (tool, fault, times) VALUES (?, ?, ?)", (tool, fault, times))

    def take_fault(self, tool: str, faults: frozenset[str]) -> str | None:
        """Consume and return the next armed fault for this tool, out of `faults`."""
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            rows = self._database.execute("SELECT n, tool, fault FROM faults WHERE times > 0 ORDER BY n").fetchall()
            for n, armed_for, fault in rows:
                if armed_for in ("*", tool) and fault in faults:
                    self._database.execute("UPDATE faults SET times = times - 1 WHERE n = ?", (n,))
                    return str(fault)
        return None

    def _one(self, sql: str, value: str) -> str | int:
        found: tuple[str | int] = self._database.execute(sql, (value,)).fetchone()
        return found[0]
