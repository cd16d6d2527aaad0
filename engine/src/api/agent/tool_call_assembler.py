"""Assemble tool calls from the pieces of a stream.

Providers differ: some give every call the same index, or even the same id, repeat the id or the name in each piece,
split the name, or send no id. Only this is certain: calls are complete when the provider has ended the stream by
itself, and arguments that are not one JSON object are returned to the model instead of being repaired.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from src.api.agent.arguments import MAX_ARGUMENTS, CallRejected, parse_object
from src.api.ports import CallDelta, Finished
from src.api.schemas.base import JsonObject
from src.api.utils.text import join_characters

__all__ = ["AssembledCall", "CallAssembler"]

MAX_CALLS = 32
MAX_NAME = 256
MAX_ID = 32_768


@dataclass(frozen=True, slots=True)
class AssembledCall:
    """A call of a completed turn. One with a `problem` must not run; the problem is its result for the model.

    `provider_id` is untrusted: it may be empty, thousands of characters long, or shared by two calls. `state` is what
    the provider expects back with the call.
    """

    provider_id: str
    name: str
    arguments: str
    problem: str | None = None
    state: JsonObject | None = None


@dataclass(slots=True)
class _PartialCall:
    index: int
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    size: int = 0
    state: JsonObject | None = None
    follower: CallDelta | None = None
    """A piece that named this call again after its end. It begins another call if arguments follow it."""

    @property
    def arguments(self) -> str:
        return join_characters("".join(self.pieces))

    def is_complete(self) -> bool:
        """Whether the arguments are one JSON object already, so that further pieces belong to another call."""
        if not self.pieces or not self.pieces[-1].rstrip().endswith("}"):
            return False
        try:
            parse_object(self.arguments)
        except CallRejected:
            return False
        return True


class CallAssembler:
    """Collect the pieces of one turn. `tools` are the names that the model was given."""

    def __init__(self, tools: Collection[str] = ()) -> None:
        self._tools = frozenset(tools)
        self._partials: list[_PartialCall] = []
        self._latest: dict[int, _PartialCall] = {}
        self._dropped = 0

    def add(self, delta: CallDelta) -> None:
        partial = self._partial_for(delta)
        if partial is None:
            return
        if delta.state is not None:
            partial.state = {**(partial.state or {}), **delta.state}
        partial.id = partial.id or delta.id
        partial.name = self._join_name(partial.name, delta.name)[: MAX_NAME + 1]
        if delta.arguments and partial.size <= MAX_ARGUMENTS:
            partial.pieces.append(delta.arguments)
            partial.size += len(delta.arguments)

    def finish(self, end: Finished) -> list[AssembledCall]:
        """Return the calls in the order in which they began. Call it only with the `Finished` of the same stream.

        If the answer was cut by its length or a filter, every call may be incomplete and gets a problem.
        """
        cut = _cut_short(end)
        calls = [self._finish_call(partial, cut) for partial in self._partials[:MAX_CALLS]]
        return calls + [self._finish_call(partial, self._too_many()) for partial in self._partials[MAX_CALLS:]]

    def _partial_for(self, delta: CallDelta) -> _PartialCall | None:
        partial = self._same_id(delta) or self._latest.get(delta.index)
        if partial is None:
            return self._begin(delta)
        if partial.follower is not None and delta.arguments.strip() and not delta.name:
            return self._begin(replace(delta, id=partial.follower.id), partial.follower.name)
        if not self._starts_another(partial, delta):
            return partial
        return None if _is_repeated(partial, delta) else self._begin(delta)

    def _same_id(self, delta: CallDelta) -> _PartialCall | None:
        """Find the call by id: pieces of calls that share an index may be interleaved."""
        if not delta.id:
            return None
        known = (
            partial for partial in reversed(self._partials) if partial.id == delta.id and partial.index == delta.index
        )
        return next(known, None)

    def _starts_another(self, partial: _PartialCall, delta: CallDelta) -> bool:
        """Whether the piece begins another call under the same index: it has a name, and a new id or a complete
        predecessor.
        """
        if not delta.name:
            return False
        if delta.id and partial.id and delta.id != partial.id:
            return delta.name != partial.name or partial.is_complete() or not partial.pieces
        if delta.id and delta.id == partial.id and delta.name == partial.name and not delta.arguments:
            partial.follower = delta if partial.is_complete() else None
            return False
        both_known = {partial.name, delta.name} <= self._tools and partial.name != delta.name
        return partial.is_complete() or (both_known and partial.name + delta.name not in self._tools)

    def _begin(self, delta: CallDelta, name: str = "") -> _PartialCall | None:
        if len(self._partials) > MAX_CALLS:
            self._dropped += bool(delta.name)
            self._latest.pop(delta.index, None)
            return None
        partial = _PartialCall(delta.index, delta.id, name)
        self._partials.append(partial)
        self._latest[delta.index] = partial
        return partial

    def _join_name(self, name: str, piece: str) -> str:
        """Join a name that arrives in pieces, repeated, or growing."""
        if not piece:
            return name
        split = name + piece
        if split in self._tools and piece not in self._tools:
            return split
        return piece if piece.startswith(name) else split

    def _finish_call(self, partial: _PartialCall, cut: str | None) -> AssembledCall:
        name = _remove_doubling(partial.name, self._tools)
        arguments = partial.arguments if partial.size <= MAX_ARGUMENTS else ""
        problem = cut or _problem(partial, name)
        provider_id = partial.id if len(partial.id) <= MAX_ID else ""
        arguments = arguments if arguments.strip() else "{}"
        return AssembledCall(provider_id, name[:MAX_NAME], arguments, problem, partial.state)

    def _too_many(self) -> str:
        others = f" and the {self._dropped} after it" if self._dropped else ""
        return f"At most {MAX_CALLS} calls are taken in one turn: this one{others} were not run. Ask again in the next."


def _is_repeated(partial: _PartialCall, delta: CallDelta) -> bool:
    """Whether the piece repeats the whole call, as some providers do to end it."""
    if not delta.id or (delta.id, delta.name) != (partial.id, partial.name):
        return False
    try:
        return parse_object(delta.arguments) == parse_object(partial.arguments)
    except CallRejected:
        return delta.arguments == partial.arguments


def _remove_doubling(name: str, tools: Collection[str]) -> str:
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


def _problem(partial: _PartialCall, name: str) -> str | None:
    if not name:
        return "The call was not run: it named no tool. Send it again with the tool's name."
    if len(name) > MAX_NAME:
        return f"The call was not run: its tool name is longer than {MAX_NAME} characters."
    if partial.size > MAX_ARGUMENTS:
        return f"The call was not run: its arguments are longer than {MAX_ARGUMENTS} characters. Send less."
    try:
        parse_object(partial.arguments)
    except CallRejected as rejected:
        return rejected.problem
    return None
