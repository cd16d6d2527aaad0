"""`/agent`: chat, approvals, runs and tools."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Header, Query

from src.api.endpoints.dependencies import Api, Cursor, Limit, Services, SignedIn
from src.api.endpoints.streaming import EventStream
from src.api.schemas.agent import ChatRequest, DecisionRequest, ReconcileRequest, Stopped, StopRequest, StreamStart
from src.api.schemas.approvals import ApprovalStatus, Risk
from src.api.schemas.runs import ApprovalPage, ApprovalView, RunPage, RunView
from src.api.schemas.sse import MEDIA_TYPE
from src.api.schemas.tools import ToolList
from src.api.services.access import Caller
from src.api.services.approvals.queries import InboxFilter
from src.api.services.streaming.stream import parse_event_id

router = APIRouter(prefix="/agent", tags=["agent"])

_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "`data` is JSON, by docs/events.schema.json; `id` is where to go on from",
    "properties": {name: {"type": "string"} for name in ("event", "data", "id")},
    "required": ["event", "data"],
}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "The run's events", "content": {MEDIA_TYPE: {"itemSchema": _EVENT}}}
}
After = Annotated[int, Query(ge=0, le=10**18, description="The `seq` of the last event seen")]
Key = Annotated[str | None, Header(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
Name = Annotated[str | None, Query(max_length=253)]
RunState = Literal["queued", "waiting", "running", "awaiting_approval", "completed", "failed", "stopped"]
EventId = Annotated[str | None, Header(max_length=100)]


async def _stream_run(
    api: Services, caller: Caller, start: Callable[[], Awaitable[StreamStart]], *, limited: bool = True
) -> EventStream:
    """Start or find a run, and stream it. A caller with too many open streams is refused before anything starts.

    Errors of the first frame are raised here, while a status can still be sent.
    """
    with ExitStack() as stack:
        if limited:
            stack.enter_context(api.run_streams.slot(caller))
        started = await start()
        revoked = stack.enter_context(api.stream_access.subscription(caller, started.conversation_id))
        describe = partial(api.inbox.describe_for, caller)
        frames = api.streams.frames(started.run_id, started.after, describe)
        last_frame = partial(api.streams.interruption, started.run_id, started.conversation_id)
        return EventStream(await anext(frames), frames, api.closing, revoked, last_frame, stack.pop_all())


@router.post("/chat", response_class=EventStream, responses=STREAM)
async def chat(api: Api, caller: SignedIn, wanted: ChatRequest, idempotency_key: Key = None) -> EventStream:
    """Start a run for the last user message and stream it. A repeated `Idempotency-Key` with the same body joins that
    run.
    """
    if wanted.toolsets:
        await api.tools.check_toolsets(caller, wanted.toolsets)
    return await _stream_run(api, caller, partial(api.chat.submit, caller, wanted, idempotency_key))


@router.post("/approvals/{call_id}", response_class=EventStream, responses=STREAM)
async def decide(api: Api, caller: SignedIn, call_id: UUID, decision: DecisionRequest) -> EventStream:
    """Record a decision, then stream the resumed run from the decision's own event on."""
    # However many streams are open, a person must be able to decide.
    start = partial(api.approvals.decide, caller, str(call_id), decision)
    return await _stream_run(api, caller, start, limited=False)


async def inbox_filter(
    status: Annotated[ApprovalStatus | None, Query(description="Default: pending; any, if `outcome` is given")] = None,
    outcome: Annotated[Literal["unknown"] | None, Query(description="Changes whose outcome is not known")] = None,
    decidable: Annotated[bool, Query(description="Only what the caller may approve now")] = False,
    cluster: Name = None,
    namespace: Name = None,
    risk: Risk | None = None,
    requester: Annotated[str | None, Query(max_length=320, description="An id or an e-mail address")] = None,
    sort: Annotated[
        Literal["created_at", "expires_at"], Query(description="The newest first, or what expires first")
    ] = "created_at",
) -> InboxFilter:
    return InboxFilter(status, outcome, decidable, cluster, namespace, risk, requester, sort)


@router.get("/approvals")
async def list_approvals(
    api: Api,
    caller: SignedIn,
    wanted: Annotated[InboxFilter, Depends(inbox_filter)],
    limit: Limit = 20,
    cursor: Cursor = None,
) -> ApprovalPage:
    """List approvals in all conversations that the caller may see: those that are pending, unless filtered.

    A page may hold fewer than `limit` while `has_more` is true.
    """
    return await api.inbox.page(caller, wanted, cursor, limit)


@router.get("/approvals/{call_id}")
async def approval(api: Api, caller: SignedIn, call_id: UUID) -> ApprovalView:
    """Return an approval: the request, its preview, and its outcome."""
    return await api.inbox.get(caller, str(call_id))


@router.post("/approvals/{call_id}/verify")
async def verify(
    api: Api, caller: SignedIn, call_id: UUID, word: Annotated[ReconcileRequest | None, Body()] = None
) -> ApprovalView:
    """Reconcile an `unknown` outcome: ask the tool server, or record a user's statement. Never runs the call."""
    return await api.verification.verify(caller, str(call_id), word or ReconcileRequest())


@router.post("/stop")
async def stop(api: Api, caller: SignedIn, wanted: StopRequest) -> Stopped:
    """Stop a run: no new tool starts and no further token is generated. Idempotent."""
    conversation_id, run_id = str(wanted.conversation_id), str(wanted.run_id)
    await api.runs.stop(caller, conversation_id, run_id)
    return Stopped(conversation_id=conversation_id, run_id=run_id)


@router.get("/runs")
async def runs(
    api: Api,
    caller: SignedIn,
    conversation_id: UUID | None = None,
    state: RunState | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> RunPage:
    """List runs of one conversation, or all of the caller's, newest first."""
    return await api.runs.list(caller, str(conversation_id) if conversation_id else None, state, cursor, limit)


@router.get("/runs/{run_id}")
async def run(api: Api, caller: SignedIn, run_id: UUID) -> RunView:
    """Return a run: its state, times, usage and error."""
    return await api.runs.get(caller, str(run_id))


@router.get("/runs/{run_id}/events", response_class=EventStream, responses=STREAM)
async def events(
    api: Api, caller: SignedIn, run_id: UUID, after: After = 0, last_event_id: EventId = None
) -> EventStream:
    """Replay the events after `Last-Event-ID` (or `after`), then follow the run until it rests."""

    async def find() -> StreamStart:
        followed = await api.runs.get(caller, str(run_id))
        begin = parse_event_id(str(run_id), last_event_id) if last_event_id else after
        return StreamStart(run_id=followed.run_id, conversation_id=followed.conversation_id, after=begin)

    return await _stream_run(api, caller, find)


@router.get("/tools")
async def tools(api: Api, caller: SignedIn) -> ToolList:
    """List the tools that the caller may use."""
    return await api.tools.list(caller)
