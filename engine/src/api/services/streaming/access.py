"""Revoke open streams whose reader has lost access.

One background task per process checks all of them: at most five statements every `CHECK_INTERVAL` seconds for each
`BATCH` of subscriptions.
"""

import asyncio
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from src.api.errors import Unavailable
from src.api.ports import Clock, Reader, Store
from src.api.schemas.query import gt
from src.api.schemas.records import ApiToken, Approval, Conversation, RefreshToken, User
from src.api.services.access import Caller, Role, may_see
from src.api.services.background import BackgroundLoop, run_periodically

__all__ = ["CHECK_INTERVAL", "StreamAccess"]

logger = logging.getLogger(__name__)

CHECK_INTERVAL = 2.0
BATCH = 500


@dataclass(frozen=True, slots=True, eq=False)
class _Subscription:
    """`conversation_id` is None for the live feed, which depends on the caller alone."""

    caller: Caller
    conversation_id: str | None
    revoked: asyncio.Event


class StreamAccess(BackgroundLoop):
    """Check in the background, inside `async with`, whether readers of streams still have access.

    While the database is unavailable, access stays as it was.
    """

    task_name = "stream access"

    def __init__(self, store: Store, clock: Clock, interval: float = CHECK_INTERVAL) -> None:
        self._store = store
        self._clock = clock
        self._interval = interval
        self._subscriptions: set[_Subscription] = set()
        self._has_subscriptions = asyncio.Event()

    @contextmanager
    def subscription(self, caller: Caller, conversation_id: str | None = None) -> Iterator[asyncio.Event]:
        """Yield an event that is set when the caller may no longer read this conversation.

        That is when their account, session or token is no longer valid, or the conversation is no longer visible to
        them. Deleting a conversation sets nothing: its streams end with the run that the deletion stops. Without a
        conversation, a change of the caller's role sets the event too.
        """
        subscription = _Subscription(caller, conversation_id, asyncio.Event())
        self._subscriptions.add(subscription)
        self._has_subscriptions.set()
        try:
            yield subscription.revoked
        finally:
            self._subscriptions.discard(subscription)
            if not self._subscriptions:
                self._has_subscriptions.clear()

    async def _loop(self) -> None:
        await run_periodically(
            self._check_all,
            self._clock,
            lambda: self._interval,
            _log_unchecked,
            wait_first=True,
            enabled=self._has_subscriptions,
        )

    async def _check_all(self) -> None:
        subscriptions = list(self._subscriptions)
        for first in range(0, len(subscriptions), BATCH):
            await self._revoke_lost_access(subscriptions[first : first + BATCH])

    async def _revoke_lost_access(self, subscriptions: Sequence[_Subscription]) -> None:
        async def body(reader: Reader) -> set[_Subscription]:
            callers = await _find_current_callers(reader, {each.caller for each in subscriptions}, self._clock.now())
            feeds = {each for each in subscriptions if each.conversation_id is None}
            requests = {each: (callers.get(each.caller), each.conversation_id) for each in subscriptions}
            allowed = await _find_allowed(reader, {request for each, request in requests.items() if each not in feeds})
            lost = {each for each in feeds if callers.get(each.caller) != each.caller}
            return lost | {each for each, request in requests.items() if each not in feeds and request not in allowed}

        for subscription in await self._store.read(body):
            subscription.revoked.set()


def _log_unchecked(error: Unavailable) -> None:
    logger.info("Access to open streams can't be checked: %s", error, extra={"action": "stream_access.unchecked"})


async def _find_current_callers(reader: Reader, callers: Collection[Caller], now: int) -> dict[Caller, Caller]:
    """Map callers with a valid session or token and an active account to themselves with their current role."""
    sessions = tuple(each.session for each in callers if each.session is not None)
    tokens = tuple(each.token for each in callers if each.token is not None)
    open_sessions = await reader.find(RefreshToken, {"id": sessions, "revoked_at": None}) if sessions else []
    open_tokens = await reader.find(ApiToken, {"id": tokens, "expires_at": gt(now)}) if tokens else []
    valid = {(row.id, row.user_id) for row in open_sessions} | {(row.id, row.user_id) for row in open_tokens}
    user_ids = tuple({user for _, user in valid})
    roles = {user.id: Role(user.role) for user in await reader.find(User, {"id": user_ids, "is_active": True})}
    local = {each: each for each in callers if each.session is None and each.token is None}
    return local | {
        each: replace(each, role=roles[each.id])
        for each in callers
        if (each.session or each.token, each.id) in valid and each.id in roles
    }


async def _find_allowed(
    reader: Reader, requests: Collection[tuple[Caller | None, str | None]]
) -> set[tuple[Caller | None, str | None]]:
    """Return the pairs of caller and conversation in which the caller may see the conversation."""
    ids = tuple({conversation_id for _, conversation_id in requests if conversation_id is not None})
    conversations = {each.id: each for each in await reader.find(Conversation, {"id": ids})}
    with_approvals = set(await reader.distinct(Approval, "conversation_id", {"conversation_id": ids}))
    return {
        (caller, each)
        for caller, each in requests
        if caller is not None
        and each in conversations
        and may_see(caller, conversations[each], had_approval=each in with_approvals)
    }
