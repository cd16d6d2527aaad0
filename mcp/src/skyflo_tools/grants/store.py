"""The memory of used grants: what makes a grant single-use, and what can say for good whether it ever ran."""

from typing import Literal, Protocol

from pydantic import BaseModel, JsonValue

from skyflo_tools.errors import Effect

KEEP_SECONDS = 30 * 24 * 3600.0
KEY_BYTES = 32

StoredState = Literal["started", "succeeded", "failed", "revoked"]
SettledState = Literal["never_ran", "started", "succeeded", "failed"]


class Ending(BaseModel):
    """How a change ended."""

    state: Literal["succeeded", "failed"]
    effect: Effect
    text: str
    structured: dict[str, JsonValue]


class Settlement(BaseModel):
    """What is known for good of a grant."""

    state: SettledState
    effect: Effect
    result: dict[str, JsonValue] | None


class GrantStore(Protocol):
    """Every method is atomic and durable. Each raises StoreUnavailable where the store can't be reached."""

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...

    async def begin(self, grant: str, tool: str, now: float) -> StoredState | None:
        """Uses a grant up. None if that worked; else the state that it is in already. Also forgets what is older
        than thirty days."""

    async def end(self, grant: str, ending: Ending, now: float) -> None:
        """Writes how the change of a grant that began has ended."""

    async def settle(self, grant: str, now: float) -> Settlement:
        """The stored state; a grant never seen is revoked for ever, in the same step."""

    async def fingerprint_key(self) -> bytes:
        """A random key, made once, that all share who share this store: fingerprints outlive a restart."""


def settlement(state: StoredState, result: str | None) -> Settlement:
    """A stored row as an answer."""
    if state == "revoked":
        return Settlement(state="never_ran", effect="none", result=None)
    if state == "started" or result is None:
        return Settlement(state="started", effect="unknown", result=None)
    ending = Ending.model_validate_json(result)
    kept: dict[str, JsonValue] = {"text": ending.text, "structuredContent": ending.structured}
    return Settlement(state=state, effect=ending.effect, result=kept)
