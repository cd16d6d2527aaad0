"""Ask the model for one turn: as often as its errors allow, within the turn's time, without losing what it said."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import cache

from skyflo_common.tool_schemas import shorten_schema
from skyflo_common.tracing import conventions
from src.api.agent import prompts
from src.api.agent.compaction import compact_history
from src.api.agent.context import (
    History,
    ModelReply,
    NewCall,
    RunContext,
    TextCheckpoint,
    UnfinishedGeneration,
    unless_halted,
)
from src.api.agent.context_window import Count, fit, tokens_of_tools
from src.api.agent.streaming_message import StreamingMessage
from src.api.agent.tool_call_assembler import CallAssembler
from src.api.errors import (
    BudgetReached,
    ModelContextExceeded,
    ModelCut,
    ModelError,
    ModelTimeout,
    RunFenced,
    RunStopped,
    StoreUnavailable,
)
from src.api.ports import (
    CallDelta,
    ChatMessage,
    Finished,
    FunctionSpec,
    ModelRequest,
    TextDelta,
    TextWasThinking,
    ThinkingDelta,
    ToolSpec,
    Usage,
)
from src.api.schemas.events import GenerationStart, Retry

__all__ = ["Attempt", "TurnAttempts", "begin_attempt", "build_reply", "keep_unfinished"]

ANSWER_RESERVE = 4_096
FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 30.0


@dataclass(slots=True)
class Attempt:
    """One generation: its output so far, and its end if the provider sent one."""

    message: StreamingMessage
    assembler: CallAssembler
    end: Finished | None = None


@dataclass(slots=True)
class TurnAttempts:
    """The attempts of one turn. `spoken` is the last generation with any output, of an earlier owner at first."""

    context: RunContext
    specs: Mapping[str, ToolSpec]
    spoken: UnfinishedGeneration | None
    is_first: bool
    deadline: float
    _current: Attempt | None = field(init=False, default=None)
    _replaces: str | None = field(init=False, default=None)
    _has_shrunk: bool = field(init=False, default=False)
    _request: ModelRequest = field(init=False, default=ModelRequest("", ()))

    def __post_init__(self) -> None:
        self._replaces = None if self.spoken is None else self.spoken.generation_id

    async def ask(self, nudge: str | None) -> Attempt:
        """Return a finished attempt. `nudge` is a message that asks the model to continue.

        Raises `ModelError`, `BudgetReached` or `RunStopped` after committing what the last attempt with any output has
        said.
        """
        try:
            return await self._ask(nudge)
        except RunStopped:
            await self._commit_partial("stopped")
            raise
        except (ModelError, BudgetReached):
            await self._commit_partial("error")
            raise

    async def _ask(self, nudge: str | None) -> Attempt:
        number = 1
        while True:
            if self._current is not None:  # before the first attempt, the graph has checked
                await self.context.session.check_budgets(warns=False)
            try:
                return await self._attempt(await self._build_request(nudge))
            except ModelContextExceeded as error:
                await self._shrink(error, number)
            except ModelError as error:
                await self._back_off(error, number)
                number += 1

    async def _attempt(self, request: ModelRequest) -> Attempt:
        context, self._request = self.context, request
        attempt = await begin_attempt(context, request, self.specs, self._replaces, first=self.is_first)
        self._current = attempt
        try:
            await unless_halted(context.lease, self._stream(request, attempt))
        except asyncio.CancelledError:
            # The engine shuts down. The run's next owner finds in the journal what was said.
            with suppress(RunFenced, StoreUnavailable):
                await context.session.record_events(attempt.message.interrupt())
            raise
        finally:
            self._replaces = attempt.message.generation_id
            self.is_first = self.is_first and attempt.message.ttft_ms is None
            if attempt.message.has_output:
                self.spoken = attempt.message.so_far()
        if attempt.end is None:
            raise ModelCut("The model's answer was cut before its end.")
        return attempt

    async def _stream(self, request: ModelRequest, attempt: Attempt) -> None:
        """Read the model's answer under a span, which gets what the provider reports at the end."""
        name = request.model
        with self.context.tracing.span(f"chat {name}", conventions.chat(name), kind="client") as span:
            await self._read_in_time(request, attempt)
            if attempt.end is not None:
                usage = attempt.end.usage
                counts = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
                span.set(conventions.chat_result(attempt.end.reason, *counts))

    async def _read_in_time(self, request: ModelRequest, attempt: Attempt) -> None:
        self.context.failpoints.pass_("model.open:before")
        self.context.lease.check()
        limit = asyncio.timeout(max(0.0, self._time_left()))
        try:
            async with limit:
                await self._read(request, attempt)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ModelTimeout(self._out_of_time()) from error

    async def _read(self, request: ModelRequest, attempt: Attempt) -> None:
        async with aclosing(self.context.model.stream(request)) as chunks:
            async for chunk in chunks:
                self.context.on_model_output()
                match chunk:
                    case TextDelta(text=text):
                        await attempt.message.add("token", text)
                    case ThinkingDelta(text=text):
                        await attempt.message.add("thinking", text)
                    case TextWasThinking():
                        await self._turn_text_into_thinking(request, attempt)
                    case CallDelta():
                        attempt.assembler.add(chunk)
                    case Finished():
                        attempt.end = chunk
                if attempt.message.is_full:
                    attempt.end = Finished("length", Usage(source="estimated"))
                    return

    async def _turn_text_into_thinking(self, request: ModelRequest, attempt: Attempt) -> None:
        """Replace the generation by one in which the text so far is thinking."""
        old = attempt.message
        said = old.so_far()
        again = await begin_attempt(self.context, request, self.specs, old.generation_id, first=False)
        attempt.message = again.message
        attempt.message.ttft_ms = old.ttft_ms
        await attempt.message.add("thinking", said.thinking + said.text)

    async def _build_request(self, nudge: str | None) -> ModelRequest:
        context, name, model = self.context, self.context.model_name, self.context.model
        tools = [
            FunctionSpec(spec.name, spec.description, shorten_schema(spec.input_schema)) for spec in self.specs.values()
        ]

        @cache  # planning a summary and fitting the messages count the same texts
        def count(text: str) -> int:
            return model.count_tokens(name, text)

        system = prompts.system_prompt(context.facts)
        reserve = min(ANSWER_RESERVE, model.context_window(name) // 4) + tokens_of_tools(tools, count)
        history, chat = await self._compact(reserve + count(system), count)
        summary = None
        if history.summary is not None:
            system += prompts.summary_note(history.summary.messages)
            summary = ChatMessage("user", prompts.frame_summary(history.summary.content))
        messages = [ChatMessage("system", system), *chat]
        if nudge is not None:
            messages.append(ChatMessage("user", nudge))
        fitting = fit(messages, window=model.context_window(name), reserve=reserve, count=count, summary=summary)
        return ModelRequest(name, fitting, tools, context.temperature)

    async def _compact(self, fixed: int, count: Count) -> tuple[History, list[ChatMessage]]:
        """Return the conversation, summarised if it has to be. The time that takes is not the turn's."""
        began = self.context.clock.monotonic()
        compacted = await compact_history(self.context, fixed, count)
        self.deadline += self.context.clock.monotonic() - began
        return compacted

    async def _shrink(self, error: ModelContextExceeded, number: int) -> None:
        """Let the request be built again, once a turn, with what fits the smaller window that the model learned of."""
        window = self.context.model.context_window(self.context.model_name)
        if self._has_shrunk:
            raise ModelContextExceeded(
                f"{error.detail} It was asked again with what fits {window} tokens, and that was too long as well."
                f"{self._describe_tools(window)} Set LLM_CONTEXT_WINDOW to the size that the model's host serves, or "
                "serve the model with a larger one."
            ) from error
        self._has_shrunk = True
        await self._record_retry(error, 0, number)

    def _describe_tools(self, window: int) -> str:
        """Name the tools where they alone take most of the window, so that no shorter history helps."""
        tokens = sum(spec.tokens for spec in self.specs.values())
        if tokens < window // 2:
            return ""
        return f" Its {len(self.specs)} tools alone take about {tokens:,} tokens: choose fewer toolsets."

    async def _back_off(self, error: ModelError, number: int) -> None:
        """Wait before the next attempt. Raises the error if there is none."""
        if not error.retryable or number >= self.context.max_attempts or self._time_left() <= 0:
            raise error
        backoff = FIRST_BACKOFF * 2 ** (number - 1)
        delay = min(max(error.retry_after or 0, backoff), LONGEST_BACKOFF)
        if delay >= self._time_left():
            raise type(error)(f"{error.detail} {self._out_of_time()}") from error
        await self._record_retry(error, delay, number)
        await unless_halted(self.context.lease, self.context.clock.sleep(delay))

    async def _record_retry(self, error: ModelError, delay: float, number: int) -> None:
        retry = Retry(
            type="retry", error=error.detail, retry_in=delay, attempt=number, max_attempts=self.context.max_attempts
        )
        interrupted = self._current.message.interrupt() if self._current is not None else []
        await self.context.session.record_events([*interrupted, TextCheckpoint(retry)])

    def _time_left(self) -> float:
        return self.deadline - self.context.clock.monotonic()

    def _out_of_time(self) -> str:
        return (
            f"The turn had {self.context.turn_timeout:g} s with all its attempts, and they are used up. "
            "LLM_TURN_SECONDS allows it more."
        )

    async def _commit_partial(self, reason: str) -> None:
        """Commit what the model has said so far as text. Its calls are dropped."""
        if self.spoken is None or not self.spoken.has_output:
            return
        if self._current is None:
            await keep_unfinished(self.context, self.spoken, reason)
            return
        if self.spoken.generation_id != self._current.message.generation_id:
            self._current.message.adopt(self.spoken)
        received = len(self.spoken.text) + len(self.spoken.thinking)
        usage = self.context.model.estimate_usage(self._request, received)
        await self.context.session.commit_turn(build_reply(self.context, self._current, reason, usage, ()))


async def keep_unfinished(context: RunContext, unfinished: UnfinishedGeneration, reason: str) -> None:
    """Commit what an earlier owner's generation had said, where no other generation will replace it."""
    attempt = await _record_start(context, ModelRequest("engine", ()), {}, unfinished.generation_id, first=False)
    attempt.message.adopt(unfinished)
    await context.session.commit_turn(build_reply(context, attempt, reason, Usage(source="estimated"), ()))


async def begin_attempt(
    context: RunContext,
    request: ModelRequest,
    specs: Mapping[str, ToolSpec],
    replaces: str | None,
    *,
    first: bool,
) -> Attempt:
    """Begin a generation. Raises `RunStopped` or `RunFenced` if the run must not continue."""
    context.lease.check()
    return await _record_start(context, request, specs, replaces, first=first)


async def _record_start(
    context: RunContext,
    request: ModelRequest,
    specs: Mapping[str, ToolSpec],
    replaces: str | None,
    *,
    first: bool,
) -> Attempt:
    generation_id = context.ids.new()
    start = GenerationStart(
        type="generation.start",
        generation_id=generation_id,
        model=request.model,
        tools_available=len(request.tools),
        replaces=replaces,
    )
    base = await context.session.record_events([TextCheckpoint(start)])
    return Attempt(StreamingMessage(context, generation_id, base, first=first), CallAssembler(specs))


def build_reply(
    context: RunContext, attempt: Attempt, reason: str, usage: Usage, calls: Sequence[NewCall]
) -> ModelReply:
    message = attempt.message
    ends = message.close(reason, len(calls), usage.completion_tokens)
    return ModelReply(
        generation_id=message.generation_id,
        model=context.model_name,
        text=message.text,
        thinking=message.thinking,
        thinking_ms=message.thinking_ms,
        finish_reason=reason,
        usage=usage,
        ends=ends,
        calls=calls,
        ttft_ms=message.ttft_ms,
        state=attempt.end.state if attempt.end else None,
    )
