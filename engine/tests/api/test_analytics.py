"""Usage metrics per day and in total, equal on both databases."""

from datetime import date, timedelta
from typing import Any, get_args

import httpx
import pytest

from src.api.endpoints.agent import ApprovalStatus
from src.api.ports import Transaction
from src.api.schemas.records import Approval, Call, ModelCall, Record, Run
from tests.support.app import RunningApp, check_problem
from tests.support.engine_harness import EngineHarness
from tests.support.rows import row

DAY = 86_400_000
FIRST = date(2026, 3, 1)
START = (FIRST - date(1970, 1, 1)).days * DAY


async def _insert(engine: RunningApp, *rows: Record) -> None:
    async def body(tx: Transaction) -> None:
        for each in rows:
            assert await tx.insert(each)

    await engine.services.chat.store.transaction(body)


async def _metrics(client: httpx.AsyncClient, since: date, until: date) -> dict[str, Any]:
    answer = await client.get(f"/analytics/metrics?since={since}&until={until}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _run(n: int, state: str, created: int, took: int, waited: int = 0) -> Run:
    times = {"created_at": created, "ended_at": created + took + waited, "waited_ms": waited}
    return row(Run, id=f"r{n}", conversation_id=f"c{n}", state=state, **times)


def _approval(n: int, status: str, created: int, decided: int | None) -> Approval:
    at = None if decided is None else created + decided
    return row(Approval, id=f"a{n}", status=status, created_at=created, decided_at=at)


def _call(n: int, tool: str, status: str) -> Call:
    return row(Call, id=f"k{n}", run_id=f"r{n}", tool=tool, status=status, created_at=START)


async def test_metrics_count_days_and_totals(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    engine, client = engine_and_admin
    spent = {"prompt_tokens": 1000, "completion_tokens": 50, "cached_tokens": 200}
    await _insert(
        engine,
        *(
            row(ModelCall, id=f"m{n}", model="one", cost_nano=1_500, ttft_ms=n, created_at=START, **spent)
            for n in range(1, 101)
        ),
        row(ModelCall, id="m200", model="two", ttft_ms=12_345, created_at=START + DAY, **spent),
        row(ModelCall, id="m201", model="two", cost_nano=9, created_at=START - 1, **spent),
        _run(1, "completed", START, 98_765),
        _run(2, "completed", START, 4_321, waited=3_600_000),
        _run(3, "failed", START, 10),
        _run(4, "stopped", START + DAY - 10, 20),
        _approval(1, "consumed", START, 60_000),
        _approval(2, "denied", START, 120_000),
        _approval(3, "expired", START + DAY, None),
        _approval(4, "approved", START + DAY, 0),
        *(_call(n, "get_pods", "completed") for n in range(3)),
        _call(10, "scale", "error"),
        _call(11, "scale", "unknown"),
        _call(12, "scale", "denied"),
    )
    found = await _metrics(client, FIRST, FIRST + timedelta(days=1))
    totals, (first, second) = found["totals"], found["days"]
    assert (first["day"], second["day"]) == ("2026-03-01", "2026-03-02")
    assert totals["runs"] == {"completed": 2, "failed": 1, "stopped": 1}
    assert second["runs"] == {"completed": 0, "failed": 0, "stopped": 1}, "on the day on which it ended"
    assert totals["tokens"] == {
        "calls": 101,
        "prompt": 101_000,
        "completion": 5_050,
        "cached": 20_200,
        "cost": 0.00015,
        "unpriced": 1,
    }
    assert (first["ttft_ms"], second["ttft_ms"]) == ({"p50": 50, "p95": 95}, {"p50": 12_000, "p95": 12_000})
    assert first["duration_ms"] == {"p50": 4_300, "p95": 98_000}
    assert totals["approvals"] == {
        "asked": 4,
        "pending": 0,
        "approved": 2,
        "denied": 1,
        "expired": 1,
        "superseded": 0,
        "stale": 0,
        "stopped": 0,
        "decided_after_ms": {"p50": 60_000, "p95": 120_000},
    }
    assert first["approvals"]["asked"] == 2
    assert totals["tool_calls"] == {"calls": 6, "failed": 2}
    assert {each["tool"]: (each["calls"], each["failed"]) for each in found["tools"]} == {
        "get_pods": (3, 0),
        "scale": (3, 2),
    }
    assert [(each["model"], each["calls"]) for each in found["models"]] == [("one", 100), ("two", 1)]


async def test_each_approval_counts_once_by_final_status(
    engine_and_admin: tuple[RunningApp, httpx.AsyncClient],
) -> None:
    """Every status, decided or not; `approved` counts approvals that were not revoked."""
    engine, client = engine_and_admin
    states = get_args(ApprovalStatus)
    undecided = [each for each in states if each in ("pending", "expired", "superseded", "stopped")]
    decided = [each for each in states if each != "pending"]
    await _insert(
        engine,
        *(_approval(n, status, START, None) for n, status in enumerate(undecided)),
        *(_approval(10 + n, status, START, 1_000) for n, status in enumerate(decided)),
        row(Approval, id="a99", status="consumed", created_at=START, decided_at=START, decided_by_policy="reads"),
    )
    metrics = await _metrics(client, FIRST, FIRST)
    decided_by_people = (metrics["total_approvals"], metrics["total_rejections"], metrics["approval_acceptance_rate"])
    assert decided_by_people == (2, 1, 2 / 3), "the policy's approval is none of a person"
    found = metrics["totals"]["approvals"]
    assert found.pop("decided_after_ms") == {"p50": 1_000, "p95": 1_000}
    asked = {"pending": 1, "approved": 3, "denied": 1, "expired": 2, "superseded": 2, "stale": 1, "stopped": 2}
    assert found == {"asked": sum(asked.values()), **asked}


async def test_year_totals_match_days(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    engine, client = engine_and_admin
    spread = [START + n * 7 * DAY for n in range(52)]
    await _insert(
        engine,
        *(row(ModelCall, id=f"m{n}", model="one", ttft_ms=n, created_at=at) for n, at in enumerate(spread)),
        *(_run(n, "completed", at, 100 + n) for n, at in enumerate(spread)),
        *(_approval(n, "denied", at, 10 + n) for n, at in enumerate(spread)),
        *(row(Call, id=f"k{n}", run_id=f"r{n}", tool="get", created_at=at) for n, at in enumerate(spread)),
    )
    year = await _metrics(client, FIRST, FIRST + timedelta(days=365))
    assert [each["day"] for each in year["days"]] == [str(FIRST + timedelta(days=7 * n)) for n in range(52)]
    assert all(each["ttft_ms"]["p50"] == n for n, each in enumerate(year["days"]))
    assert (year["totals"]["ttft_ms"], year["totals"]["tokens"]["calls"]) == ({"p50": 25, "p95": 49}, 52)
    assert year["totals"]["duration_ms"] == {"p50": 120, "p95": 140}
    assert year["totals"]["approvals"]["decided_after_ms"] == {"p50": 35, "p95": 59}
    assert [(each["tool"], each["calls"]) for each in year["tools"]] == [("get", 52)]


async def test_metrics_without_data_are_empty(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    _, client = engine_and_admin
    found = (await client.get("/analytics/metrics")).json()
    assert (found["days"], found["models"], found["tools"]) == ([], [], [])
    assert found["totals"]["ttft_ms"] == {"p50": None, "p95": None}
    assert date.fromisoformat(found["until"]) - date.fromisoformat(found["since"]) == timedelta(days=29)
    await _metrics(client, FIRST, FIRST + timedelta(days=365))


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("since=2025-01-01&until=2026-01-02", 400),
        ("since=2026-01-02&until=2026-01-01", 400),
        ("since=yesterday", 422),
        ("since=0001-01-01&until=9999-12-31", 400),
        ("until=0001-01-01", 400),
    ],
)
async def test_invalid_range_is_refused(
    engine_and_admin: tuple[RunningApp, httpx.AsyncClient], query: str, status: int
) -> None:
    _, client = engine_and_admin
    check_problem(await client.get(f"/analytics/metrics?{query}"), status)


@pytest.mark.asyncio(loop_scope="module")
async def test_run_is_counted(agent: EngineHarness) -> None:
    before = (await agent.me.client.get("/analytics/metrics")).json()["totals"]
    await agent.me.ask("read the thing")
    after = (await agent.me.client.get("/analytics/metrics")).json()["totals"]
    assert after["tokens"]["calls"] - before["tokens"]["calls"] == 2
    assert after["tokens"]["prompt"] > before["tokens"]["prompt"]
    assert after["tool_calls"]["calls"] - before["tool_calls"]["calls"] == 1
    assert after["runs"]["completed"] - before["runs"]["completed"] == 1
    assert after["duration_ms"]["p50"] is not None
