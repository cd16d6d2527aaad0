"""`/events`: the live feed."""

from contextlib import ExitStack
from typing import Any

from fastapi import APIRouter

from src.api.endpoints.dependencies import Api, SignedIn
from src.api.endpoints.streaming import EventStream
from src.api.schemas.sse import MEDIA_TYPE

router = APIRouter(tags=["events"])

_MESSAGE: dict[str, Any] = {
    "type": "object",
    "description": "`data` is JSON, by docs/feed.schema.json",
    "properties": {name: {"type": "string"} for name in ("event", "data")},
    "required": ["event", "data"],
}
FEED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Messages about everything that the caller may see",
        "content": {MEDIA_TYPE: {"itemSchema": _MESSAGE}},
    }
}


@router.get("/events", response_class=EventStream, responses=FEED)
async def feed(api: Api, caller: SignedIn) -> EventStream:
    """Stream what changes in everything that the caller may see: first a snapshot (`ready`), then ids and new states.

    Nothing is replayed: a client that connects again gets a new snapshot.
    """
    with ExitStack() as stack:
        stack.enter_context(api.feeds.slot(caller))
        revoked = stack.enter_context(api.stream_access.subscription(caller))
        frames = api.feed.frames(caller)
        return EventStream(await anext(frames), frames, api.closing, revoked, api.feed.interruption, stack.pop_all())
