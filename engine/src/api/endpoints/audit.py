"""`/audit`: the audit log, for admins."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from src.api.endpoints.dependencies import Api, Cursor, Limit, SignedIn
from src.api.schemas.audit import AuditFilter, AuditPage, AuditReport

router = APIRouter(prefix="/audit", tags=["audit"])

Stream = Annotated[str | None, Query(max_length=100, description="`run:<id>`, `user:<id>`, `team`, …")]
Actor = Annotated[str | None, Query(max_length=320, description="`user:<id>`, `local`, `token:<name>`, `engine`, …")]
Action = Annotated[str | None, Query(max_length=32, description="For example `tool.approved`")]
Time = Annotated[int | None, Query(ge=0, le=9_999_999_999_999, description="Milliseconds since the epoch")]
Seal = Annotated[str | None, Query(max_length=100, description="An external copy of a seal: its number, `:`, its hash")]
CheckCursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the part before")]

_LINES: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"application/x-ndjson": {}}}}


@router.get("")
async def list_entries(
    api: Api,
    caller: SignedIn,
    limit: Limit = 20,
    cursor: Cursor = None,
    stream: Stream = None,
    actor: Actor = None,
    action: Action = None,
    since: Time = None,
    until: Time = None,
) -> AuditPage:
    """List audit entries, newest first. A filtered page may be short while `has_more` is true."""
    filters = AuditFilter(stream=stream, actor=actor, action=action, since=since, until=until)
    return await api.audit.page(caller, filters, cursor, limit)


@router.get("/export", response_class=StreamingResponse, responses=_LINES)
async def export(
    api: Api,
    caller: SignedIn,
    stream: Stream = None,
    actor: Actor = None,
    action: Action = None,
    since: Time = None,
    until: Time = None,
) -> StreamingResponse:
    """Export the audit log as JSON Lines, to keep elsewhere and check with `skyflo audit verify --file`."""
    filters = AuditFilter(stream=stream, actor=actor, action=action, since=since, until=until)
    lines = api.audit.export(caller, filters)
    disposition = {"Content-Disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=disposition)


@router.get("/verify")
async def verify(api: Api, caller: SignedIn, cursor: CheckCursor = None, seal: Seal = None) -> AuditReport:
    """Check chains and seals, in bounded parts: continue with `next_cursor` while `status` is `unfinished`."""
    return await api.audit.check(caller, cursor, seal)
