"""What to do next: a pure function of the conversation and of the tools that are offered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from skyflo_sandbox.model import looking
from skyflo_sandbox.model.answers import about_itself, marked
from skyflo_sandbox.model.changing import apply, delete, restart, roll_back, scale, set_image, set_value
from skyflo_sandbox.model.explaining import why
from skyflo_sandbox.model.fixing import fix
from skyflo_sandbox.model.naming import title_for
from skyflo_sandbox.model.plan import CHANGES, Answer, Call, GiveUp, Memory, Question, Steps, Turn
from skyflo_sandbox.model.talk import Exchange, talk_of
from skyflo_sandbox.model.wire import Message
from skyflo_sandbox.model.words import Request, understood

__all__ = ["Decision", "decide"]

REMEMBERED = 8
TURNS_AT_MOST = 22
Plan = Callable[[Request, Memory], Steps[Answer]]
_PLANS: Mapping[str, Plan] = {
    "apply": apply,
    "can_i": looking.can_i,
    "clusters": looking.clusters,
    "delete": delete,
    "describe": looking.describe,
    "events": looking.the_events,
    "fix": fix,
    "image": set_image,
    "list": looking.list_,
    "logs": looking.logs_of,
    "restart": restart,
    "roll_back": roll_back,
    "rollout": looking.rollout,
    "running": looking.running,
    "scale": scale,
    "set": set_value,
    "why": why,
}
_LOOKING = frozenset({"describe", "events", "list", "logs", "rollout", "running", "why"})


@dataclass(frozen=True)
class Decision:
    """What the model says now: calls with a few words before them, or its last word."""

    text: str
    calls: tuple[Call, ...] = ()


def decide(messages: Sequence[Message], offered: frozenset[str]) -> Decision:
    """The next turn of the conversation. The same messages and tools give the same decision."""
    title = title_for(messages)
    if title is not None:
        return Decision(title)
    exchanges = talk_of(messages).exchanges
    if not exchanges:
        return Decision(marked(about_itself("There is no question yet.")))
    memory = Memory()
    for past in exchanges[-REMEMBERED - 1 : -1]:
        memory = _remembered(past, memory)
    end = _next(exchanges[-1], _meant(exchanges[-1].said, memory), memory, offered)
    return Decision(end.text, end.calls) if isinstance(end, Turn) else Decision(marked(end.text))


def _remembered(exchange: Exchange, memory: Memory) -> Memory:
    """What an earlier exchange has left: its plan is told again with the results that it had."""
    request = _meant(exchange.said, memory)
    end = _next(exchange, request, memory, None)
    last = request if request.intent in _PLANS else memory.last
    if isinstance(end, Turn):
        return replace(memory, last=last, proposal=None, question=None)
    focus = end.focus or memory.focus
    return Memory(focus, end.proposal, end.question, last)


def _meant(said: str, memory: Memory) -> Request:
    """The request, with what only the conversation can tell: a yes, an answer to a question, the same again."""
    request = understood(said)
    if memory.question and (chosen := _chosen(said, memory.question)):
        return chosen
    if request.intent == "yes" and memory.proposal:
        return memory.proposal
    if request.intent == "again" and memory.last:
        return memory.last
    if request.intent == "also" and memory.last and request.subject.names:
        last = memory.last.subject
        subject = replace(
            request.subject, kind=request.subject.kind or last.kind, cluster=request.subject.cluster or last.cluster
        )
        looked = memory.last if memory.last.intent in _LOOKING else Request("why")
        return replace(looked, subject=subject)
    return request


def _chosen(said: str, question: Question) -> Request | None:
    """The request with its gap filled, if the message names exactly one of the options and little else."""
    words = [word.strip(".,!?`'\"") for word in said.lower().split()]
    named = [option for option in question.options if option.lower() in words]
    if len(named) != 1 or len(words) > 6:
        return None
    subject = question.request.subject
    if question.slot == "namespace":
        return replace(question.request, subject=replace(subject, namespace=named[0]))
    if question.slot == "cluster":
        return replace(question.request, subject=replace(subject, cluster=named[0]))
    return replace(question.request, subject=replace(subject, kind=named[0]))


def _next(exchange: Exchange, request: Request, memory: Memory, offered: frozenset[str] | None) -> Turn | Answer:
    """Tells the plan again up to where its results end. `offered` None: any tool would do, nothing is asked for."""
    plan = _PLANS.get(request.intent)
    if plan is None:
        return _small_talk(request, memory)
    try:
        turn = _told_again(plan(request, memory), exchange)
    except StopIteration as end:
        answer: Answer = end.value
        return answer
    except GiveUp as up:
        return _with_request(up.answer, request)
    return turn if offered is None else _may_go(turn, exchange, offered)


def _told_again(steps: Steps[Answer], exchange: Exchange) -> Turn:
    """The turn that has no results yet. Raises `StopIteration` with the answer, or `GiveUp`."""
    turn = next(steps)
    for number in range(len(exchange.steps)):
        results = exchange.replayed(number, turn)
        if results is None:
            raise GiveUp(
                "I can't go on: a part of what the tools returned for this no longer fits into the conversation. "
                "Ask again in a new conversation, or for less at once, such as one namespace."
            )
        turn = steps.send(results)
    return turn


def _may_go(turn: Turn, exchange: Exchange, offered: frozenset[str]) -> Turn | Answer:
    """The turn, unless its tools are not offered or it would only go round in circles."""
    missing = sorted({call.tool for call in turn.calls} - offered)
    if missing:
        return Answer(_not_offered(missing, offered))
    if len(exchange.steps) >= TURNS_AT_MOST:
        return Answer(f"I stopped after {len(exchange.steps)} steps without an end. Ask for less at once.")
    return (
        turn
        if _is_new(turn, exchange)
        else Answer("I have asked the same again and learned nothing new, so I stop here. Ask again in a moment.")
    )


def _is_new(turn: Turn, exchange: Exchange) -> bool:
    """Whether anything of it has not been asked since the last change."""
    since: list[Call] = []
    for step in exchange.steps:
        since = [] if any(result.call.tool in CHANGES for result in step) else since
        since += [result.call for result in step if result.call.tool not in CHANGES]
    return any(call not in since for call in turn.calls)


def _not_offered(missing: list[str], offered: frozenset[str]) -> str:
    named = ", ".join(f"`{name}`" for name in missing)
    if not offered:
        return (
            "No tool is offered to me at the moment, so I can look at nothing. Check that the tool server runs: `skyflo"
            " doctor`."
        )
    if set(missing) <= CHANGES:
        return (
            f"I can't change anything: {named} is not offered. The tool server takes no changes, or you may only look."
        )
    return (
        f"I would need {named} for this, which is not offered. Check which tool servers are connected: `skyflo doctor`."
    )


def _with_request(answer: Answer, request: Request) -> Answer:
    """A question about which cluster becomes one that a short answer can settle."""
    if answer.question or "pass cluster:" not in answer.text:
        return answer
    names = answer.text.partition("pass cluster:")[2].strip(" .")
    options = tuple(name.strip() for name in names.split(",") if name.strip())
    listed = ", ".join(f"`{name}`" for name in options)
    text = f"Several clusters may be used: {listed}. Which one? Its name will do."
    return Answer(text, question=Question(request, "cluster", options))


def _small_talk(request: Request, memory: Memory) -> Answer:
    focus = memory.focus
    place, name = (focus.namespace, "" if focus.kind == "namespaces" else focus.name) if focus else ("", "")
    said = {
        "yes": "There is nothing that waits for a yes.",
        "no": "All right: I leave it as it is.",
        "thanks": "You are welcome.",
        "greeting": "Hello.",
        "again": "There is nothing to go on with.",
    }
    if request.intent == "no":
        return Answer(said["no"], focus)
    if request.intent == "thanks":
        return Answer(
            f"{said['thanks']} Ask `is everything ok?` whenever you want another look.", focus, memory.proposal
        )
    beginning = said.get(request.intent, "" if request.intent == "help" else "I can't do that.")
    return Answer(about_itself(beginning, place, name).strip(), focus)
