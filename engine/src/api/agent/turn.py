"""Run one turn of the model, and check the calls that it requested."""

from collections.abc import Mapping
from dataclasses import replace

from src.api.agent import prompts
from src.api.agent.arguments import ArgumentChecker, CallRejected, parse_object, unknown_tool
from src.api.agent.attempts import Attempt, TurnAttempts, begin_attempt, build_reply
from src.api.agent.context import CALL_AS_TEXT, ModelReply, NewCall, RunContext, RunSnapshot
from src.api.agent.repetition import LIMIT, count_repetitions
from src.api.agent.tool_call_assembler import AssembledCall
from src.api.agent.written_calls import find_written_call
from src.api.ports import Finished, ModelRequest, ToolSpec, Usage
from src.api.utils.canonical import canonical

__all__ = ["ModelTurn", "commit_engine_reply"]


class ModelTurn:
    """Run turns. Keeps compiled argument schemas between them."""

    def __init__(self) -> None:
        self._checker = ArgumentChecker()

    async def run(self, context: RunContext, snapshot: RunSnapshot, nudge: str | None) -> ModelReply:
        """Run a turn and commit it. `nudge` is a message that asks the model to continue.

        Raises `ModelError` or `RunStopped` after committing the partial output.
        """
        specs = await context.session.specs()
        attempts = TurnAttempts(
            context,
            specs,
            snapshot.unfinished,
            is_first=not snapshot.has_output,
            deadline=context.clock.monotonic() + context.turn_timeout,
        )
        reply = await self._complete_reply(context, await attempts.ask(nudge), specs, snapshot)
        if reply is None:
            second = await attempts.ask(prompts.empty_reply())
            reply = await self._complete_reply(context, second, specs, snapshot)
            if reply is None:
                return await _commit_empty_turn(context, second)
        await context.session.commit_turn(reply)
        return reply

    async def _complete_reply(
        self, context: RunContext, attempt: Attempt, specs: Mapping[str, ToolSpec], snapshot: RunSnapshot
    ) -> ModelReply | None:
        """Return the reply of a finished attempt, or None if it has neither text nor calls."""
        end = attempt.end or Finished("stop", Usage(source="estimated"))
        checked = [await self._check_call(call, specs) for call in attempt.assembler.finish(end)]
        text = attempt.message.current_text
        if not checked and not text:
            return None
        reason = CALL_AS_TEXT if not checked and find_written_call(text, specs) else end.reason
        return build_reply(context, attempt, reason, end.usage, _refuse_repeated(checked, snapshot))

    async def _check_call(self, call: AssembledCall, specs: Mapping[str, ToolSpec]) -> NewCall:
        """Check a call. One that can't run gets a problem that lets the model correct itself."""
        spec = specs.get(call.name)
        if call.problem is not None:
            return NewCall(call.provider_id, call.name, "{}", spec, call.problem, call.state)
        if spec is None:
            sent = canonical(parse_object(call.arguments))
            return NewCall(call.provider_id, call.name, sent, None, unknown_tool(call.name, specs), call.state)
        try:
            args = canonical(await self._checker.check_large(spec, call.arguments))
        except CallRejected as rejected:
            sent = canonical(rejected.arguments or {})
            return NewCall(call.provider_id, call.name, sent, spec, rejected.problem, call.state)
        return NewCall(call.provider_id, call.name, args, spec, state=call.state)


def _refuse_repeated(calls: list[NewCall], snapshot: RunSnapshot) -> list[NewCall]:
    """Refuse calls that the model has made several times in a row."""
    turn = frozenset((call.tool, call.args) for call in calls)
    return [
        (
            replace(call, problem=" ".join(filter(None, (call.problem, prompts.repeated_call(LIMIT)))))
            if count_repetitions((call.tool, call.args), turn, snapshot.recent) >= LIMIT
            else call
        )
        for call in calls
    ]


async def _commit_empty_turn(context: RunContext, attempt: Attempt) -> ModelReply:
    """Tell the user that the model gave no answer. What it thought is kept."""
    replaces: str | None = attempt.message.generation_id
    if attempt.message.has_output and attempt.end is not None:
        await context.session.commit_turn(build_reply(context, attempt, attempt.end.reason, attempt.end.usage, ()))
        replaces = None
    return await commit_engine_reply(context, "The model gave no answer, twice. Ask again or rephrase.", replaces)


async def commit_engine_reply(context: RunContext, text: str, replaces: str | None = None) -> ModelReply:
    """Commit a turn with text from the engine where the model gives none."""
    attempt = await begin_attempt(context, ModelRequest("engine", ()), {}, replaces, first=False)
    await attempt.message.add("token", text)
    reply = build_reply(context, attempt, "stop", Usage(source="estimated"), ())
    await context.session.commit_turn(reply)
    return reply
