"""`/agent`: asking, deciding, stopping, following."""

from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Header, Query

from src.api.endpoints.dependencies import Api, Cursor, Limit, Services, SignedIn
from src.api.endpoints.streaming import EventStream, open_stream
from src.api.schemas.agent import ChatRequest, DecisionRequest, SettleRequest, Started, Stopped, StopRequest
from src.api.schemas.runs import ApprovalPage, ApprovalView, RunPage, RunView
from src.api.schemas.sse import MEDIA_TYPE
from src.api.schemas.tools import ToolList
from src.api.services.access import Caller
from src.api.services.stream import position

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
ApprovalStatus = Literal["pending", "approved", "denied", "expired", "superseded", "stopped", "consumed", "stale"]
RunState = Literal["queued", "waiting", "running", "awaiting_approval", "completed", "failed", "stopped"]
EventId = Annotated[str | None, Header(max_length=100)]


async def _followed(api: Services, caller: Caller, started: Started) -> EventStream:
    seat = partial(api.audience.seat, caller, started.conversation_id)
    return await open_stream(api.streams.frames(started.run_id, started.after), api.closing, seat)


@router.post("/chat", response_class=EventStream, responses=STREAM)
async def chat(api: Api, caller: SignedIn, wanted: ChatRequest, idempotency_key: Key = None) -> EventStream:
    """Starts a run on the last user message and streams it. The same `Idempotency-Key` and body attach to that run."""
    return await _followed(api, caller, await api.chat.submit(caller, wanted, idempotency_key))


@router.post("/approvals/{call_id}", response_class=EventStream, responses=STREAM)
async def decide(api: Api, caller: SignedIn, call_id: UUID, decision: DecisionRequest) -> EventStream:
    """Records the decision, then streams the resumed run from the decision's own event on."""
    return await _followed(api, caller, await api.approvals.decide(caller, str(call_id), decision))


@router.get("/approvals")
async def inbox(
    api: Api, caller: SignedIn, status: ApprovalStatus = "pending", limit: Limit = 20, cursor: Cursor = None
) -> ApprovalPage:
    """Approvals in this state, over every conversation that the caller may see; newest first."""
    return await api.inbox.page(caller, status, cursor, limit)


@router.get("/approvals/{call_id}")
async def approval(api: Api, caller: SignedIn, call_id: UUID) -> ApprovalView:
    """What was asked for, what was shown, and what became of it."""
    return await api.inbox.get(caller, str(call_id))


@router.post("/approvals/{call_id}/verify")
async def verify(
    api: Api, caller: SignedIn, call_id: UUID, word: Annotated[SettleRequest | None, Body()] = None
) -> ApprovalView:
    """For an `unknown` outcome: asks the tool server whether it ever ran, or takes a person's word. Never runs it."""
    return await api.verification.verify(caller, str(call_id), word or SettleRequest())


@router.post("/stop")
async def stop(api: Api, caller: SignedIn, wanted: StopRequest) -> Stopped:
    """Stops a run: no new tool starts and no token is generated. Stopping it twice is the same."""
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
    """Runs of one conversation, or all of the caller's; newest first."""
    return await api.runs.list(caller, str(conversation_id) if conversation_id else None, state, cursor, limit)


@router.get("/runs/{run_id}")
async def run(api: Api, caller: SignedIn, run_id: UUID) -> RunView:
    """A run: its state, times, usage and error."""
    return await api.runs.get(caller, str(run_id))


@router.get("/runs/{run_id}/events", response_class=EventStream, responses=STREAM)
async def events(
    api: Api, caller: SignedIn, run_id: UUID, after: After = 0, last_event_id: EventId = None
) -> EventStream:
    """Replays what came after `Last-Event-ID` (or `after`), then follows until the run rests."""
    followed = await api.runs.get(caller, str(run_id))
    begin = position(str(run_id), last_event_id) if last_event_id else after
    return await _followed(
        api, caller, Started(run_id=followed.run_id, conversation_id=followed.conversation_id, after=begin)
    )


@router.get("/tools")
async def tools(api: Api, caller: SignedIn) -> ToolList:
    """Every tool that the caller could use."""
    return await api.tools.list(caller)
