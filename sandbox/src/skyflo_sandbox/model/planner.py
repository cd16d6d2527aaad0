"""Decide the next turn from the conversation and the offered tools. A pure function of both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from skyflo_sandbox.model import log_plans, read_plans
from skyflo_sandbox.model.change_plans import apply, delete, restart, roll_back, scale, set_image, set_value
from skyflo_sandbox.model.chat_completions import Message
from skyflo_sandbox.model.explain import explain_refusal, why
from skyflo_sandbox.model.intents import parse_request
from skyflo_sandbox.model.markdown import capabilities, with_signature
from skyflo_sandbox.model.plan import CHANGES, Answer, Call, Memory, PlanStopped, Question, Steps, Turn
from skyflo_sandbox.model.remediation import fix
from skyflo_sandbox.model.titles import title_for
from skyflo_sandbox.model.transcript import Exchange, parse_transcript
from skyflo_sandbox.model.user_request import UserRequest
from skyflo_sandbox.model.vocabulary import kind_of

__all__ = ["Decision", "decide"]

REMEMBERED = 8
TURNS_AT_MOST = 22
Plan = Callable[[UserRequest, Memory], Steps[Answer]]
_PLANS: Mapping[str, Plan] = {
    "apply": apply,
    "can_i": read_plans.check_permission,
    "clusters": read_plans.list_clusters,
    "delete": delete,
    "describe": read_plans.describe,
    "events": log_plans.list_events,
    "fix": fix,
    "image": set_image,
    "images": read_plans.list_images,
    "list": read_plans.list_objects,
    "logs": log_plans.show_logs,
    "refused": explain_refusal,
    "restart": restart,
    "roll_back": roll_back,
    "rollout": read_plans.show_rollout,
    "running": read_plans.list_running,
    "scale": scale,
    "set": set_value,
    "why": why,
}
_ANSWER_WORDS = frozenset(
    ["a", "cluster", "i", "in", "is", "it", "kind", "mean", "namespace", "of", "one", "please", "that", "the", "this"]
)
_READS = frozenset({"describe", "events", "list", "logs", "rollout", "running", "why"})


@dataclass(frozen=True)
class Decision:
    """The model's next message: tool calls with a short text, or the final answer."""

    text: str
    calls: tuple[Call, ...] = ()


def decide(messages: Sequence[Message], offered: frozenset[str]) -> Decision:
    """Decide the next turn of the conversation. The same messages and tools give the same decision."""
    title = title_for(messages)
    if title is not None:
        return Decision(title)
    exchanges = parse_transcript(messages).exchanges
    if not exchanges:
        return Decision(with_signature(capabilities("There is no question yet.")))
    memory = Memory()
    for past in exchanges[-REMEMBERED - 1 : -1]:
        memory = _remember(past, memory)
    end = _next(exchanges[-1], _in_context(exchanges[-1].text, memory), memory, offered)
    return Decision(end.text, end.calls) if isinstance(end, Turn) else Decision(with_signature(end.text))


def _remember(exchange: Exchange, memory: Memory) -> Memory:
    """Replay an earlier exchange with its recorded results and return what it leaves in memory."""
    request = _in_context(exchange.text, memory)
    end = _next(exchange, request, memory, None)
    last = request if request.intent in _PLANS else memory.last
    if isinstance(end, Turn):
        return replace(memory, last=last, proposal=None, question=None)
    focus = end.focus or memory.focus
    return Memory(focus, end.proposal, end.question, last)


def _in_context(message: str, memory: Memory) -> UserRequest:
    """Parse a message and resolve a yes, an answer to a question or "again" by the conversation."""
    request = parse_request(message)
    if memory.question and (chosen := _chosen(message, memory.question)):
        return chosen
    if request.intent == "yes" and memory.proposal:
        return memory.proposal
    if request.intent == "again" and memory.last:
        return memory.last
    if request.intent == "also" and memory.last and request.target.names:
        last = memory.last.target
        target = replace(
            request.target, kind=request.target.kind or last.kind, cluster=request.target.cluster or last.cluster
        )
        read = memory.last if memory.last.intent in _READS else UserRequest("why")
        return replace(read, target=target)
    return request


def _chosen(message: str, question: Question) -> UserRequest | None:
    """Complete a request with the option that the message names, if it holds nothing else but a few filler words."""
    words = [word.strip(".,!?`'\"") for word in message.lower().split()]
    named = [option for option in question.options if option.lower() in words]
    if len(named) != 1 or not set(words) <= {named[0].lower(), *_ANSWER_WORDS}:
        return None
    target = question.request.target
    if question.slot == "namespace":
        return replace(question.request, target=replace(target, namespace=named[0]))
    if question.slot == "cluster":
        return replace(question.request, target=replace(target, cluster=named[0]))
    return replace(question.request, target=replace(target, kind=kind_of(named[0]) or named[0]))


def _next(exchange: Exchange, request: UserRequest, memory: Memory, offered: frozenset[str] | None) -> Turn | Answer:
    """Replay the plan up to its first turn without results. With `offered` None, that turn is not checked."""
    plan = _PLANS.get(request.intent)
    if plan is None:
        return _small_talk(request, memory)
    try:
        turn = _replay(plan(request, memory), exchange)
    except StopIteration as end:
        answer: Answer = end.value
        return answer
    except PlanStopped as stopped:
        return _ask_for_cluster(stopped.answer, request)
    return turn if offered is None else _check_turn(turn, exchange, offered)


def _replay(steps: Steps[Answer], exchange: Exchange) -> Turn:
    """Return the turn that has no results yet. Raises `StopIteration` with the answer, or `PlanStopped`."""
    turn = next(steps)
    for number in range(len(exchange.steps)):
        results = exchange.recorded_results(number, turn)
        if results is None:
            raise PlanStopped(
                "I can't go on: a part of what the tools returned for this no longer fits into the conversation. "
                "Ask again in a new conversation, or for less at once, such as one namespace."
            )
        turn = steps.send(results)
    return turn


def _check_turn(turn: Turn, exchange: Exchange, offered: frozenset[str]) -> Turn | Answer:
    """Return the turn, or an answer where a tool is not offered or the turn repeats earlier calls."""
    missing = sorted({call.tool for call in turn.calls} - offered)
    if missing:
        return Answer(_not_offered(missing, offered))
    if len(exchange.steps) >= TURNS_AT_MOST:
        return Answer(f"I stopped after {len(exchange.steps)} steps without an end. Ask for less at once.")
    return (
        turn
        if _is_new(turn, exchange)
        else Answer("The next calls would repeat earlier ones, so I stop here. Ask again in a moment.")
    )


def _is_new(turn: Turn, exchange: Exchange) -> bool:
    """Whether the turn has a call that was not made since the last change."""
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


def _ask_for_cluster(answer: Answer, request: UserRequest) -> Answer:
    """Turn the tools' error about several clusters into a question that the name of one answers."""
    if answer.question or "pass cluster:" not in answer.text:
        return answer
    names = answer.text.partition("pass cluster:")[2].strip(" .")
    options = tuple(name.strip() for name in names.split(",") if name.strip())
    listed = ", ".join(f"`{name}`" for name in options)
    text = f"Several clusters may be used: {listed}. Which one? Its name will do."
    return Answer(text, question=Question(request, "cluster", options))


def _small_talk(request: UserRequest, memory: Memory) -> Answer:
    focus = memory.focus
    place, name = (focus.namespace, "" if focus.kind == "namespaces" else focus.name) if focus else ("", "")
    replies = {
        "yes": "Nothing waits for a yes.",
        "no": "All right: I leave it as it is.",
        "thanks": "You are welcome.",
        "greeting": "Hello.",
        "again": "There is nothing to go on with.",
    }
    if request.intent == "no":
        return Answer(replies["no"], focus)
    if request.intent == "thanks":
        return Answer(
            f"{replies['thanks']} Ask `is everything ok?` whenever you want another look.", focus, memory.proposal
        )
    beginning = replies.get(request.intent, "" if request.intent == "help" else "No rule for this request.")
    return Answer(capabilities(beginning, place, name).strip(), focus)
