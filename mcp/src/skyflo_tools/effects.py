"""Track which of a call's changes took effect, so that an error can report it."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from skyflo_tools.errors import ApiStatusError, ApiUnreachable, CommandNotStarted, Effect, ToolFailure
from skyflo_tools.kubernetes.client import ApiRequest, ApiResponse, Identity, KubeClient

# The API server has not acted if it responds with one of these. It may have acted before it responds with a 5xx.
_NEVER_ACTED = frozenset({400, 401, 403, 404, 405, 406, 409, 410, 412, 413, 415, 422, 429})


T = TypeVar("T")


@dataclass
class EffectTracker:
    """Counts what one call has changed so far. Every change is sent through `send`."""

    total: int = 0
    done: int = 0
    in_doubt: int = 0

    @property
    def effect(self) -> Effect:
        if self.in_doubt:
            return "unknown"
        if self.done == 0:
            return "none"
        return "done" if self.done >= self.total else "partial"

    def begin(self) -> None:
        """Count the one step of a change that is made as a whole. Until `settle` its effect is unknown."""
        self.total, self.done, self.in_doubt = 1, 0, 1

    def settle(self, effect: Effect) -> None:
        """Set the effect of a change that is made as a whole."""
        self.in_doubt = int(effect == "unknown")
        self.done = int(effect in ("done", "partial"))
        self.total = 2 if effect == "partial" else 1

    async def send(self, client: KubeClient, request: ApiRequest, identity: Identity | None) -> ApiResponse:
        """Send one change and count its outcome. A send that never returns counts as unknown."""
        return await self.attempt(client.send(request, identity))

    async def attempt(self, change: Awaitable[T]) -> T:
        """Await one change and count its outcome. One that never returns counts as unknown."""
        self.in_doubt += 1
        try:
            result = await change
        except ToolFailure as error:
            if _proves_no_effect(error):
                self.in_doubt -= 1
            raise
        self.in_doubt -= 1
        self.done += 1
        return result


def _proves_no_effect(error: ToolFailure) -> bool:
    if isinstance(error, ApiStatusError):
        return error.status in _NEVER_ACTED
    if isinstance(error, ApiUnreachable):
        return not error.sent
    return isinstance(error, CommandNotStarted)
