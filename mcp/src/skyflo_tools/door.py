"""The one boundary between MCP and the tools: arguments in, answers and errors out, grants held.

Every answer that leaves here is clean of secrets, bounded, and, if it is an error, says its code and its effect.
"""

import asyncio
import logging
import re
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fastmcp.tools.base import ToolResult
from mcp_types import TextContent
from pydantic import BaseModel, JsonValue, ValidationError

from skyflo_tools import changes
from skyflo_tools.errors import BadArguments, DeadlinePassed, Effect, GrantRefused, StoreUnavailable, ToolFailure
from skyflo_tools.grants.claims import IDENTITY, Grant, Verifier
from skyflo_tools.grants.store import Ending
from skyflo_tools.jsontypes import JsonObject
from skyflo_tools.kubernetes.rendering import cut
from skyflo_tools.pins import Preconditions
from skyflo_tools.redaction import Fingerprints, clean_json, clean_text
from skyflo_tools.tool import CHANGE_DEADLINE, Arguments, Call, Change, Output, Progress, Read, Services

TEXT_LIMIT = 64 * 1024
RECORDING_SECONDS = 15.0
logger = logging.getLogger("skyflo_tools.door")


@dataclass(frozen=True)
class Incoming:
    """One tool call as it arrived."""

    tool: str
    arguments: JsonObject
    meta: Mapping[str, JsonValue]
    progress: Progress


class ErrorResult(BaseModel):
    """An error as data."""

    code: str
    message: str
    effect: Effect
    hint: str

    def text(self) -> str:
        return f"{self.message} [{self.code}, effect: {self.effect}]" + (f" Hint: {self.hint}" if self.hint else "")


@dataclass
class Door:
    """Runs tools for the MCP server.

    A change runs only with a verifier and a store of used grants, and only for a valid grant that was never used. One
    that has begun is not cancelled by a client that goes away.
    """

    services: Services
    verifier: Verifier | None = None
    impersonate: bool = False
    own_secrets: tuple[str, ...] = ()
    _running: set[asyncio.Task[ToolResult]] = field(default_factory=set)
    _has_lasting_key: bool = False

    async def read(self, tool: Read[Arguments], incoming: Incoming) -> ToolResult:
        async def run(call: Call) -> ToolResult:
            arguments = _validated(tool.arguments, incoming)
            if tool.about.internal:
                call = await self._with_lasting_key(call)
            if tool.about.open_world:
                call = self._as_requester(call, incoming)
            return self._output(await tool.run(arguments, call), call)

        return await self._guarded(run, self.call(incoming), incoming, tool.about.deadline)

    async def preview(self, tool: Change[Arguments], incoming: Incoming) -> ToolResult:
        async def run(call: Call) -> ToolResult:
            arguments = _validated(tool.arguments, incoming)
            call = await self._with_lasting_key(self._as_requester(call, incoming))
            plan = await tool.plan(arguments, call)
            changes.sole_cluster(plan)
            return self._output(await changes.preview(plan, call), call)

        return await self._guarded(run, self.call(incoming), incoming, tool.about.deadline)

    async def change(self, tool: Change[Arguments], incoming: Incoming) -> ToolResult:
        """Runs to its end in a task of its own, whatever becomes of the request that asked for it."""

        async def run(call: Call) -> ToolResult:
            return await self._granted(tool, incoming, call)

        seconds = CHANGE_DEADLINE + RECORDING_SECONDS
        task = asyncio.create_task(self._guarded(run, self.call(incoming), incoming, seconds))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def drain(self, seconds: float) -> None:
        """Waits for the changes in flight."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=seconds)

    def failed(self, error: ToolFailure, call: Call) -> ToolResult:
        """The error as an answer."""
        known = self._secrets(call)
        effect = error.effect if call.effects.effect == "none" else call.effects.effect
        result = ErrorResult(
            code=error.code,
            message=cut(clean_text(error.message, known), 2000),
            effect=effect,
            hint=cut(clean_text(error.hint, known), 1000),
        )
        return _tool_result(result.text(), result.model_dump(mode="json"), is_error=True)

    def call(self, incoming: Incoming) -> Call:
        return Call(services=self.services, identity=None, progress=incoming.progress)

    async def _granted(self, tool: Change[Arguments], incoming: Incoming, call: Call) -> ToolResult:
        """Checks the grant, uses it up, does what it is for, and remembers how that ended."""
        grant = self._grant(incoming)
        arguments, expected = _validated(tool.arguments, incoming), _preconditions(grant)
        if grant.kubernetes_user and not self.impersonate:
            raise _not_impersonating()
        identity = grant.acting() if self.impersonate else grant.recorded()
        call = await self._with_lasting_key(replace(call, identity=identity, pinned=expected.pinned))
        await self._use_up(grant)

        async def run(call: Call) -> ToolResult:
            plan = await tool.plan(arguments, call)
            if grant.cluster is not None and changes.sole_cluster(plan) != grant.cluster:
                raise GrantRefused(f"the grant is for cluster {grant.cluster}", code="grant_mismatch")
            return self._output(await changes.execute(plan, expected, call), call)

        result = await self._guarded(run, call, incoming, CHANGE_DEADLINE)
        await self._remember(grant, result)
        return result

    def _grant(self, incoming: Incoming) -> Grant:
        if self.verifier is None or self.services.grants is None:
            raise GrantRefused("this tool server takes no changes", code="grant_missing")
        grant = self.verifier.grant(incoming.meta, incoming.tool, incoming.arguments)
        asked = incoming.arguments.get("cluster")
        if grant.cluster is not None and asked is not None and asked != grant.cluster:
            raise GrantRefused(f"the grant is for cluster {grant.cluster}", code="grant_mismatch")
        return grant

    async def _use_up(self, grant: Grant) -> None:
        store = self.services.grants
        if store is None:
            raise StoreUnavailable("there is no store of used grants")
        state = await store.begin(grant.jti, grant.tool, self.services.clock.now())
        if state == "revoked":
            raise GrantRefused("the grant was revoked when its outcome was settled", code="grant_revoked")
        if state is not None:
            raise GrantRefused(f"the grant was used before (it {state})", code="grant_used")
        logger.info("action=change_started tool=%s grant=%s", grant.tool, grant.jti)

    async def _remember(self, grant: Grant, result: ToolResult) -> None:
        """Writes the end down. If that fails the answer is still true, and settling will say `started`."""
        structured = result.structured_content or {}
        ending = Ending(
            state="failed" if result.is_error else "succeeded",
            effect=structured.get("effect", "unknown") if result.is_error else "done",
            text="\n".join(block.text for block in result.content if isinstance(block, TextContent)),
            structured=structured,
        )
        logger.info("action=change_ended grant=%s state=%s effect=%s", grant.jti, ending.state, ending.effect)
        if self.services.grants is None:
            return
        try:
            await self.services.grants.end(grant.jti, ending, self.services.clock.now())
        except StoreUnavailable as error:
            logger.exception("action=grant_end_lost grant=%s error=%s", grant.jti, error.message)

    def _as_requester(self, call: Call, incoming: Incoming) -> Call:
        if not self.impersonate and IDENTITY in incoming.meta:
            raise _not_impersonating()
        if not self.impersonate:
            return call
        if self.verifier is None:
            raise GrantRefused("KUBERNETES_IMPERSONATE needs a grant key to know who asks", code="identity_missing")
        return replace(call, identity=self.verifier.identity(incoming.meta))

    async def _with_lasting_key(self, call: Call) -> Call:
        """Makes sure that fingerprints which go into preconditions can be made again. Raises StoreUnavailable."""
        if not self._has_lasting_key and self.services.grants is not None:
            key = await self.services.grants.fingerprint_key()
            self.services = replace(self.services, fingerprints=Fingerprints(key))
            self._has_lasting_key = True
        return replace(call, services=self.services)

    async def _guarded(
        self, run: Callable[[Call], Awaitable[ToolResult]], call: Call, incoming: Incoming, seconds: float
    ) -> ToolResult:
        began = self.services.clock.monotonic()
        try:
            _refuse_broken_text(incoming.arguments)
            async with asyncio.timeout(seconds):
                return await run(call)
        except ToolFailure as error:
            logger.info("action=tool_refused tool=%s code=%s", incoming.tool, error.code)
            return self.failed(error, call)
        except TimeoutError:
            late = DeadlinePassed(f"{incoming.tool} did not end within {seconds:.0f} s", hint="narrow it, or try again")
            return self.failed(late, call)
        except Exception as error:  # noqa: BLE001 - the boundary: a client gets an answer, never a traceback
            return self.failed(_broken(incoming, error), call)
        finally:
            logger.debug("action=tool_called tool=%s s=%.3f", incoming.tool, self.services.clock.monotonic() - began)

    def _output(self, output: Output, call: Call) -> ToolResult:
        known = self._secrets(call)
        data = output.data.model_dump(mode="json", by_alias=True)
        kept = {"preconditions": data.pop("preconditions")} if "preconditions" in data else {}
        structured = clean_json(data, known)
        text = cut(clean_text(output.text, known), TEXT_LIMIT)
        return _tool_result(text, (structured if isinstance(structured, dict) else {}) | kept, is_error=False)

    def _secrets(self, call: Call) -> tuple[str, ...]:
        return (*self.own_secrets, *call.secrets, *self.services.clusters.secrets())


_SURROGATE = re.compile("[\ud800-\udfff]")


def _tool_result(text: str, structured: JsonObject, *, is_error: bool) -> ToolResult:
    content = [TextContent(type="text", text=text)]
    return ToolResult(content=content, structured_content=structured, is_error=is_error)


def _not_impersonating() -> GrantRefused:
    """Acting under our own name instead would be with other rights, maybe more."""
    return GrantRefused(
        "the call is for a person, and this tool server impersonates nobody: set KUBERNETES_IMPERSONATE=true here too",
        code="identity_refused",
    )


def _broken(incoming: Incoming, error: Exception) -> ToolFailure:
    """Logs where it broke, without the error's words, for they may quote a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    logger.error("action=tool_broke tool=%s type=%s at=%s", incoming.tool, type(error).__name__, where)
    return ToolFailure(f"{incoming.tool} broke ({type(error).__name__})", code="internal_error")


def _validated(model: type[Arguments], incoming: Incoming) -> Arguments:
    try:
        return model.model_validate(incoming.arguments)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in each['loc']) or 'arguments'}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False, include_context=False)[:5]
        )
        raise BadArguments(f"{incoming.tool}: {problems}", hint="see the tool's input schema") from error


def _preconditions(grant: Grant) -> Preconditions:
    try:
        return Preconditions.model_validate(grant.preconditions)
    except ValidationError as error:
        raise GrantRefused("the grant's preconditions did not come from a preview", code="grant_mismatch") from error


def _refuse_broken_text(value: JsonValue) -> None:
    """NUL and lone surrogates can't be stored, hashed or sent everywhere: such arguments go no further."""
    if isinstance(value, str):
        if "\x00" in value or _SURROGATE.search(value):
            raise BadArguments("the arguments hold a NUL or a lone surrogate")
    elif isinstance(value, list):
        for item in value:
            _refuse_broken_text(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_broken_text(key)
            _refuse_broken_text(item)
