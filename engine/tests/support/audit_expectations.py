"""List the audit entry that each state change writes in its own transaction, and the changes that write none."""

from collections.abc import Iterator

from src.api.adapters.store.audit import PendingEntry
from src.api.schemas.base import JsonObject
from src.api.schemas.records import (
    ApiToken,
    Approval,
    Call,
    Conversation,
    Decision,
    Execution,
    Identity,
    Integration,
    RefreshToken,
    Run,
    User,
)
from src.api.utils.json_columns import load_object
from tests.support.audit_recorder import RowChange, TransactionChanges

__all__ = ["AUDITED", "NOT_AUDITED", "find_unaudited", "name_changes"]

AUDITED: dict[str, set[str]] = {
    "run made": {"message.submitted"},
    "run stop asked": {"run.stop_asked"},
    "run awaiting_approval": {"run.awaiting_approval"},
    "run completed": {"run.completed"},
    "run failed": {"run.failed"},
    "run stopped": {"run.stopped"},
    "approval made pending": {"tool.awaiting_approval"},
    "approval made approved": {"tool.approved"},
    "approval pending": {"tool.vote"},
    "approval approved": {"tool.approved"},
    "approval denied": {"tool.denied"},
    "approval expired": {"tool.expired"},
    "approval superseded": {"tool.superseded"},
    "approval stopped": {"tool.error"},
    "approval consumed": {"tool.executing", "tool.stale", "tool.denied"},
    "approval stale": {"tool.stale", "tool.denied"},
    "decision made": {"tool.vote", "tool.approved", "tool.denied"},
    "call made error": {"tool.error"},
    "call awaiting_approval": {"tool.awaiting_approval"},
    "call made awaiting_approval": {"tool.awaiting_approval"},
    "call approved": {"tool.approved"},
    "call executing": {"tool.executing"},
    "call completed": {"tool.result", "tool.verified"},
    "call error": {"tool.error", "tool.verified"},
    "call denied": {"tool.denied"},
    "call expired": {"tool.expired"},
    "call superseded": {"tool.superseded"},
    "call stale": {"tool.stale"},
    "call stopped": {"tool.error"},
    "call unknown": {"tool.unknown"},
    "execution started": {"tool.executing"},
    "execution succeeded": {"tool.result"},
    "execution failed": {"tool.error", "tool.stale"},
    "execution unknown": {"tool.unknown"},
    "execution applied": {"tool.verified"},
    "execution not_applied": {"tool.verified"},
    "execution looked at": {"tool.verified"},
    "conversation made": {"message.submitted", "conversation.made"},
    "conversation changed": {"conversation.changed"},
    "conversation deleted": {"conversation.deleted"},
    "conversation erased": {"conversation.erased"},
    "user made": {"user.registered", "member.added"},
    "user changed": {"user.changed", "user.password_reset", "user.verified", "member.changed", "member.removed"},
    "session begun": {"session.begun"},
    "session over": {"session.ended", "session.revoked", "user.changed", "user.password_reset", "member.removed"},
    "token made": {"token.made"},
    "token removed": {"token.revoked", "member.removed"},
    "identity made": {"identity.linked"},
    "integration made": {"integration.added"},
    "integration changed": {"integration.changed", "integration.unreadable"},
    "integration removed": {"integration.removed"},
}

NOT_AUDITED = {
    "run running": "the log does not record which engine runs it; the actions of the run are recorded",
    "run queued": "the entry for the cause of the continuation is recorded",
    "call made pending": "only a request of the model; its outcome is recorded",
    "call pending": "a requested read; its execution is recorded",
    "title": "a title is derived from messages, which the log does not store",
}
"""These write no entries either: leases, journals, search texts, submissions, model calls, credential records and
rotated refresh tokens. They are internal bookkeeping, not actions of a user.
"""


def name_changes(moved: TransactionChanges) -> Iterator[tuple[str, RowChange | None]]:
    """Yield the state changes of a transaction by their names in the table."""
    for move in moved.changes:
        yield from ((name, move) for name in _names(move))
    for table, name in (("api_tokens", "token removed"), ("integrations", "integration removed")):
        if table in moved.removed_tables:
            yield name, None


def find_unaudited(moved: TransactionChanges) -> list[str]:
    """Return the changes without an audit entry, or whose entry does not name its subject."""
    return [
        name
        for name, move in name_changes(moved)
        if name not in NOT_AUDITED and not _is_audited(name, move, moved.entries)
    ]


def _names(move: RowChange) -> Iterator[str]:
    row, made = move.row, "made " if move.is_new else ""
    match row:
        case Run():
            yield from ["run made"] if move.is_new else [f"run {row.state}"] if "state" in move.columns else []
            yield from ["run stop asked"] if "stop_at" in move.columns and not move.is_new else []
        case Approval():
            yield from [f"approval {made}{row.status}"] if "status" in move.columns else []
        case Call():
            yield from [f"call {made}{row.status}"] if "status" in move.columns else []
        case Execution():
            yield from [f"execution {row.state}"] if "state" in move.columns else []
            yield from ["execution looked at"] if "evidence" in move.columns and row.evidence else []
        case Conversation():
            yield from ["conversation made"] if move.is_new else _conversation_changes(move, row)
        case Decision() | Identity() | Integration() | User():
            kind = type(row).__name__.lower()
            yield from [f"{kind} made"] if move.is_new else [f"{kind} changed"] if move.columns - {"updated_at"} else []
        case RefreshToken():
            yield from ["session begun"] if move.is_new and row.id == row.family else []
            yield from ["session over"] if "revoked_at" in move.columns and not move.is_new else []
        case ApiToken():
            yield "token made"
        case _:
            return


def _conversation_changes(move: RowChange, row: Conversation) -> list[str]:
    if "deleted_at" in move.columns:
        return ["conversation deleted"]
    if "erase_due" in move.columns:
        return ["conversation erased"] if row.erase_due is None else []
    by_person = row.title_by in (None, "person")
    names = ["conversation changed"] if {"is_active", "metadata"} & move.columns else []
    return names or (["conversation changed" if by_person else "title"] if "title" in move.columns else [])


def _is_audited(name: str, move: RowChange | None, entries: list[PendingEntry]) -> bool:
    return any(note.action in AUDITED[name] and _is_about(note, move) for note in entries)


def _is_about(note: PendingEntry, move: RowChange | None) -> bool:
    body = load_object(note.body)
    match None if move is None else move.row:
        case Run(id=run_id):
            return note.stream == f"run:{run_id}"
        case Approval() | Call() | Execution() as row:
            return (note.stream, body.get("call_id")) == (f"run:{row.run_id}", row.id)
        case Decision(approval_id=call_id):
            return body.get("call_id") == call_id
        case Conversation(id=conversation_id):
            return body.get("conversation_id") == conversation_id
        case User(id=user_id) | Identity(user_id=user_id):
            return user_id in (note.stream.removeprefix("user:"), body.get("member_id"))
        case RefreshToken() as row:
            return _is_about_session(note, body, row)
        case _:
            return True


def _is_about_session(note: PendingEntry, body: JsonObject, row: RefreshToken) -> bool:
    if note.action.startswith("session."):
        return body["session"] == row.family
    return row.user_id in (note.stream.removeprefix("user:"), body.get("member_id"))
