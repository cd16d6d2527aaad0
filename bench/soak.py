"""Run 100 people for half an hour against three engines while parts of the installation fail, and check the record.

`python -m bench.soak [--minutes 30] [--people 100]`. Prints a report, writes bench/soak.json and its section of
docs/performance.md, and exits with 1 if anything was lost, ran twice or grew.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import LiteralString

import httpx
import psycopg

from bench.processes import ROOT
from bench.report import describe_machine
from bench.soak_people import Person, Record, is_over
from bench.soak_report import format_soak, replace_section
from bench.soak_site import SoakSite, open_site

__all__ = ["main"]

SAMPLE_SECONDS = 5.0
WARM_UP_SECONDS = 300.0
"""Seconds before memory is sampled, at most a quarter of the soak: until then most kinds of faults have come once, and
the process has filled its caches and pools."""

FAULT_SECONDS = 30.0
"""Seconds between the end of one fault and the next."""

SETTLE_SECONDS = 60.0
"""Seconds before the end without further faults."""

CHECK_SECONDS = 120.0
"""Seconds that one part of the check of the audit log may take."""

MAX_GROWTH = 1.1
"""The largest permitted ratio of the memory in the last quarter to that in the first one."""


@dataclass
class Soak:
    """One soak. `memory` holds pairs of seconds and megabytes of the engine that is never ended."""

    site: SoakSite
    seconds: float
    record: Record = field(default_factory=Record)
    faults: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, float]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        return self.seconds - (time.monotonic() - self.began)

    async def run(self, people: int) -> None:
        """Let the people work until the end, and break things meanwhile."""
        chance = random.Random(14)
        workers = [
            Person(self.site.url, number, self.record, random.Random(chance.random()), lambda: self.left <= 0)
            for number in range(people)
        ]
        sampling = asyncio.create_task(self._sample_memory())
        breaking = asyncio.create_task(self._break_things())
        async with asyncio.TaskGroup() as tasks:
            for worker in workers:
                tasks.create_task(worker.work())
                await asyncio.sleep(0.05)
        await breaking
        sampling.cancel()

    async def _sample_memory(self) -> None:
        process = self.site.engines[0].process
        assert process is not None
        await asyncio.sleep(min(WARM_UP_SECONDS, self.seconds / 4))
        while True:
            self.memory.append((time.monotonic() - self.began, process.resident_memory()))
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _break_things(self) -> None:
        while True:
            for name, fault in self.site.faults.items():
                await asyncio.sleep(FAULT_SECONDS)
                if self.left < SETTLE_SECONDS:
                    return
                await asyncio.to_thread(fault)
                self.faults[name] += 1
                print(f"{time.monotonic() - self.began:5.0f} s  {name}; {self._progress()}", flush=True)

    def _progress(self) -> str:
        states = Counter(self.record.runs.values())
        megabytes = self.memory[-1][1] if self.memory else 0.0
        return f"runs {dict(states)}, problems {len(self.record.problems)}, memory {megabytes:.0f} MB"


def check_record(soak: Soak) -> dict[str, int]:
    """Compare the database and the tool server's effects with what the people saw. Returns counts; adds problems."""
    problems, seen = soak.record.problems, soak.record.runs
    with psycopg.connect(soak.site.database) as connection:
        states = _read_states(connection, "SELECT id, state FROM runs")
        executions = _read_states(connection, "SELECT id, state FROM executions")
        statuses = _read_states(connection, "SELECT id, status FROM approvals")
        restarts = connection.execute("SELECT coalesce(sum(restarts), 0) FROM runs").fetchone()
    problems += [f"{run}: is {state} after the end" for run, state in states.items() if not is_over(state)]
    problems += [f"{run}: is not in the database" for run in seen if run not in states]
    problems += [f"{run}: nobody asked for it" for run in states if run not in seen]
    effects = Counter(str(effect.approval) for effect in soak.site.tools.effects())
    problems += [f"{approval}: ran {count} times" for approval, count in effects.items() if count > 1]
    problems += [f"{each}: ran without being used" for each in effects if statuses.get(each) != "consumed"]
    problems += [
        f"{each}: succeeded, and never ran"
        for each, state in executions.items()
        if state == "succeeded" and not effects[each]
    ]
    problems += [
        f"{each}: is recorded as not run, and ran"
        for each, state in executions.items()
        if state in ("failed", "not_applied") and effects[each]
    ]
    problems += [
        f"{each}: ran although it was {word}"
        for each, word in soak.record.decided.items()
        if word != "approved" and effects[each]
    ]
    ends = Counter(states.values())
    outcomes = Counter(executions.values())
    return {
        "runs": len(states),
        **{f"runs {state}": count for state, count in sorted(ends.items())},
        "restarts": int(restarts[0]) if restarts else 0,
        "approvals decided": len(soak.record.decided),
        "changes": len(executions),
        **{f"changes {state}": count for state, count in sorted(outcomes.items())},
        "effects": effects.total(),
        "reconnects": soak.record.counts["reconnects"],
    }


def _read_states(connection: "psycopg.Connection[tuple[str, str]]", statement: LiteralString) -> dict[str, str]:
    return {str(key): state for key, state in connection.execute(statement).fetchall()}


def measure_memory(samples: Sequence[tuple[float, float]]) -> Mapping[str, float]:
    """Return the medians of the first and the last quarter in MB, and the slope in MB per hour."""
    if len(samples) < 8:
        return {}
    quarter = len(samples) // 4
    slope, _ = statistics.linear_regression([at for at, _ in samples], [value for _, value in samples])
    return {
        "first quarter": round(statistics.median(value for _, value in samples[:quarter]), 1),
        "last quarter": round(statistics.median(value for _, value in samples[-quarter:]), 1),
        "slope per hour": round(slope * 3600, 1),
        "highest": round(max(value for _, value in samples), 1),
    }


def check_audit(soak: Soak) -> str:
    """Return the status of the audit log, as the engine that was never ended checks it."""
    process = soak.site.engines[0].process
    assert process is not None
    cursor: str | None = None
    with httpx.Client(base_url=f"{process.url}/api/v1", timeout=CHECK_SECONDS) as http:
        while True:
            answer = http.get("/audit/verify", params={"cursor": cursor} if cursor else {})
            if answer.status_code != 200:
                return f"not readable: {answer.text[:200]}"
            report = answer.json()
            if report["status"] != "unfinished":
                return str(report["status"])
            cursor = report["next_cursor"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--look", action="store_true", help="print the report without writing files")
    options = parser.parse_args()
    when, load = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), os.getloadavg()[0]
    with open_site() as site:
        soak = Soak(site, options.minutes * 60)
        asyncio.run(soak.run(options.people))
        counts, audit = check_record(soak), check_audit(soak)
        errors = [each for engine in site.engines for each in engine.read_internal_errors()]
    memory = measure_memory(soak.memory)
    problems = list(soak.record.problems)
    if memory and memory["last quarter"] > MAX_GROWTH * memory["first quarter"]:
        problems.append(f"memory grew from {memory['first quarter']} to {memory['last quarter']} MB")
    if answers := soak.record.counts["answer 500"]:
        problems.append(f"{answers} requests were answered with 500")
    problems += [f"a request failed inside an engine: {each}" for each in errors]
    if audit != "intact":
        problems.append(f"the audit log is {audit}")
    result = {
        "when": when,
        "machine": describe_machine(),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "minutes": options.minutes,
        "people": options.people,
        "faults": dict(soak.faults),
        "counts": counts,
        "errors seen by clients": {name: n for name, n in soak.record.counts.items() if name != "reconnects"},
        "memory": memory,
        "audit": audit,
        "problems": problems,
    }
    print(format_soak(result))
    print("\n".join(problems[:50]))
    if not options.look:
        (ROOT / "bench" / "soak.json").write_text(json.dumps(result, indent=1) + "\n")
        page = ROOT / "docs" / "performance.md"
        page.write_text(replace_section(page.read_text(), format_soak(result)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
