"""Changes whose outcome is unknown, and what else touches their objects (`protocol.md` 15)."""

from src.api.ports import Transaction
from src.api.schemas.records import Approval, Decision, Execution
from src.api.utils.canonical import canonical, sha256
from src.api.utils.shown import shown_list

__all__ = ["became_unknown", "lasting_objects", "objects_of", "unknown_beside"]

MOST = 200


def objects_of(approval: Approval) -> set[str]:
    """What the change touches, as its preview named it. Where it named nothing, only the same call is beside it."""
    named = {str(each) for each in shown_list(approval.objects)}
    return named or {sha256(canonical([approval.server, approval.tool, approval.args]))}


def lasting_objects(approval: Approval) -> str:
    """What `objects` becomes when the arguments are erased, so that the change stays beside those it was beside."""
    return canonical([*sorted(objects_of(approval))])


async def unknown_beside(tx: Transaction, approval: Approval) -> list[str]:
    """The changes to the same objects whose outcome is unknown."""
    objects = objects_of(approval)
    unknown = await tx.find(Execution, {"state": "unknown"}, "-started_at", MOST)
    others = await tx.find(Approval, {"id": tuple(each.id for each in unknown)})
    return [other.id for other in others if other.id != approval.id and objects & objects_of(other)]


async def became_unknown(tx: Transaction, approval: Approval) -> bool:
    """Whether the outcome of something beside this is unknown that nobody who decided on it could name."""
    decisions = await tx.find(Decision, {"approval_id": approval.id})
    named = {str(each) for decision in decisions for each in shown_list(decision.despite_unknown)}
    return not named.issuperset(await unknown_beside(tx, approval))
