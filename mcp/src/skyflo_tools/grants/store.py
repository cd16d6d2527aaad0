"""The grant store port: records used grants, which makes each grant single-use and its outcome queryable."""

from typing import Literal, Protocol

from pydantic import BaseModel, JsonValue

from skyflo_tools.errors import Effect

RETENTION_SECONDS = 30 * 24 * 3600.0
KEY_BYTES = 32

StoredState = Literal["started", "succeeded", "failed", "revoked"]
SettledState = Literal["never_ran", "started", "succeeded", "failed"]


class GrantOutcome(BaseModel):
    """The result of a change, as stored under its grant."""

    state: Literal["succeeded", "failed"]
    effect: Effect
    text: str
    structured: dict[str, JsonValue]


class Settlement(BaseModel):
    """The result of `grant_settle`: the final state of a grant, or `started` if its outcome is unknown."""

    state: SettledState
    effect: Effect
    result: dict[str, JsonValue] | None


class GrantStore(Protocol):
    """A store of used grants. Every method is atomic and durable; it raises StoreUnavailable if it fails."""

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...

    async def consume(self, grant: str, tool: str, now: float) -> StoredState | None:
        """Mark a grant as used. Returns None, or the state it already has.

        Also deletes grants older than thirty days.
        """

    async def record_outcome(self, grant: str, outcome: GrantOutcome, now: float) -> None:
        """Record the result of a change whose grant was consumed. A recorded result is never overwritten."""

    async def settle(self, grant: str, now: float) -> Settlement:
        """Return the state of a grant. Revokes a grant that was never used, in the same transaction."""

    async def fingerprint_key(self) -> bytes:
        """Return the fingerprint key, created once and shared by all users of the store. It outlives a restart."""


def to_settlement(state: StoredState, result: str | None) -> Settlement:
    """Convert a stored row to a settlement."""
    if state == "revoked":
        return Settlement(state="never_ran", effect="none", result=None)
    if state == "started" or result is None:
        return Settlement(state="started", effect="unknown", result=None)
    outcome = GrantOutcome.model_validate_json(result)
    kept: dict[str, JsonValue] = {"text": outcome.text, "structuredContent": outcome.structured}
    return Settlement(state=state, effect=outcome.effect, result=kept)
