"""Metrics count what was committed, once, and a scrape reads the database seldom."""

import re

import pytest

from src.api.adapters.metrics.prometheus import PrometheusMetrics
from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.errors import StoreUnavailable
from src.api.ports import Transaction
from src.api.schemas.metrics import SharedState
from src.api.schemas.records import Approval, Execution, Run
from src.api.services.runs.leases import Leases, LeaseSettings
from src.api.services.shared_state import MAX_AGE, SharedStateReader
from tests.support.clock import FakeClock
from tests.support.rows import row
from tests.support.services import PROJECT


def new_metrics() -> PrometheusMetrics:
    return PrometheusMetrics("0.0.0", "skyflo", {"run": lambda: 0})


def lines_of(metrics: PrometheusMetrics, prefix: str, shared: SharedState | None = None) -> list[str]:
    text = metrics.render(shared, "text/plain")[0].decode()
    return [line for line in text.splitlines() if line.startswith(prefix)]


async def test_only_commits_are_counted(store_url: str) -> None:
    metrics = new_metrics()
    async with open_store(store_url, metrics=metrics) as store:

        async def body(tx: Transaction) -> None:
            await tx.insert(row(Execution, id="e", run_id="r", state="started", nonce="n", result="[]"))
            await tx.change(Execution, {"id": "e", "state": "started"}, state="unknown")

        async def failing(tx: Transaction) -> None:
            await body(tx)
            raise StoreUnavailable("The test undoes this.")

        with pytest.raises(StoreUnavailable):
            await store.transaction(failing)
        assert lines_of(metrics, "skyflo_changes_unknown_total") == ["skyflo_changes_unknown_total 0.0"]
        await store.transaction(body)
        await store.transaction(lambda tx: tx.change(Execution, {"id": "e", "state": "unknown"}, evidence="seen"))
        assert lines_of(metrics, "skyflo_changes_unknown_total") == ["skyflo_changes_unknown_total 1.0"]


async def test_takeover_counts_as_a_lost_lease(store_url: str) -> None:
    metrics, clock = new_metrics(), FakeClock()
    async with open_store(store_url, clock=clock.now, metrics=metrics) as store:
        await store.transaction(
            lambda tx: tx.insert(row(Run, id="r", conversation_id="c", user_id="u", state="queued", usage="{}"))
        )
        await Leases(store, clock, "one", LeaseSettings(15)).claim("r")
        assert lines_of(metrics, "skyflo_run_leases_lost_total") == ["skyflo_run_leases_lost_total 0.0"]
        await clock.advance(16)
        assert await Leases(store, clock, "two", LeaseSettings(15)).claim("r") is not None
        assert lines_of(metrics, "skyflo_run_leases_lost_total") == ["skyflo_run_leases_lost_total 1.0"]


async def test_shared_state_is_read_once_in_some_seconds(store: TortoiseStore) -> None:
    clock = FakeClock()
    reader = SharedStateReader(store, clock)
    assert (await reader.read()) == SharedState(
        runs={"queued": 0, "running": 0, "awaiting_approval": 0, "waiting": 0},
        approvals=0,
        oldest_approval_seconds=0.0,
        unknown_changes=0,
    )
    now = clock.now()

    async def insert(tx: Transaction) -> None:
        for name, age in (("old", 60_000), ("new", 1_000)):
            await tx.insert(
                row(Approval, id=name, run_id="r", status="pending", approve_by=now + 600_000, created_at=now - age)
            )
        await tx.insert(row(Approval, id="late", run_id="r", status="pending", approve_by=now - 1, created_at=now - 9))
        await tx.insert(row(Run, id="r", conversation_id="c", user_id="u", state="awaiting_approval", usage="{}"))
        await tx.insert(row(Execution, id="e", run_id="r", state="unknown", nonce="n", result="[]"))

    await store.transaction(insert)
    assert (await reader.read()).approvals == 0  # type: ignore[union-attr]
    await clock.advance(MAX_AGE)
    state = await reader.read()
    assert state is not None
    assert (state.approvals, state.oldest_approval_seconds, state.unknown_changes) == (2, 60 + MAX_AGE, 1)
    assert state.runs["awaiting_approval"] == 1
    metrics = new_metrics()
    assert lines_of(metrics, "skyflo_approvals_oldest", state) == ["skyflo_approvals_oldest_waiting_seconds 65.0"]


def test_scrape_without_database_leaves_shared_values_out() -> None:
    metrics = new_metrics()
    assert lines_of(metrics, "skyflo_database_readable") == ["skyflo_database_readable 0.0"]
    assert lines_of(metrics, "skyflo_runs{") == lines_of(metrics, "skyflo_approvals_waiting") == []


def test_names_of_foreign_tools_and_too_many_labels_become_other() -> None:
    metrics = new_metrics()
    metrics.tool_called("foreign", "canary-secret", "read", "succeeded", 0.1)
    for number in range(300):
        metrics.tool_called("skyflo", f"tool-{number}", "read", "succeeded", 0.1)
        metrics.tool_called(f"server-{number}", "any", "read", "succeeded", 0.1)
    lines = lines_of(metrics, "skyflo_tool_call_seconds_count")
    assert "canary-secret" not in "".join(lines)
    assert len(lines) <= 200 + 21 + 2
    assert 'tool="other"' in "".join(lines)


def test_page_describes_every_metric() -> None:
    metrics, state = new_metrics(), SharedState({"queued": 0}, 0, 0.0, 0)
    typed = [line.split()[2] for line in lines_of(metrics, "# TYPE skyflo_", state)]
    page = (PROJECT / "docs" / "metrics.md").read_text()
    assert sorted(re.findall(r"^\| `(skyflo_\w+)`", page, re.MULTILINE)) == sorted(typed)
