"""Implement `ToolServer` over MCP for all configured servers.

Each server has one session for as long as it is up. A call is a single request on it and can't affect others
(`transport.py`); `results.py` decides its outcome.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import mcp_types
from pydantic import TypeAdapter

from skyflo_common.redaction import Redactor
from src.api.adapters.tools.connection import Connection, ServerHealth
from src.api.adapters.tools.credentials import CREDENTIALS_META, encrypt_credentials
from src.api.adapters.tools.endpoint import ServerConfig
from src.api.adapters.tools.grants import GRANT_META, IDENTITY_META, sign, sign_identity
from src.api.adapters.tools.listing import Catalog, ListedTool, build_catalog
from src.api.adapters.tools.previews import no_preview, read_evidence, read_preview, read_settlement
from src.api.adapters.tools.progress import throttle_progress
from src.api.adapters.tools.results import ReplyBuilder, build_refusal
from src.api.adapters.tools.transport import OutgoingCall
from src.api.errors import EngineError, ToolsUnavailable
from src.api.ports import (
    Clock,
    Evidence,
    ImpersonatedUser,
    IntegrationAccess,
    OmittedTools,
    Preview,
    Progress,
    Settlement,
    ToolReply,
    ToolRequest,
    ToolSpec,
)
from src.api.schemas.base import JsonObject
from src.api.utils.canonical import canonical

__all__ = ["McpToolServers"]

_SESSION_WAIT_SECONDS = 2.0
_LISTING_MAX_AGE_SECONDS = 2.0
_FIRST_LISTING_SECONDS = 5.0
_FIRST_ATTEMPT_SECONDS = 60.0
_INTERNAL_SECONDS = 30.0
_DRAIN_SECONDS = 10.0
_OBJECT: TypeAdapter[JsonObject] = TypeAdapter(JsonObject)


class McpToolServers:
    """Call the servers of `configs`. If two tools have the same name, the earlier server keeps it.

    Entering the context starts connecting without waiting. Leaving it waits up to `drain` seconds for changes in
    progress, then closes the sessions.
    """

    def __init__(
        self,
        configs: Sequence[ServerConfig],
        clock: Clock,
        redactor: Redactor,
        drain: float = _DRAIN_SECONDS,
        integrations: IntegrationAccess | None = None,
    ) -> None:
        self._integrations = integrations
        self._clock = clock
        self._redactor = redactor
        self._drain = drain
        self._connections = {config.name: Connection(config, clock, redactor) for config in configs}
        self._began = clock.monotonic()
        self._runners: list[asyncio.Task[None]] = []
        self._changes: set[asyncio.Task[ToolReply]] = set()
        self._catalog: tuple[tuple[int, ...], Catalog] = ((), Catalog())

    async def __aenter__(self) -> Self:
        for name, connection in self._connections.items():
            self._runners.append(asyncio.create_task(connection.run(), name=f"mcp-server {name}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._changes:
            await asyncio.wait(self._changes, timeout=self._drain)
        for task in [*self._changes, *self._runners]:
            task.cancel()
        await asyncio.gather(*self._changes, *self._runners, return_exceptions=True)
        for connection in self._connections.values():
            await connection.aclose()

    def wake(self) -> None:
        """Check every server now, for example after starting one."""
        for connection in self._connections.values():
            connection.wake()

    def health(self) -> list[ServerHealth]:
        """Return each server's state, in the order of the settings."""
        return [connection.health() for connection in self._connections.values()]

    async def tools(self) -> Mapping[str, ToolSpec]:
        """Return the known tools by name; a server that is down keeps its last list.

        After the start it waits for the first list of each trusted server: for 5 seconds, and up to 60 for a server
        whose first attempt is not over, which a slow machine still starts. A tool that needs an integration is left out
        while none is active.
        """
        trusted = [each for each in self._connections.values() if each.config.trusted]
        await self._wait_until([each.listed for each in trusted], _FIRST_LISTING_SECONDS)
        await self._wait_until([each.tried for each in trusted], _FIRST_ATTEMPT_SECONDS)
        specs = {name: listed.spec for name, (_, listed) in self._build_catalog().tools.items()}
        if self._integrations is None or not any(spec.integration for spec in specs.values()):
            return {name: spec for name, spec in specs.items() if not spec.integration}
        connected = await self._integrations.providers()
        return {name: spec for name, spec in specs.items() if not spec.integration or spec.integration in connected}

    async def omitted(self) -> Sequence[OmittedTools]:
        return self._build_catalog().omitted

    async def _wait_until(self, events: Sequence[asyncio.Event], seconds: float) -> None:
        """Wait until all events are set, at most until these seconds after the start."""
        remaining = self._began + seconds - self._clock.monotonic()
        if remaining > 0 and not all(event.is_set() for event in events):
            with suppress(TimeoutError):
                async with asyncio.timeout(remaining):
                    await asyncio.gather(*(event.wait() for event in events))

    async def call(self, request: ToolRequest, progress: Progress | None = None) -> ToolReply:
        """Send a change at most once, and a read again if it met a closed connection. Only a cancellation raises.

        Cancelling it cancels a read, at the server too. A call with a grant continues in its own task until its end or
        its deadline, even if the caller is gone: a caller that must record the reply shields its waiting.
        """
        if request.grant is None:
            return await self._call(request, progress)
        task = asyncio.create_task(self._call(request, progress), name=f"change {request.grant.approval_id}")
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    async def preview(
        self, spec: ToolSpec, args: str, impersonate_user: ImpersonatedUser | None = None
    ) -> Preview | ToolReply:
        """Return the preview tool's answer, its failed reply if it refused, or a preview that says there is none."""
        if spec.preview is None:
            return no_preview(spec)
        reply = await self._call_internal(spec.server, spec.preview, _OBJECT.validate_json(args), impersonate_user)
        return read_preview(reply)

    async def settle(self, server: str, approval_id: str) -> Settlement:
        """Ask whether the grant ever ran. Returns `cannot_tell`, with the reason, if the server can't say."""
        connection = self._connections.get(server)
        if connection is None or not connection.config.trusted:
            return Settlement("cannot_tell", build_refusal("no_settling", f"The server {server} can't say what ran."))
        reply = await self._call_internal(server, "grant_settle", {"id": approval_id})
        return await read_settlement(reply, ReplyBuilder(server, True, connection.redactor))

    async def evidence(
        self,
        server: str,
        tool: str,
        args: str,
        preconditions: JsonObject | None,
        impersonate_user: ImpersonatedUser | None = None,
    ) -> Evidence:
        connection = self._connections.get(server)
        if connection is None or not connection.config.trusted:
            return Evidence("cannot_tell", f"The server {server} offers no evidence.")
        listed = self._find_tool(connection, tool)
        arguments: JsonObject = {
            "tool": listed.wire_name if listed else tool,
            "arguments": _OBJECT.validate_json(args),
            "preconditions": preconditions,
        }
        return read_evidence(await self._call_internal(server, "grant_evidence", arguments, impersonate_user))

    async def _call(self, request: ToolRequest, progress: Progress | None, internal: bool = False) -> ToolReply:
        connection = self._connections.get(request.server)
        if connection is None:
            return build_refusal("unknown_server", f"There is no tool server called {request.server}.")
        change = request.grant is not None
        outgoing = OutgoingCall(
            lambda: request.send_before is None or self._clock.monotonic() <= request.send_before, once=change
        )
        builder = ReplyBuilder(request.server, connection.config.trusted, connection.redactor, internal=internal)
        try:
            async with asyncio.timeout(request.deadline):
                return await self._send(connection, request, outgoing, builder, progress, internal)
        except ToolsUnavailable as error:
            return builder.without_reply(outgoing, error.detail, change=change)
        except TimeoutError:
            return builder.without_reply(outgoing, f"no answer within {request.deadline:g} s", change=change)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever the client raises, an outcome is returned
            return builder.without_reply(outgoing, str(error) or type(error).__name__, change=change)

    async def _send(
        self,
        connection: Connection,
        request: ToolRequest,
        outgoing: OutgoingCall,
        builder: ReplyBuilder,
        progress: Progress | None,
        internal: bool,
    ) -> ToolReply:
        change = request.grant is not None
        session = await connection.session(min(_SESSION_WAIT_SECONDS, request.deadline / 2))
        await connection.current_listing(session, _LISTING_MAX_AGE_SECONDS if change else float("inf"))
        listed = self._find_tool(connection, request.tool)
        if listed is None:
            return build_refusal("unknown_tool", f"The tool server {request.server} has no tool {request.tool}.")
        refusal = _check_request(listed, request, internal, session.endpoint.grant_key)
        if refusal is not None:
            return refusal
        arguments = _OBJECT.validate_json(request.args)
        meta = self._build_meta(request, listed.wire_name, arguments, session.endpoint.grant_key)
        try:
            meta |= await self._seal_credentials(listed, request.args, session.endpoint.grant_key)
        except EngineError as error:  # nothing was sent
            return build_refusal(error.code, error.detail)
        on_progress = throttle_progress(progress, self._clock, connection.redactor) if progress else None
        result = await session.call(listed.wire_name, arguments, meta, outgoing, on_progress)
        if isinstance(result, mcp_types.InputRequiredResult):
            return builder.without_reply(
                outgoing, "the tool asked for more input, which the engine does not give", change=change
            )
        return await builder.from_result(result, change=change)

    def _build_meta(self, request: ToolRequest, tool: str, arguments: JsonObject, key: str | None) -> JsonObject:
        """Build the request's metadata for a server that shares a key: the grant of a change, or a read's identity."""
        now, impersonate_user = self._clock.now(), request.impersonate_user
        if key is None:
            return {}
        if request.grant is not None:
            args = request.args
            grant = sign(
                request.grant,
                key=key,
                tool=tool,
                args=args,
                arguments=arguments,
                now_ms=now,
                impersonate_user=impersonate_user,
            )
            return {GRANT_META: grant}
        return {} if impersonate_user is None else {IDENTITY_META: sign_identity(impersonate_user, key=key, now_ms=now)}

    async def _seal_credentials(self, listed: ListedTool, args: str, key: str | None) -> JsonObject:
        """Return the metadata with the credentials that a tool needs. Raises `EngineError` where they can't be read."""
        provider = listed.spec.integration
        if not provider or key is None or self._integrations is None:
            return {}
        values = await self._integrations.read(provider)
        sealed = encrypt_credentials(
            values, key=key, provider=provider, tool=listed.wire_name, args=args, now_ms=self._clock.now()
        )
        return {CREDENTIALS_META: sealed}

    async def _call_internal(
        self, server: str, tool: str, arguments: JsonObject, impersonate_user: ImpersonatedUser | None = None
    ) -> ToolReply:
        """Call a hidden tool of a trusted server; such tools change nothing outside that server."""
        request = ToolRequest(server, tool, canonical(arguments), _INTERNAL_SECONDS, impersonate_user=impersonate_user)
        return await self._call(request, None, internal=True)

    def _find_tool(self, connection: Connection, tool: str) -> ListedTool | None:
        """Find a tool by the model's name for it, or else by the server's own."""
        entry = self._build_catalog().tools.get(tool)
        if entry is not None and entry[0] == connection.config.name:
            return entry[1]
        return connection.listing.tools.get(tool)

    def _build_catalog(self) -> Catalog:
        versions = tuple(connection.version for connection in self._connections.values())
        if self._catalog[0] != versions:
            listings = ((name, connection.listing) for name, connection in self._connections.items())
            self._catalog = (versions, build_catalog(listings))
        return self._catalog[1]


def _check_request(listed: ListedTool, request: ToolRequest, internal: bool, key: str | None) -> ToolReply | None:
    """Return why the engine refuses to send this request, or None."""
    if request.schema_hash and listed.spec.schema_hash != request.schema_hash:
        text = f"The tool {request.tool} has changed since this call was made. Ask for the call again."
        return build_refusal("schema_changed", text)
    if listed.internal != internal:
        return build_refusal(
            "unknown_tool", f"The tool server {request.server} has no tool {request.tool} for this use."
        )
    if request.impersonate_user is not None and key is None:
        return build_refusal(
            "no_grant_key", "KUBERNETES_IMPERSONATE needs a key shared with the tool server: MCP_GRANT_KEY."
        )
    if request.grant is None and not listed.spec.read and not internal:
        return build_refusal(
            "approval_needed", f"The tool {request.tool} may change something, so it needs an approval."
        )
    return None
