"""Find changes with an unknown outcome that touch the same objects as an approval (`protocol.md` 15)."""

from collections.abc import AsyncIterator

from src.api.ports import Transaction
from src.api.schemas.query import KeysetRange
from src.api.schemas.records import Approval, Decision, Execution
from src.api.utils.canonical import canonical, sha256
from src.api.utils.json_columns import load_list

__all__ = ["has_new_unknown_conflict", "objects_kept_after_erasure", "objects_of", "unknown_conflicts"]

PAGE = 200
"""Executions read at once."""


def objects_of(approval: Approval) -> set[str]:
    """Return the objects that the preview named; without any, a key that only the identical call shares."""
    named = {str(each) for each in load_list(approval.objects)}
    return named or {sha256(canonical([approval.server, approval.tool, approval.args]))}


def objects_kept_after_erasure(approval: Approval) -> str:
    """Return the value of `objects` to store when the arguments are erased, so that conflicts are still found."""
    return canonical([*sorted(objects_of(approval))])


async def unknown_conflicts(tx: Transaction, approval: Approval) -> list[str]:
    """Return the ids of all changes to the same objects whose outcome is unknown, newest first."""
    objects = objects_of(approval)
    conflicts: list[str] = []
    async for page in _unknown_executions(tx):
        others = {other.id: other for other in await tx.find(Approval, {"id": page})}
        found = [others[each] for each in page if each in others]
        conflicts += [other.id for other in found if other.id != approval.id and objects & objects_of(other)]
    return conflicts


async def has_new_unknown_conflict(tx: Transaction, approval: Approval) -> bool:
    """Return whether there is an unknown conflict that no decision on this approval has named."""
    conflicts = await unknown_conflicts(tx, approval)
    if not conflicts:
        return False
    decisions = await tx.find(Decision, {"approval_id": approval.id})
    named = {str(each) for decision in decisions for each in load_list(decision.despite_unknown)}
    return not named.issuperset(conflicts)


async def _unknown_executions(tx: Transaction) -> AsyncIterator[tuple[str, ...]]:
    """Yield the ids of all unknown executions, page by page: a missed one would let a conflicting change run."""
    after: tuple[int, str] | None = None
    while True:
        page = await tx.find(Execution, {"state": "unknown", "started_at": KeysetRange(after)}, "-started_at,-id", PAGE)
        if page:
            yield tuple(each.id for each in page)
            after = (page[-1].started_at, page[-1].id)
        if len(page) < PAGE:
            return
