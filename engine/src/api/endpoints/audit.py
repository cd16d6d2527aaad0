"""`/audit`: what was done and by whom, for admins."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from src.api.endpoints.dependencies import Api, Cursor, Limit, SignedIn
from src.api.schemas.audit import AuditFilter, AuditPage, AuditReport

router = APIRouter(prefix="/audit", tags=["audit"])

Stream = Annotated[str | None, Query(max_length=100, description="`run:<id>`, `user:<id>`, `team`, …")]
Actor = Annotated[str | None, Query(max_length=320, description="`user:<id>`, `local`, `token:<name>`, `engine`, …")]
Action = Annotated[str | None, Query(max_length=32, description="As `tool.approved`")]
Time = Annotated[int | None, Query(ge=0, le=9_999_999_999_999, description="Milliseconds since the epoch")]
Seal = Annotated[str | None, Query(max_length=100, description="An outside copy of a seal: its number, `:`, its hash")]
Place = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the part before")]

_LINES: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"application/x-ndjson": {}}}}


@router.get("")
async def page(
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
    """Entries of the audit trail, newest first; a filtered page may be short while `has_more` is true."""
    wanted = AuditFilter(stream=stream, actor=actor, action=action, since=since, until=until)
    return await api.audit.page(caller, wanted, cursor, limit)


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
    """The trail as lines of JSON, to be kept elsewhere and checked by `skyflo audit verify --file`."""
    wanted = AuditFilter(stream=stream, actor=actor, action=action, since=since, until=until)
    lines = api.audit.export(caller, wanted)
    disposition = {"Content-Disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=disposition)


@router.get("/verify")
async def verify(api: Api, caller: SignedIn, cursor: Place = None, seal: Seal = None) -> AuditReport:
    """Checks chains and seals, a bounded part at a time: go on with `next_cursor` while `status` is `unfinished`."""
    return await api.audit.verify(caller, cursor, seal)
