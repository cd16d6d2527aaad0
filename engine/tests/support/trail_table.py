"""Which entry of the audit trail each change of state leaves, in its own transaction, and which leave none, and why."""

from collections.abc import Iterator

from src.api.adapters.store.trail import Note
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
from src.api.utils.shown import shown_object
from tests.support.trail_watch import Move, Moved

__all__ = ["TOLD", "UNTOLD", "found", "untold"]

TOLD: dict[str, set[str]] = {
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

UNTOLD = {
    "run running": "who works on it is no business of the trail; what it does is told",
    "run queued": "it goes on: what made it go on is told",
    "call made pending": "a wish of the model: what becomes of it is told",
    "call pending": "a read that is asked for: then it is told",
    "title": "what it is called is taken from what was said in it, which the trail does not keep",
}
"""Also without entries: leases, journals, search texts, submissions, model calls, notes of credentials, and refresh
tokens that take the place of others. They are how the engine works, not what somebody did."""


def found(moved: Moved) -> Iterator[tuple[str, Move | None]]:
    """The changes of state of a transaction, by their names in the table."""
    for move in moved.moves:
        yield from ((name, move) for name in _names(move))
    for table, name in (("api_tokens", "token removed"), ("integrations", "integration removed")):
        if table in moved.removed:
            yield name, None


def untold(moved: Moved) -> list[str]:
    """Those that left no entry, or an entry that does not say of what."""
    return [name for name, move in found(moved) if name not in UNTOLD and not _is_told(name, move, moved.told)]


def _names(move: Move) -> Iterator[str]:
    row, made = move.row, "made " if move.made else ""
    match row:
        case Run():
            yield from ["run made"] if move.made else [f"run {row.state}"] if "state" in move.set else []
            yield from ["run stop asked"] if "stop_at" in move.set and not move.made else []
        case Approval():
            yield from [f"approval {made}{row.status}"] if "status" in move.set else []
        case Call():
            yield from [f"call {made}{row.status}"] if "status" in move.set else []
        case Execution():
            yield from [f"execution {row.state}"] if "state" in move.set else []
            yield from ["execution looked at"] if "evidence" in move.set and row.evidence else []
        case Conversation():
            yield from ["conversation made"] if move.made else _of_conversation(move, row)
        case Decision() | Identity() | Integration() | User():
            kind = type(row).__name__.lower()
            yield from [f"{kind} made"] if move.made else [f"{kind} changed"] if move.set - {"updated_at"} else []
        case RefreshToken():
            yield from ["session begun"] if move.made and row.id == row.family else []
            yield from ["session over"] if "revoked_at" in move.set and not move.made else []
        case ApiToken():
            yield "token made"
        case _:
            return


def _of_conversation(move: Move, row: Conversation) -> list[str]:
    if "deleted_at" in move.set:
        return ["conversation deleted"]
    if "erase_due" in move.set:
        return ["conversation erased"] if row.erase_due is None else []
    by_person = row.title_by in (None, "person")
    names = ["conversation changed"] if {"is_active", "metadata"} & move.set else []
    return names or (["conversation changed" if by_person else "title"] if "title" in move.set else [])


def _is_told(name: str, move: Move | None, told: list[Note]) -> bool:
    return any(note.action in TOLD[name] and _is_about(note, move) for note in told)


def _is_about(note: Note, move: Move | None) -> bool:
    body = shown_object(note.body)
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
            return _of_session(note, body, row)
        case _:
            return True


def _of_session(note: Note, body: JsonObject, row: RefreshToken) -> bool:
    if note.action.startswith("session."):
        return body["session"] == row.family
    return row.user_id in (note.stream.removeprefix("user:"), body.get("member_id"))
