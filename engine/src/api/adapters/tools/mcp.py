"""`ToolServer` over MCP: every configured server behind one face.

One session per server lives as long as the server does. A call goes through it as one request and can't harm another
(`wire.py`); what became of it is read by `replies.py`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import mcp_types
from pydantic import TypeAdapter

from src.api.adapters.tools.connection import Connection, ServerHealth
from src.api.adapters.tools.endpoint import ServerConfig
from src.api.adapters.tools.grants import GRANT_META, IDENTITY_META, sign, sign_identity
from src.api.adapters.tools.listing import Listed, catalog
from src.api.adapters.tools.previews import no_preview, read_evidence, read_preview, read_settlement
from src.api.adapters.tools.progress import throttled
from src.api.adapters.tools.replies import Replies, refused
from src.api.adapters.tools.wire import Wire
from src.api.errors import ToolsUnavailable
from src.api.ports import Acting, Clock, Evidence, Preview, Progress, Settlement, ToolReply, ToolRequest, ToolSpec
from src.api.schemas.base import JsonObject
from src.api.utils.canonical import canonical
from src.api.utils.redaction import Redactor

__all__ = ["McpToolServers"]

_PATIENCE = 2.0
_FRESH_SECONDS = 2.0
_FIRST_LIST_SECONDS = 5.0
_QUESTION_SECONDS = 30.0
_DRAIN_SECONDS = 10.0
_OBJECT: TypeAdapter[JsonObject] = TypeAdapter(JsonObject)


class McpToolServers:
    """The servers in the order of `configs`: where two tools have one name, the earlier server keeps it.

    An asynchronous context manager: entering starts connecting and waits for nobody; leaving waits for changes that
    are under way (`drain` seconds at most) before it closes the sessions.
    """

    def __init__(
        self, configs: Sequence[ServerConfig], clock: Clock, redactor: Redactor, drain: float = _DRAIN_SECONDS
    ) -> None:
        self._clock = clock
        self._redactor = redactor
        self._drain = drain
        self._connections = {config.name: Connection(config, clock, redactor) for config in configs}
        self._patient_until = clock.boot() + _FIRST_LIST_SECONDS
        self._runners: list[asyncio.Task[None]] = []
        self._changes: set[asyncio.Task[ToolReply]] = set()
        self._catalog: tuple[tuple[int, ...], dict[str, tuple[str, Listed]]] = ((), {})

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
        """Look at every server now: for the one who has just started a server anew."""
        for connection in self._connections.values():
            connection.wake()

    def health(self) -> list[ServerHealth]:
        """Each server's state, in the order of the settings."""
        return [connection.health() for connection in self._connections.values()]

    async def tools(self) -> Mapping[str, ToolSpec]:
        """What is known, by name: a server that is down keeps what it listed last.

        Waits only in the first seconds after the start, for the first list of each trusted server.
        """
        await self._first_lists()
        return {name: listed.spec for name, (_, listed) in self._named().items()}

    async def _first_lists(self) -> None:
        patience = self._patient_until - self._clock.boot()
        unlisted = [each.listed for each in self._connections.values() if each.config.trusted]
        if patience > 0 and not all(listed.is_set() for listed in unlisted):
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await asyncio.gather(*(listed.wait() for listed in unlisted))

    async def call(self, request: ToolRequest, progress: Progress | None = None) -> ToolReply:
        """Puts at most one request on the wire and never raises but for cancellation.

        Cancelling it ends a read, here and at the server. A call with a grant runs on in a task of its own, to its end
        or its deadline, also when nobody waits for it any more: whoever must record its reply shields its own waiting.
        """
        if request.grant is None:
            return await self._call(request, progress)
        task = asyncio.create_task(self._call(request, progress), name=f"change {request.grant.approval_id}")
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    async def preview(self, spec: ToolSpec, args: str, acting: Acting | None = None) -> Preview | ToolReply:
        """The companion's answer, the failed reply where it refused, or a preview that says that there is none."""
        if spec.preview is None:
            return no_preview(spec)
        reply = await self._ask(spec.server, spec.preview, _OBJECT.validate_json(args), acting)
        return read_preview(reply)

    async def settle(self, server: str, approval_id: str) -> Settlement:
        """Asks whether the grant ever ran. `cannot_tell`, with the reason, where the server does not answer that."""
        connection = self._connections.get(server)
        if connection is None or not connection.config.trusted:
            return Settlement("cannot_tell", refused("no_settling", f"The server {server} can't say what ran."))
        reply = await self._ask(server, "grant_settle", {"id": approval_id})
        return read_settlement(reply, Replies(server, True, self._redactor))

    async def evidence(
        self, server: str, tool: str, args: str, preconditions: JsonObject | None, acting: Acting | None = None
    ) -> Evidence:
        connection = self._connections.get(server)
        if connection is None or not connection.config.trusted:
            return Evidence("cannot_tell", f"The server {server} offers no way to look.")
        listed = self._find(connection, tool)
        arguments: JsonObject = {
            "tool": listed.wire_name if listed else tool,
            "arguments": _OBJECT.validate_json(args),
            "preconditions": preconditions,
        }
        return read_evidence(await self._ask(server, "grant_evidence", arguments, acting))

    async def _call(self, request: ToolRequest, progress: Progress | None, internal: bool = False) -> ToolReply:
        connection = self._connections.get(request.server)
        if connection is None:
            return refused("unknown_server", f"There is no tool server called {request.server}.")
        change = request.grant is not None
        wire = Wire(lambda: request.send_before is None or self._clock.boot() <= request.send_before, once=change)
        replies = Replies(request.server, connection.config.trusted, self._redactor, questions=internal)
        try:
            async with asyncio.timeout(request.deadline):
                return await self._send(connection, request, wire, replies, progress, internal)
        except ToolsUnavailable as error:
            return replies.unanswered(wire, error.detail, change=change)
        except TimeoutError:
            return replies.unanswered(wire, f"no answer within {request.deadline:g} s", change=change)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever the client raises, an outcome is told
            return replies.unanswered(wire, str(error) or type(error).__name__, change=change)

    async def _send(
        self,
        connection: Connection,
        request: ToolRequest,
        wire: Wire,
        replies: Replies,
        progress: Progress | None,
        internal: bool,
    ) -> ToolReply:
        change = request.grant is not None
        link = await connection.link(min(_PATIENCE, request.deadline / 2))
        await connection.fresh(link, _FRESH_SECONDS if change else float("inf"))
        listed = self._find(connection, request.tool)
        if listed is None:
            return refused("unknown_tool", f"The tool server {request.server} has no tool {request.tool}.")
        refusal = _refusal(listed, request, internal, link.endpoint.grant_key)
        if refusal is not None:
            return refusal
        arguments = _OBJECT.validate_json(request.args)
        meta = self._signed(request, listed.wire_name, arguments, link.endpoint.grant_key)
        shown = throttled(progress, self._clock, self._redactor) if progress else None
        result = await link.call(listed.wire_name, arguments, meta, wire, shown)
        if isinstance(result, mcp_types.InputRequiredResult):
            return replies.unanswered(wire, "the tool asked for more input, which is not given", change=change)
        return replies.answered(result, change=change)

    def _signed(self, request: ToolRequest, tool: str, arguments: JsonObject, key: str | None) -> JsonObject:
        """What goes along for a server that shares a key with us: leave for a change, or in whose name it reads."""
        now, acting = self._clock.now(), request.acting
        if key is None:
            return {}
        if request.grant is not None:
            args = request.args
            grant = sign(request.grant, key=key, tool=tool, args=args, arguments=arguments, now_ms=now, acting=acting)
            return {GRANT_META: grant}
        return {} if acting is None else {IDENTITY_META: sign_identity(acting, key=key, now_ms=now)}

    async def _ask(self, server: str, tool: str, arguments: JsonObject, acting: Acting | None = None) -> ToolReply:
        """Calls a hidden tool of a trusted server, which changes nothing outside of that server."""
        request = ToolRequest(server, tool, canonical(arguments), _QUESTION_SECONDS, acting=acting)
        return await self._call(request, None, internal=True)

    def _find(self, connection: Connection, tool: str) -> Listed | None:
        """By the name that a model sees, else by the server's own."""
        named = self._named().get(tool)
        if named is not None and named[0] == connection.config.name:
            return named[1]
        return connection.listing.tools.get(tool)

    def _named(self) -> dict[str, tuple[str, Listed]]:
        versions = tuple(connection.version for connection in self._connections.values())
        if self._catalog[0] != versions:
            listings = ((name, connection.listing) for name, connection in self._connections.items())
            self._catalog = (versions, catalog(listings))
        return self._catalog[1]


def _refusal(listed: Listed, request: ToolRequest, internal: bool, key: str | None) -> ToolReply | None:
    """Why the engine does not send this request, if it does not."""
    if request.schema_hash and listed.spec.schema_hash != request.schema_hash:
        sentence = f"The tool {request.tool} is not what it was when this call was made: ask for it anew."
        return refused("schema_changed", sentence)
    if listed.internal != internal:
        return refused("unknown_tool", f"The tool server {request.server} has no tool {request.tool} for this use.")
    if request.acting is not None and key is None:
        return refused("no_grant_key", "KUBERNETES_IMPERSONATE needs a key shared with the tool server: MCP_GRANT_KEY.")
    if request.grant is None and not listed.spec.read and not internal:
        return refused("approval_needed", f"The tool {request.tool} may change something, so it needs an approval.")
    return None
