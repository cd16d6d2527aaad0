"""Run tool calls for the MCP server: validate arguments, check grants, redact results, report errors.

Every result is redacted and bounded. Every error result has a code and the effect of the call.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fastmcp.tools.base import ToolResult
from mcp_types import TextContent
from pydantic import BaseModel, JsonValue, ValidationError

from skyflo_common.jsontypes import JsonObject
from skyflo_common.redaction import Fingerprints, Redactor
from skyflo_tools import changes
from skyflo_tools.arguments import reject_invalid_text, reject_masks, validate_arguments
from skyflo_tools.errors import DeadlineExceeded, Effect, GrantRefused, StoreUnavailable, ToolFailure
from skyflo_tools.grants.claims import IDENTITY_META, Grant, GrantVerifier
from skyflo_tools.grants.store import GrantOutcome
from skyflo_tools.jenkins.access import CREDENTIALS_META
from skyflo_tools.kubernetes.rendering import truncate
from skyflo_tools.output import redact_output, replace_invalid_characters
from skyflo_tools.preconditions import Preconditions
from skyflo_tools.shortening import shorten
from skyflo_tools.tool import (
    ArgumentsT,
    CallContext,
    ChangeTool,
    Progress,
    ReadTool,
    Services,
    ToolInfo,
    ToolOutput,
)

TEXT_LIMIT_BYTES = 64 * 1024
RECORDING_SECONDS = 15.0
MESSAGE_CHARACTERS = 6000
logger = logging.getLogger("skyflo_tools.dispatcher")


@dataclass(frozen=True)
class ToolRequest:
    """One tool call as the MCP client sent it."""

    tool: str
    arguments: JsonObject
    meta: Mapping[str, JsonValue]
    progress: Progress


class ErrorResult(BaseModel):
    """The structured content of an error result."""

    code: str
    message: str
    effect: Effect
    hint: str

    def render_text(self) -> str:
        return f"{self.message} [{self.code}, effect: {self.effect}]" + (f" Hint: {self.hint}" if self.hint else "")


@dataclass
class ToolDispatcher:
    """Runs reads, previews and changes.

    A change runs only if there are a grant verifier and a grant store, and only for a valid grant that has not been
    used. A change that has started goes on when its client disconnects.
    """

    services: Services
    verifier: GrantVerifier | None = None
    impersonate: bool = False
    own_secrets: tuple[str, ...] = ()
    _running: set[asyncio.Task[ToolResult]] = field(default_factory=set)
    _has_persistent_key: bool = False

    async def run_read(self, tool: ReadTool[ArgumentsT], request: ToolRequest) -> ToolResult:
        async def run(call: CallContext) -> ToolResult:
            arguments = validate_arguments(tool.arguments, request.tool, request.arguments)
            if tool.info.internal:
                call = await self._with_persistent_key(call)
            if tool.info.open_world:
                call = self._with_identity(call, request)
            call = self._with_access(call, tool.info, request)
            return await self._to_result(await tool.run(arguments, call), call)

        return await self._run_guarded(run, self.new_call(request), request, tool.info.deadline)

    async def run_preview(self, tool: ChangeTool[ArgumentsT], request: ToolRequest) -> ToolResult:
        async def run(call: CallContext) -> ToolResult:
            arguments = validate_arguments(tool.arguments, request.tool, request.arguments)
            await asyncio.to_thread(reject_masks, request.arguments)
            call = await self._with_persistent_key(self._with_identity(call, request))
            call = self._with_access(call, tool.info, request)
            plan = await tool.plan(arguments, call)
            changes.require_one_cluster(plan)
            return await self._to_result(await changes.preview(plan, call), call)

        return await self._run_guarded(run, self.new_call(request), request, tool.info.deadline)

    async def run_change(self, tool: ChangeTool[ArgumentsT], request: ToolRequest) -> ToolResult:
        """Run a change in its own task, so that a cancelled request does not cancel it."""

        async def run(call: CallContext) -> ToolResult:
            return await self._run_granted(tool, request, call)

        seconds = tool.deadline + RECORDING_SECONDS
        task = asyncio.create_task(self._run_guarded(run, self.new_call(request), request, seconds))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def drain(self, seconds: float) -> None:
        """Wait at most `seconds` for running changes."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=seconds)

    def error_result(self, error: ToolFailure, call: CallContext) -> ToolResult:
        """Convert a failure to a redacted MCP error result."""
        redactor = self._redactor(call)
        effect = error.effect if call.effects.effect == "none" else call.effects.effect
        result = ErrorResult(
            code=error.code,
            message=shorten(_redact_text(error.message, redactor), MESSAGE_CHARACTERS),
            effect=effect,
            hint=shorten(_redact_text(error.hint, redactor), 1000),
        )
        return _tool_result(result.render_text(), result.model_dump(mode="json"), is_error=True)

    def new_call(self, request: ToolRequest) -> CallContext:
        return CallContext(services=self.services, identity=None, progress=request.progress)

    async def _run_granted(self, tool: ChangeTool[ArgumentsT], request: ToolRequest, call: CallContext) -> ToolResult:
        """Verify and consume the grant, run the change, record its result."""
        grant = self._verify_grant(request)
        arguments = validate_arguments(tool.arguments, request.tool, request.arguments)
        expected = _parse_preconditions(grant)
        await asyncio.to_thread(reject_masks, request.arguments)
        if grant.kubernetes_user and not self.impersonate:
            raise _impersonation_disabled()
        identity = grant.impersonated_identity() if self.impersonate else grant.audit_identity()
        call = await self._with_persistent_key(replace(call, identity=identity, pinned_values=expected.pinned))
        call = self._with_access(call, tool.info, request)
        await self._consume_grant(grant)

        async def run(call: CallContext) -> ToolResult:
            plan = await tool.plan(arguments, call)
            if grant.cluster is not None and changes.require_one_cluster(plan) != grant.cluster:
                raise GrantRefused(f"the grant is for cluster {grant.cluster}", code="grant_mismatch")
            return await self._to_result(await changes.execute(plan, expected, call), call)

        result = await self._run_guarded(run, call, request, tool.deadline)
        await self._record_result(grant, result)
        return result

    def _verify_grant(self, request: ToolRequest) -> Grant:
        if self.verifier is None or self.services.grants is None:
            raise GrantRefused("this tool server accepts no changes", code="grant_missing")
        grant = self.verifier.verify_grant(request.meta, request.tool, request.arguments)
        cluster = request.arguments.get("cluster")
        if grant.cluster is not None and cluster is not None and cluster != grant.cluster:
            raise GrantRefused(f"the grant is for cluster {grant.cluster}", code="grant_mismatch")
        return grant

    async def _consume_grant(self, grant: Grant) -> None:
        store = self.services.grants
        if store is None:
            raise StoreUnavailable("this tool server has no grant store")
        state = await store.consume(grant.jti, grant.tool, self.services.clock.now() / 1000)
        if state == "revoked":
            raise GrantRefused("the grant was revoked when the engine settled its outcome", code="grant_revoked")
        if state is not None:
            raise GrantRefused(f"the grant was already used (state: {state})", code="grant_used")
        logger.info("action=change_started tool=%s grant=%s", grant.tool, grant.jti)

    async def _record_result(self, grant: Grant, result: ToolResult) -> None:
        """Store the result of a change under its grant.

        If that fails, the caller still gets the true result, and `grant_settle` reports `started`.
        """
        structured = result.structured_content or {}
        outcome = GrantOutcome(
            state="failed" if result.is_error else "succeeded",
            effect=structured.get("effect", "unknown") if result.is_error else "done",
            text="\n".join(block.text for block in result.content if isinstance(block, TextContent)),
            structured=structured,
        )
        logger.info("action=change_ended grant=%s state=%s effect=%s", grant.jti, outcome.state, outcome.effect)
        if self.services.grants is None:
            return
        try:
            await self.services.grants.record_outcome(grant.jti, outcome, self.services.clock.now() / 1000)
        except StoreUnavailable as error:
            logger.exception("action=grant_end_lost grant=%s error=%s", grant.jti, error.message)

    def _with_identity(self, call: CallContext, request: ToolRequest) -> CallContext:
        if not self.impersonate and IDENTITY_META in request.meta:
            raise _impersonation_disabled()
        if not self.impersonate:
            return call
        if self.verifier is None:
            raise GrantRefused(
                "KUBERNETES_IMPERSONATE requires SKYFLO_TOOLS_GRANT_KEY, to verify identities", code="identity_missing"
            )
        return replace(call, identity=self.verifier.verify_identity(request.meta))

    def can_use(self, info: ToolInfo) -> bool:
        """Whether a tool can be offered: one that needs an integration needs an engine that sends it, or a setting."""
        return not info.integration or self.verifier is not None or self.services.jenkins is not None

    def _with_access(self, call: CallContext, info: ToolInfo, request: ToolRequest) -> CallContext:
        """Add the controller that the call is for, and hide its credentials in the call's whole result."""
        if not info.integration:
            return call
        access = self.services.jenkins
        if self.verifier is not None and (access is None or CREDENTIALS_META in request.meta):
            access = self.verifier.decrypt_access(request.meta, request.tool, request.arguments)
        if access is not None:
            call.secrets.extend(access.secrets)
        return replace(call, jenkins=access)

    async def _with_persistent_key(self, call: CallContext) -> CallContext:
        """Use the fingerprint key of the grant store, so that fingerprints in preconditions outlive a restart.

        Raises StoreUnavailable.
        """
        if not self._has_persistent_key and self.services.grants is not None:
            key = await self.services.grants.fingerprint_key()
            self.services = replace(self.services, fingerprints=Fingerprints(key))
            self._has_persistent_key = True
        return replace(call, services=self.services)

    async def _run_guarded(
        self,
        run: Callable[[CallContext], Awaitable[ToolResult]],
        call: CallContext,
        request: ToolRequest,
        seconds: float,
    ) -> ToolResult:
        began = self.services.clock.monotonic()
        try:
            reject_invalid_text(request.arguments)
            async with asyncio.timeout(seconds):
                return await run(call)
        except ToolFailure as error:
            logger.info("action=tool_refused tool=%s code=%s", request.tool, error.code)
            return self.error_result(error, call)
        except TimeoutError:
            timeout = DeadlineExceeded(
                f"{request.tool} exceeded its deadline of {seconds:.0f} s", hint="narrow the request, or try again"
            )
            return self.error_result(timeout, call)
        except Exception as error:  # noqa: BLE001 - the boundary: the client gets an error result, never a traceback
            return self.error_result(_log_internal_error(request, error), call)
        finally:
            logger.debug("action=tool_called tool=%s s=%.3f", request.tool, self.services.clock.monotonic() - began)

    async def _to_result(self, output: ToolOutput[BaseModel], call: CallContext) -> ToolResult:
        redactor = self._redactor(call)
        data = output.data.model_dump(mode="json", by_alias=True)
        preconditions = {"preconditions": data.pop("preconditions")} if "preconditions" in data else {}
        structured = await redact_output(data, redactor)
        if not isinstance(structured, dict):
            raise ToolFailure(
                "the result is too large to be checked for secrets",
                code="answer_too_large",
                hint="ask for less at once",
            )
        text = await redact_output(output.text, redactor)
        return _tool_result(truncate(str(text), TEXT_LIMIT_BYTES), structured | preconditions, is_error=False)

    def _redactor(self, call: CallContext) -> Redactor:
        return call.redactor().with_secrets((*self.own_secrets, *self.services.clusters.secrets()))


def _tool_result(text: str, structured: JsonObject, *, is_error: bool) -> ToolResult:
    content = [TextContent(type="text", text=text)]
    return ToolResult(content=content, structured_content=structured, is_error=is_error)


def _redact_text(text: str, redactor: Redactor) -> str:
    return redactor.redact_text(str(replace_invalid_characters(text)))


def _impersonation_disabled() -> GrantRefused:
    """Refuse, because running with the server's own credentials could give the user more rights than they have."""
    return GrantRefused(
        "the call names a user to impersonate: set KUBERNETES_IMPERSONATE=true on the tool server too",
        code="identity_refused",
    )


def _log_internal_error(request: ToolRequest, error: Exception) -> ToolFailure:
    """Log where an unexpected error was raised, without its message, which may quote a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    logger.error("action=tool_broke tool=%s type=%s at=%s", request.tool, type(error).__name__, where)
    return ToolFailure(f"{request.tool} failed unexpectedly ({type(error).__name__})", code="internal_error")


def _parse_preconditions(grant: Grant) -> Preconditions:
    try:
        return Preconditions.model_validate(grant.preconditions)
    except ValidationError as error:
        raise GrantRefused("the grant's preconditions are not those of a preview", code="grant_mismatch") from error
