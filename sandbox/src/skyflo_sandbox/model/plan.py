"""How a plan is written: as a story that asks the tools and goes on with what they returned.

A plan is a generator. It yields a `Turn` (calls that go out together), is handed their results, and returns an `Answer`
in the end. Nothing is kept between requests: the same plan is told again from its beginning with the results that the
conversation holds, which is what makes the model a pure function of its request.
"""

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from skyflo_sandbox.jsontypes import JsonObject, JsonValue

if TYPE_CHECKING:
    from skyflo_sandbox.model.words import Request

__all__ = [
    "CHANGES",
    "Answer",
    "Call",
    "GiveUp",
    "Memory",
    "Question",
    "Ref",
    "Result",
    "Scope",
    "Status",
    "Steps",
    "Turn",
    "ask",
    "told",
]

CHANGES = frozenset({"k8s_scale", "k8s_apply", "k8s_patch", "k8s_rollout_restart", "k8s_delete"})
Status = Literal["done", "failed", "denied", "expired", "superseded", "stale", "stopped", "unknown"]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Call:
    """A tool and its arguments."""

    tool: str
    arguments: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What became of a call. `call` is what ran: a person may have edited a change before approving it.

    `text` is the tool's own, `problem` and `hint` say what went wrong, `reason` why a person said no. `sure` is false
    where a change failed and may have taken effect all the same.
    """

    call: Call
    status: Status = "done"
    text: str = ""
    problem: str = ""
    code: str = ""
    hint: str = ""
    reason: str = ""
    cut: bool = False
    sure: bool = True

    @property
    def ok(self) -> bool:
        return self.status == "done"


@dataclass(frozen=True)
class Turn:
    """Calls that go out together, and what is said before them."""

    calls: tuple[Call, ...]
    text: str = ""


@dataclass(frozen=True)
class Ref:
    """An object that was found. `kind` is the plural by which tools take it."""

    kind: str
    name: str
    namespace: str = ""
    cluster: str = ""

    def __str__(self) -> str:
        where = f" in `{self.namespace}`" if self.namespace else ""
        return f"{self.kind.removesuffix('s')} `{self.name}`{where}"


@dataclass(frozen=True)
class Question:
    """What was asked back: the request goes on once its `slot` is filled with one of the options."""

    request: "Request"
    slot: Literal["cluster", "namespace", "kind"]
    options: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """The last word of a plan: what it was about, and what a plain yes would now mean."""

    text: str
    focus: Ref | None = None
    proposal: "Request | None" = None
    question: Question | None = None

    def about(self, focus: Ref) -> "Answer":
        return self if self.focus else replace(self, focus=focus)


@dataclass(frozen=True)
class Memory:
    """What the conversation has left behind: what it was about, what a yes would mean, what was asked back."""

    focus: Ref | None = None
    proposal: "Request | None" = None
    question: Question | None = None
    last: "Request | None" = None


class GiveUp(Exception):
    """The plan can't go on. The answer says why, and what would help."""

    def __init__(self, answer: Answer | str) -> None:
        self.answer = answer if isinstance(answer, Answer) else Answer(answer)
        super().__init__(self.answer.text)


Steps = Generator[Turn, tuple[Result, ...], Found]

_HOPELESS = frozenset(
    {
        "no_cluster",
        "which_cluster",
        "unknown_cluster",
        "unknown_context",
        "api_unreachable",
        "unauthorized",
        "no_answer",
    }
)


def ask(*calls: Call, text: str = "") -> Steps[tuple[Result, ...]]:
    """The results of calls that go out together. Raises `GiveUp` for what no other call could get round."""
    results = yield Turn(calls, text)
    for result in results:
        if result.status == "stopped":
            raise GiveUp("You stopped the run, so I left it there.")
        if not result.ok and result.code in _HOPELESS:
            raise GiveUp(told(result))
    return results


def told(result: Result) -> str:
    """A failure in the tool's own words, with its own next step."""
    problem = (result.problem or "the tool gave no reason").strip().rstrip(".")
    hint = f" What to do: {result.hint.strip().rstrip('.')}." if result.hint else ""
    return f"`{result.call.tool}` failed: {problem}.{hint}"


@dataclass(frozen=True)
class Scope:
    """Where a plan looks: a cluster (empty: the current one) and a namespace (empty: all)."""

    cluster: str = ""
    namespace: str = ""

    def at(self, namespace: str) -> "Scope":
        return replace(self, namespace=namespace)

    def get(self, kind: str, name: str = "", /, **others: JsonValue) -> Call:
        """`k8s_get`; without a name a list."""
        everywhere: JsonObject = {} if self.namespace or name else {"all_namespaces": True}
        named: JsonObject = {"name": name} if name else {}
        return self._call("k8s_get", {"kind": kind, **named, **everywhere, **others})

    def describe(self, kind: str, name: str) -> Call:
        return self._call("k8s_describe", {"kind": kind, "name": name})

    def events(self, **others: JsonValue) -> Call:
        everywhere: JsonObject = {} if self.namespace else {"all_namespaces": True}
        return self._call("k8s_events", {**everywhere, **others})

    def call(self, tool: str, **arguments: JsonValue) -> Call:
        """Any other tool on the namespace."""
        return self._call(tool, arguments)

    def _call(self, tool: str, arguments: JsonObject) -> Call:
        where: JsonObject = {"cluster": self.cluster} if self.cluster else {}
        inside: JsonObject = {"namespace": self.namespace} if self.namespace else {}
        return Call(tool, {**arguments, **inside, **where})
