"""The pieces of a plan: calls, results, answers, and the generator that connects them.

A plan is a generator. It yields a `Turn`, the calls of one model message, receives their results, and returns an
`Answer` at the end. The model keeps no state between requests: it runs the plan from its start with the results in the
conversation, which makes it a pure function of the request.
"""

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_sandbox.model.vocabulary import singular

if TYPE_CHECKING:
    from skyflo_sandbox.model.user_request import UserRequest

__all__ = [
    "CHANGES",
    "Answer",
    "Call",
    "Memory",
    "ObjectRef",
    "PlanStopped",
    "Question",
    "Result",
    "Scope",
    "Status",
    "Steps",
    "Turn",
    "ask",
    "describe_failure",
]

CHANGES = frozenset({"k8s_scale", "k8s_apply", "k8s_patch", "k8s_rollout_restart", "k8s_delete"})
Status = Literal["done", "failed", "denied", "expired", "superseded", "stale", "stopped", "unknown"]
ResolvedTarget = TypeVar("ResolvedTarget")


@dataclass(frozen=True)
class Call:
    """A tool and its arguments."""

    tool: str
    arguments: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """The outcome of a call. `call` is what ran: a person may have edited a change before approving it.

    `text` is the tool's output, `problem` and `hint` describe a failure, `reason` is what a person wrote on denial.
    `sure` is false where a change failed but may have taken effect.
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
    """The calls of one model message and the text before them."""

    calls: tuple[Call, ...]
    text: str = ""


@dataclass(frozen=True)
class ObjectRef:
    """An object of the cluster. `kind` is its plural, as the tools take it."""

    kind: str
    name: str
    namespace: str = ""
    cluster: str = ""

    def __str__(self) -> str:
        where = f" in `{self.namespace}`" if self.namespace else ""
        return f"{singular(self.kind)} `{self.name}`{where}"


@dataclass(frozen=True)
class Question:
    """A question to the user. The request goes on once an answer fills its `slot` with one of the options."""

    request: "UserRequest"
    slot: Literal["cluster", "namespace", "kind"]
    options: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """The final answer of a plan: the object it is about, and the request that a plain yes would start."""

    text: str
    focus: ObjectRef | None = None
    proposal: "UserRequest | None" = None
    question: Question | None = None


@dataclass(frozen=True)
class Memory:
    """What earlier exchanges leave: the object they were about, what a yes means, an open question."""

    focus: ObjectRef | None = None
    proposal: "UserRequest | None" = None
    question: Question | None = None
    last: "UserRequest | None" = None


class PlanStopped(Exception):
    """Raised where a plan can't go on. The answer says why and what would help."""

    def __init__(self, answer: Answer | str) -> None:
        self.answer = answer if isinstance(answer, Answer) else Answer(answer)
        super().__init__(self.answer.text)


Steps = Generator[Turn, tuple[Result, ...], ResolvedTarget]

_FATAL_CODES = frozenset(
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
    """Run calls in one turn and return their results. Raises `PlanStopped` on errors that every call would meet."""
    results = yield Turn(calls, text)
    for result in results:
        if result.status == "stopped":
            raise PlanStopped("You stopped the run, so I go no further.")
        if not result.ok and result.code in _FATAL_CODES:
            raise PlanStopped(describe_failure(result))
    return results


def describe_failure(result: Result) -> str:
    """Format a failure with the tool's message and hint."""
    problem = (result.problem or "the tool gave no reason").strip().rstrip(".")
    hint = f" What to do: {result.hint.strip().rstrip('.')}." if result.hint else ""
    return f"`{result.call.tool}` failed: {problem}.{hint}"


@dataclass(frozen=True)
class Scope:
    """A cluster (empty: the current one) and a namespace (empty: all) to read."""

    cluster: str = ""
    namespace: str = ""

    def at(self, namespace: str) -> "Scope":
        return replace(self, namespace=namespace)

    def get(self, kind: str, name: str = "", /, **others: JsonValue) -> Call:
        """Build a `k8s_get` call; without a name it returns a list."""
        everywhere: JsonObject = {} if self.namespace or name else {"all_namespaces": True}
        named: JsonObject = {"name": name} if name else {}
        return self._call("k8s_get", {"kind": kind, **named, **everywhere, **others})

    def describe(self, kind: str, name: str) -> Call:
        return self._call("k8s_describe", {"kind": kind, "name": name})

    def events(self, **others: JsonValue) -> Call:
        everywhere: JsonObject = {} if self.namespace else {"all_namespaces": True}
        return self._call("k8s_events", {**everywhere, **others})

    def call(self, tool: str, **arguments: JsonValue) -> Call:
        """Build a call of any other tool in this namespace."""
        return self._call(tool, arguments)

    def _call(self, tool: str, arguments: JsonObject) -> Call:
        where: JsonObject = {"cluster": self.cluster} if self.cluster else {}
        inside: JsonObject = {"namespace": self.namespace} if self.namespace else {}
        return Call(tool, {**arguments, **inside, **where})
