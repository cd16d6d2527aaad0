"""Whole tool calls out of the pieces of a stream.

Providers differ: some number every call 0, some repeat the id or the name in each piece, some split the name, some
give no id. What is certain is only this: calls come out when the provider has said that it ended by itself, and
arguments that are not one JSON object are given back to the model instead of being repaired.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from src.api.agent.arguments import MAX_ARGUMENTS, CallRejected, parse_object
from src.api.ports import CallDelta, Finished

__all__ = ["AssembledCall", "CallAssembler"]

MAX_CALLS = 32
MAX_NAME = 256
MAX_ID = 32_768


@dataclass(frozen=True, slots=True)
class AssembledCall:
    """One call of a turn that ended. With a `problem` it must not run: that sentence is the model's answer to it.

    `provider_id` is data: it may be empty, thousands of characters long, or the same for two calls.
    """

    provider_id: str
    name: str
    arguments: str
    problem: str | None = None


@dataclass(slots=True)
class _Draft:
    index: int
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    def whole(self) -> bool:
        """Whether the arguments so far are one JSON object, so that anything further belongs to another call."""
        if not self.pieces or not self.pieces[-1].rstrip().endswith("}"):
            return False
        try:
            parse_object(self.arguments)
        except CallRejected:
            return False
        return True


class CallAssembler:
    """Collects the pieces of one turn. `tools` are the names that the model was given."""

    def __init__(self, tools: Collection[str] = ()) -> None:
        self._tools = frozenset(tools)
        self._drafts: list[_Draft] = []
        self._latest: dict[int, _Draft] = {}
        self._refused = 0

    def add(self, delta: CallDelta) -> None:
        draft = self._draft_of(delta)
        if draft is None:
            return
        draft.id = draft.id or delta.id
        draft.name = self._joined(draft.name, delta.name)[: MAX_NAME + 1]
        if delta.arguments and draft.size <= MAX_ARGUMENTS:
            draft.pieces.append(delta.arguments)
            draft.size += len(delta.arguments)

    def finish(self, end: Finished) -> list[AssembledCall]:
        """The calls in the order in which they began. Call it only with the `Finished` of the same stream.

        When the answer was cut short by its length or by a filter, none of them can be trusted to be whole.
        """
        cut = _cut_short(end)
        calls = [self._call(draft, cut) for draft in self._drafts[:MAX_CALLS]]
        return calls + [self._call(draft, self._too_many()) for draft in self._drafts[MAX_CALLS:]]

    def _draft_of(self, delta: CallDelta) -> _Draft | None:
        draft = self._same_id(delta) or self._latest.get(delta.index)
        if draft is None:
            return self._begin(delta)
        if not self._starts_another(draft, delta):
            return draft
        return None if _repeats(draft, delta) else self._begin(delta)

    def _same_id(self, delta: CallDelta) -> _Draft | None:
        """Pieces of several calls that share one index may come interleaved, told apart by their ids alone."""
        if not delta.id:
            return None
        known = (draft for draft in reversed(self._drafts) if draft.id == delta.id and draft.index == delta.index)
        return next(known, None)

    def _starts_another(self, draft: _Draft, delta: CallDelta) -> bool:
        """A new call under an index in use announces itself by a name, and by a new id or a finished predecessor."""
        if not delta.name:
            return False
        if delta.id and draft.id and delta.id != draft.id:
            return delta.name != draft.name or draft.whole() or not draft.pieces
        if delta.id and delta.id == draft.id and delta.name == draft.name and not delta.arguments:
            return False
        both_known = {draft.name, delta.name} <= self._tools and draft.name != delta.name
        return draft.whole() or (both_known and draft.name + delta.name not in self._tools)

    def _begin(self, delta: CallDelta) -> _Draft | None:
        if len(self._drafts) > MAX_CALLS:
            self._refused += bool(delta.name)
            self._latest.pop(delta.index, None)
            return None
        draft = _Draft(delta.index)
        self._drafts.append(draft)
        self._latest[delta.index] = draft
        return draft

    def _joined(self, name: str, piece: str) -> str:
        """Names come in pieces, repeated, or growing from piece to piece."""
        if not piece:
            return name
        split = name + piece
        if split in self._tools and piece not in self._tools:
            return split
        return piece if piece.startswith(name) else split

    def _call(self, draft: _Draft, cut: str | None) -> AssembledCall:
        name = _undoubled(draft.name, self._tools)
        arguments = draft.arguments if draft.size <= MAX_ARGUMENTS else ""
        problem = cut or _problem(draft, name)
        provider_id = draft.id if len(draft.id) <= MAX_ID else ""
        return AssembledCall(provider_id, name[:MAX_NAME], arguments if arguments.strip() else "{}", problem)

    def _too_many(self) -> str:
        others = f" and the {self._refused} after it" if self._refused else ""
        return f"At most {MAX_CALLS} calls are taken in one turn: this one{others} were not run. Ask again in the next."


def _repeats(draft: _Draft, delta: CallDelta) -> bool:
    """A provider may close a call by sending all of it once more."""
    return bool(delta.id) and (delta.id, delta.name, delta.arguments) == (draft.id, draft.name, draft.arguments)


def _undoubled(name: str, tools: Collection[str]) -> str:
    half = name[: len(name) // 2]
    return half if name not in tools and half in tools and name == half * 2 else name


def _cut_short(end: Finished) -> str | None:
    if end.reason == "length":
        return (
            "The call was not run: your answer reached its length limit, so the call may be incomplete. "
            "Send it again, with less text around it."
        )
    if end.reason == "content_filter":
        return "The call was not run: the provider's content filter ended your answer before the call was complete."
    return None


def _problem(draft: _Draft, name: str) -> str | None:
    if not name:
        return "The call was not run: it named no tool. Send it again with the tool's name."
    if len(name) > MAX_NAME:
        return f"The call was not run: its tool name is longer than {MAX_NAME} characters."
    if draft.size > MAX_ARGUMENTS:
        return f"The call was not run: its arguments are longer than {MAX_ARGUMENTS} characters. Send less."
    try:
        parse_object(draft.arguments)
    except CallRejected as rejected:
        return rejected.problem
    return None
