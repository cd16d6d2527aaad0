"""Let the model summarise a conversation's older messages before they no longer fit its context window.

A failure is recorded, and the request is then shortened as without summaries (`context_window.fit`).
"""

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass

from skyflo_common.redaction import redact_large_text
from skyflo_common.tracing import conventions
from src.api.agent import prompts
from src.api.agent.compaction_plan import CompactionPlan, ContextSize, plan_compaction, summary_tokens
from src.api.agent.context import CompactionResult, History, RunContext, unless_halted
from src.api.agent.context_window import Count
from src.api.agent.history import build_entries
from src.api.errors import ModelCut, ModelError, ModelRefused, ModelTimeout
from src.api.ports import (
    CallDelta,
    ChatMessage,
    Finished,
    ModelRequest,
    TextDelta,
    TextWasThinking,
    ThinkingDelta,
    Usage,
)
from src.api.utils.text import clean

__all__ = ["compact_history"]

logger = logging.getLogger(__name__)

MAX_PASSES = 4
"""Summaries that are made one after another before one turn, each of which continues the one before."""

MAX_SUMMARY = 20_000
REASONING_TOKENS = 1_000
"""What reasoning models may use before the summary."""


@dataclass(slots=True)
class _Answer:
    """What the model has sent: the text, all characters, and the end if it came."""

    text: str = ""
    received: int = 0
    end: Finished | None = None


async def compact_history(context: RunContext, fixed: int, count: Count) -> tuple[History, list[ChatMessage]]:
    """Return the conversation and the model's view of it, with older messages summarised if it nears the window.

    `fixed` are the tokens of everything besides messages, `count` returns those of a text. Raises `BudgetReached`,
    `RunStopped` or `RunFenced`.
    """
    state, name = context.compaction, context.model_name
    history = await context.session.history()
    built = build_entries(history)
    for _ in range(MAX_PASSES):
        if state.has_failed or not state.percent:
            break
        size = ContextSize(context.model.context_window(name), fixed, state.percent)
        plan = plan_compaction(history, built, context.lease.run_id, size, count)
        if plan is None:
            break
        result = await unless_halted(context.lease, _summarise(context, history, plan, size.window))
        if result.error is not None:
            learned = context.model.context_window(name) < size.window
            state.has_failed = not learned  # with the smaller window, it may succeed
            failed = {"action": "context.compaction_failed", "run_id": context.lease.run_id, "code": result.code}
            logger.warning(result.error, extra=failed)
        await context.session.save_summary(result)
        await context.session.check_budgets(warns=False)
        history = await context.session.history()
        built = build_entries(history)
    return history, [message for _, chat in built for message in chat]


async def _summarise(context: RunContext, history: History, plan: CompactionPlan, window: int) -> CompactionResult:
    """Ask the model for the summary. Secrets are masked in both directions."""
    redactor, room = context.compaction.redactor, summary_tokens(window)
    before = "" if history.summary is None else history.summary.content
    transcript = await redact_large_text(redactor, plan.transcript)
    request = ModelRequest(
        context.model_name,
        (
            ChatMessage("system", prompts.summary_request(room)),
            ChatMessage("user", prompts.frame_transcript(before, transcript)),
        ),
        temperature=context.temperature,
        max_tokens=2 * room + REASONING_TOKENS,
    )
    answer, error = _Answer(), None
    try:
        await _read(context, request, answer)
        text = await redact_large_text(redactor, clean(answer.text).strip()[: MAX_SUMMARY + 1])
        _check_summary(text, answer.end, plan, context)
    except ModelError as raised:
        text, error = "", raised
    return CompactionResult(
        context.model_name,
        _usage(context, request, answer),
        plan.coverage,
        text,
        None if error is None else error.detail,
        "" if error is None else error.code,
    )


async def _read(context: RunContext, request: ModelRequest, answer: _Answer) -> None:
    name = request.model
    try:
        with context.tracing.span(f"chat {name}", conventions.chat(name), kind="client"):
            async with asyncio.timeout(context.turn_timeout):
                await _read_chunks(context, request, answer)
    except TimeoutError as error:
        raise ModelTimeout(f"The summary did not come within {context.turn_timeout:g} seconds.") from error
    if answer.end is None:
        raise ModelCut("The model's summary was cut before its end.")


async def _read_chunks(context: RunContext, request: ModelRequest, answer: _Answer) -> None:
    async with aclosing(context.model.stream(request)) as chunks:
        async for chunk in chunks:
            match chunk:
                case TextDelta(text=text):
                    answer.received += len(text)
                    answer.text += text if len(answer.text) <= MAX_SUMMARY else ""
                case ThinkingDelta(text=text):
                    answer.received += len(text)
                case TextWasThinking():
                    answer.text = ""
                case CallDelta():
                    answer.received += len(chunk.arguments)
                case Finished():
                    answer.end = chunk


def _check_summary(text: str, end: Finished | None, plan: CompactionPlan, context: RunContext) -> None:
    """Raise `ModelRefused` for an answer that can't stand for the messages."""
    if end is None or end.reason != "stop" or len(text) > MAX_SUMMARY:
        reason = "too long" if end is None or end.reason in ("stop", "length") else f"ended by {end.reason}"
        raise ModelRefused(f"The model's summary can't be used: it is {reason}.")
    if not text:
        raise ModelRefused("The model's summary can't be used: it is empty.")
    if context.model.count_tokens(context.model_name, text) >= plan.tokens:
        raise ModelRefused("The model's summary can't be used: it is longer than the messages.")


def _usage(context: RunContext, request: ModelRequest, answer: _Answer) -> Usage:
    if answer.end is not None:
        return answer.end.usage
    return context.model.estimate_usage(request, answer.received) if answer.received else Usage(source="estimated")
