"""Approvals as people see them: one with its history, and everything that waits."""

from src.api.errors import NotFound
from src.api.ports import Reader, Store
from src.api.schemas.query import Condition
from src.api.schemas.records import Approval, Call, Conversation, Decision, Execution, User
from src.api.schemas.runs import ApprovalPage, ApprovalView, HistoryEntry, Page
from src.api.services.access import Caller, Role, visible_conversation
from src.api.services.accounts import LOCAL_ADMIN
from src.api.services.paging import Cursor, passage
from src.api.services.policing import name_of
from src.api.utils.shown import shown_object

__all__ = ["Inbox"]

SCAN = 500


class Inbox:
    """Reads only."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, caller: Caller, call_id: str) -> ApprovalView:
        """Raises `NotFound` also for one of a conversation that the caller may not see."""

        async def body(reader: Reader) -> ApprovalView:
            approval = await reader.get(Approval, id=call_id)
            if approval is None:
                raise NotFound("There is no such approval.")
            await visible_conversation(reader, caller, approval.conversation_id)
            return await _view(reader, approval)

        return await self._store.read(body)

    async def page(self, caller: Caller, status: str, cursor: str | None, limit: int) -> ApprovalPage:
        """Newest first, over every conversation that the caller may see."""
        after = Cursor.parse(cursor)

        async def body(reader: Reader) -> tuple[list[ApprovalView], bool]:
            where: dict[str, Condition] = {"status": status, "created_at": passage(after)}
            if not caller.role.at_least(Role.APPROVER):
                own = await reader.find(Conversation, {"owner_id": caller.id, "deleted_at": None}, "-updated_at", SCAN)
                where["conversation_id"] = tuple(each.id for each in own)
            found = await reader.find(Approval, where, "-created_at,-id", limit + 1)
            return [await _view(reader, each) for each in found[:limit]], len(found) > limit

        shown, more = await self._store.read(body)
        following = str(Cursor(shown[-1].created_at, shown[-1].call_id)) if more else None
        return ApprovalPage(data=shown, pagination=Page(limit=limit, next_cursor=following, has_more=more))


async def _view(reader: Reader, approval: Approval) -> ApprovalView:
    call = await reader.get(Call, id=approval.id)
    execution = await reader.get(Execution, id=approval.id)
    decisions = await reader.find(Decision, {"approval_id": approval.id}, "created_at,id", 20)
    requester = await reader.get(User, id=approval.requester_id)
    return ApprovalView(
        call_id=approval.id,
        run_id=approval.run_id,
        conversation_id=approval.conversation_id,
        tool=approval.tool,
        server=approval.server,
        title=call.title if call else approval.tool,
        args=shown_object(call.shown) if call else {},
        digest=approval.digest,
        preview=shown_object(approval.preview) if approval.preview else None,
        risk=approval.risk,
        requester=requester.email if requester else LOCAL_ADMIN.name,
        status=approval.status,
        outcome=execution.state if execution else None,
        evidence=shown_object(execution.evidence) if execution and execution.evidence else None,
        error=execution.error if execution else None,
        decided_by=approval.decided_by,
        decided_at=approval.decided_at,
        reason=approval.reason,
        supersedes=approval.supersedes,
        votes=sum(each.approve for each in decisions),
        votes_needed=max(1, approval.votes),
        rule=approval.rule or None,
        expires_at=approval.approve_by,
        execute_by=approval.execute_by,
        created_at=approval.created_at,
        history=_history(approval, await _people(reader, decisions), execution),
    )


async def _people(reader: Reader, decisions: list[Decision]) -> list[tuple[str, Decision]]:
    return [(await name_of(reader, each.user_id), each) for each in decisions]


def _history(
    approval: Approval, decisions: list[tuple[str, Decision]], execution: Execution | None
) -> list[HistoryEntry]:
    happened = [HistoryEntry(at=approval.created_at, what="requested")]
    for name, decision in decisions:
        what = "approved" if decision.approve else "denied"
        happened.append(HistoryEntry(at=decision.created_at, what=what, by=name, detail=decision.reason))
    if not decisions and approval.decided_at is not None:
        happened.append(HistoryEntry(at=approval.decided_at, what=approval.status, by=approval.decided_by))
    if execution is not None:
        happened.append(HistoryEntry(at=execution.started_at, what="started"))
        if execution.ended_at is not None:
            ended = HistoryEntry(
                at=execution.ended_at, what=execution.state, by=execution.settled_by, detail=execution.error
            )
            happened.append(ended)
    return happened
