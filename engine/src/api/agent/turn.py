"""One turn of the model: request, stream, retries, and the calls that it asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from src.api.agent import prompts
from src.api.agent.arguments import ArgumentChecker, CallRejected, unknown_tool
from src.api.agent.assembly import AssembledCall, CallAssembler
from src.api.agent.context import NewCall, RunContext, Said, Situation, TextEnd, unless_halted
from src.api.agent.draft import Draft
from src.api.agent.history import as_chat
from src.api.agent.window import fit, tokens_of_tools
from src.api.errors import ModelCut, ModelError, RunStopped
from src.api.ports import (
    CallDelta,
    ChatMessage,
    Finished,
    FunctionSpec,
    ModelRequest,
    TextDelta,
    ThinkingDelta,
    ToolSpec,
    Usage,
)
from src.api.schemas.events import GenerationStart, Retry
from src.api.utils.canonical import canonical

__all__ = ["ModelTurn", "say"]

ANSWER_RESERVE = 4_096
FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 30.0


@dataclass(slots=True)
class _Attempt:
    """One generation: what it said, and how it ended if the provider said so."""

    draft: Draft
    assembler: CallAssembler
    end: Finished | None = None


class ModelTurn:
    """Runs turns. Keeps the compiled argument schemas between them."""

    def __init__(self) -> None:
        self._checker = ArgumentChecker()

    async def run(self, context: RunContext, situation: Situation, nudge: str | None) -> Said:
        """The turn, committed. `nudge` is what the model is told to go on by.

        Raises `ModelError` or `RunStopped` after keeping what had been said by then.
        """
        specs = await context.desk.specs()
        silent = not situation.spoken
        said = await self._said(context, specs, nudge, situation.unfinished, first=silent)
        if said.text or said.calls:
            await context.desk.commit_turn(said)
            return said
        again = await self._said(context, specs, prompts.empty_reply(), said.generation_id, first=silent)
        if not (again.text or again.calls):
            return await say(context, "The model gave no answer, twice. Ask again or rephrase.", again.generation_id)
        await context.desk.commit_turn(again)
        return again

    async def _said(
        self,
        context: RunContext,
        specs: Mapping[str, ToolSpec],
        nudge: str | None,
        replaces: str | None,
        *,
        first: bool,
    ) -> Said:
        request = await _request(context, specs, nudge)
        for number in range(1, context.max_attempts + 1):
            attempt = await _begin(context, request, specs, replaces, first=first)
            try:
                await unless_halted(context.lease, _stream(context, request, attempt))
                return self._whole(context, attempt, specs)
            except RunStopped:
                await _keep(context, attempt, "stopped")
                raise
            except ModelError as error:
                if not error.retryable or number == context.max_attempts:
                    await _keep(context, attempt, "error")
                    raise
                replaces = attempt.draft.generation_id
                first = first and attempt.draft.ttft_ms is None
                await _wait(context, error, number)
        raise AssertionError("unreachable")

    def _whole(self, context: RunContext, attempt: _Attempt, specs: Mapping[str, ToolSpec]) -> Said:
        if attempt.end is None:
            raise ModelCut("The model's answer was cut before its end.")
        calls = [self._checked(call, specs) for call in attempt.assembler.finish(attempt.end)]
        return _said_by(context, attempt, attempt.end.reason, attempt.end.usage, calls)

    def _checked(self, call: AssembledCall, specs: Mapping[str, ToolSpec]) -> NewCall:
        """A call that can't run comes with the sentence that tells the model why, so that it can correct itself."""
        spec = specs.get(call.name)
        if call.problem is not None:
            return NewCall(call.provider_id, call.name, "{}", spec, call.problem)
        if spec is None:
            return NewCall(call.provider_id, call.name, "{}", None, unknown_tool(call.name, specs))
        try:
            args = canonical(self._checker.check(spec, call.arguments))
        except CallRejected as rejected:
            return NewCall(call.provider_id, call.name, "{}", spec, rejected.problem)
        return NewCall(call.provider_id, call.name, args, spec)


async def say(context: RunContext, text: str, replaces: str | None = None) -> Said:
    """A turn in the engine's own words, where the model's are missing or at an end."""
    attempt = await _begin(context, ModelRequest("engine", ()), {}, replaces, first=False)
    await attempt.draft.add("token", text)
    said = _said_by(context, attempt, "stop", Usage(source="estimated"), ())
    await context.desk.commit_turn(said)
    return said


async def _begin(
    context: RunContext,
    request: ModelRequest,
    specs: Mapping[str, ToolSpec],
    replaces: str | None,
    *,
    first: bool,
) -> _Attempt:
    context.lease.check()
    generation_id = context.ids.new()
    start = GenerationStart(
        type="generation.start",
        generation_id=generation_id,
        model=request.model,
        tools_available=len(request.tools),
        replaces=replaces,
    )
    base = await context.desk.note([TextEnd(start)])
    return _Attempt(Draft(context, generation_id, base, first=first), CallAssembler(specs))


async def _stream(context: RunContext, request: ModelRequest, attempt: _Attempt) -> None:
    context.failpoints.pass_("model.open:before")
    context.lease.check()
    chunks = context.model.stream(request)
    try:
        async for chunk in chunks:
            context.answering()
            match chunk:
                case TextDelta(text=text):
                    await attempt.draft.add("token", text)
                case ThinkingDelta(text=text):
                    await attempt.draft.add("thinking", text)
                case CallDelta():
                    attempt.assembler.add(chunk)
                case Finished():
                    attempt.end = chunk
            if attempt.draft.full:
                attempt.end = Finished("length", Usage(source="estimated"))
                return
    finally:
        await chunks.aclose()


async def _request(context: RunContext, specs: Mapping[str, ToolSpec], nudge: str | None) -> ModelRequest:
    history = as_chat(await context.desk.history())
    tools = [FunctionSpec(spec.name, spec.description, spec.input_schema) for spec in specs.values()]
    messages = [ChatMessage("system", prompts.system_prompt(context.facts)), *history]
    if nudge is not None:
        messages.append(ChatMessage("user", nudge))
    name, model = context.model_name, context.model

    def count(text: str) -> int:
        return model.count_tokens(name, text)

    window = model.context_window(name)
    reserve = min(ANSWER_RESERVE, window // 4) + tokens_of_tools(tools, count)
    fitting = fit(messages, window=window, reserve=reserve, count=count)
    return ModelRequest(name, fitting, tools, context.temperature)


async def _wait(context: RunContext, error: ModelError, number: int) -> None:
    backoff = FIRST_BACKOFF * 2 ** (number - 1)
    delay = min(max(error.retry_after or 0, backoff), LONGEST_BACKOFF)
    retry = Retry(type="retry", error=error.detail, retry_in=delay, attempt=number, max_attempts=context.max_attempts)
    await context.desk.note([TextEnd(retry)])
    await unless_halted(context.lease, context.clock.sleep(delay))


async def _keep(context: RunContext, attempt: _Attempt, reason: str) -> None:
    """What was said before it was cut stays as a text, and never as a call."""
    said = _said_by(context, attempt, reason, Usage(source="estimated"), ())
    if said.text or said.thinking:
        await context.desk.commit_turn(said)


def _said_by(context: RunContext, attempt: _Attempt, reason: str, usage: Usage, calls: Sequence[NewCall]) -> Said:
    draft = attempt.draft
    ends = draft.close(reason, len(calls), usage.completion_tokens)
    return Said(
        generation_id=draft.generation_id,
        model=context.model_name,
        text=draft.text,
        thinking=draft.thinking,
        thinking_ms=draft.thinking_ms,
        finish_reason=reason,
        usage=usage,
        ends=ends,
        calls=calls,
        ttft_ms=draft.ttft_ms,
    )
