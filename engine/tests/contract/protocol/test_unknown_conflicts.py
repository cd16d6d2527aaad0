"""Changes whose outcome is unknown, and the approvals that touch the same objects."""

from typing import Any

import pytest

from src.api.adapters.store.store import TortoiseStore
from src.api.ports import Transaction
from src.api.schemas.records import Approval, Execution
from src.api.services.tools.conflicts import PAGE, unknown_conflicts
from tests.support.rows import row


def _approval(approval_id: str, name: str) -> Approval:
    values: dict[str, Any] = {"run_id": "r", "conversation_id": "c", "server": "s", "tool": "t", "args": "{}"}
    return row(Approval, id=approval_id, status="consumed", objects=f'["{name}"]', **values)


def _execution(approval_id: str, started_at: int) -> Execution:
    return row(Execution, id=approval_id, run_id="r", nonce="n", state="unknown", result="[]", started_at=started_at)


@pytest.mark.promise("unknown")
@pytest.mark.parametrize("newer", [PAGE - 1, PAGE, 2 * PAGE])
async def test_conflict_is_found_behind_many_newer_unknown_outcomes(store: TortoiseStore, newer: int) -> None:
    async def write(tx: Transaction) -> None:
        await tx.insert(_approval("oldest", "web"))
        await tx.insert(_execution("oldest", 1))
        for number in range(newer):
            await tx.insert(_approval(f"other-{number:04}", f"object-{number}"))
            await tx.insert(_execution(f"other-{number:04}", 2))  # equal times: the id separates the pages

    await store.transaction(write)
    found = await store.transaction(lambda tx: unknown_conflicts(tx, _approval("new", "web")))
    assert found == ["oldest"]
