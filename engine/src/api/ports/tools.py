"""MCP tool servers: listing, reads, previews, granted changes, settling of unknown outcomes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from src.api.schemas.base import Json, JsonObject

__all__ = [
    "Evidence",
    "Grant",
    "ImpersonatedUser",
    "IntegrationAccess",
    "OmittedTools",
    "Preview",
    "Progress",
    "Settlement",
    "ToolReply",
    "ToolRequest",
    "ToolServer",
    "ToolSpec",
]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as its server lists it. `read` is true only if a trusted server says `readOnlyHint`."""

    server: str
    name: str
    title: str
    description: str
    input_schema: JsonObject
    schema_hash: str
    read: bool
    destructive: bool
    idempotent: bool
    trusted: bool
    tags: tuple[str, ...] = ()
    preview: str | None = None
    bodies: tuple[str, ...] = ()
    """Arguments that are manifests or patches; those that can't be parsed are shown as their length only."""

    timeout: float = 0
    """Seconds that the tool may need for one call, where that is more than the engine's limit."""

    integration: str = ""
    """The provider of the integration whose address and credentials each call needs."""

    tokens: int = 0
    """What its description takes of a model call, estimated rather too high."""


@dataclass(frozen=True, slots=True)
class OmittedTools:
    """Tools of a server that are not offered to the model, and why. `names` holds the first hundred of `count`."""

    server: str
    reason: str
    names: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class ImpersonatedUser:
    """The Kubernetes user and groups to impersonate for a request."""

    user: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """The permission to run one approved change once. The adapter signs it; it must arrive within `expires_in` (s)."""

    approval_id: str
    run_id: str
    approver: str
    preconditions: JsonObject | None
    expires_in: float


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A request to a tool. It is not sent after `send_before` (of `Clock.monotonic`); `deadline` is in seconds.

    `impersonate_user` is set for servers that impersonate: the requester of a read, the approver of a change.
    """

    server: str
    tool: str
    args: str
    deadline: float
    schema_hash: str = ""
    impersonate_user: ImpersonatedUser | None = None
    grant: Grant | None = None
    send_before: float | None = None


@dataclass(frozen=True, slots=True)
class ToolReply:
    """A request's outcome, as far as it can be known (`protocol.md` 12).

    `failed` with `effect` "none" proves that nothing was changed. Everything that can't be known is `unknown`.
    """

    outcome: Literal["succeeded", "failed", "unknown"]
    content: Sequence[Json] = ()
    structured: JsonObject | None = None
    error: str | None = None
    code: str | None = None
    effect: Literal["none", "done", "partial", "unknown"] = "unknown"


@dataclass(frozen=True, slots=True)
class Preview:
    """A server's description of what a change would do, shown before the approval."""

    summary: str
    risk: Literal["low", "medium", "high", "destructive"]
    objects: tuple[str, ...] = ()
    preconditions: JsonObject | None = None
    details: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settlement:
    """Whether a grant ever ran. `never_ran` is final: the server refuses that grant from now on."""

    state: Literal["never_ran", "started", "succeeded", "failed", "cannot_tell"]
    reply: ToolReply | None = None

    @property
    def is_unanswered(self) -> bool:
        """Whether the server was not reached or did not answer, so that asking again may help."""
        return self.reply is not None and self.reply.code in ("never_sent", "no_answer")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The current state of a preview's objects. Never proof."""

    verdict: Literal["looks_applied", "looks_not_applied", "cannot_tell"]
    detail: str


Progress = Callable[[str | None, float | None, float | None], Awaitable[None]]


class IntegrationAccess(Protocol):
    """Addresses and credentials of integrations, for the tools that use them."""

    async def providers(self) -> frozenset[str]:
        """Return the providers that have an active integration. May be some seconds old."""

    async def read(self, provider: str) -> Mapping[str, str]:
        """Return the metadata and credentials of the provider's only active integration.

        Raises `NotFound` without one, `Conflict` with several, and what reading credentials raises.
        """


class ToolServer(Protocol):
    """All configured tool servers. Only `services/tools/ledger.py` calls it."""

    async def tools(self) -> Mapping[str, ToolSpec]:
        """Return the tools by name, refreshed when a server announces a change. Empty while all servers are down."""

    async def omitted(self) -> Sequence[OmittedTools]:
        """Return what the servers list and can't be offered."""

    async def call(self, request: ToolRequest, progress: Progress | None = None) -> ToolReply:
        """Send a change at most once, and a read again if it met a closed connection.

        Cancelling it cancels a read; a granted change continues.
        """

    async def preview(
        self, spec: ToolSpec, args: str, impersonate_user: ImpersonatedUser | None = None
    ) -> Preview | ToolReply:
        """Return the preview tool's answer, or its failed reply if it refused."""

    async def settle(self, server: str, approval_id: str) -> Settlement: ...

    async def evidence(
        self,
        server: str,
        tool: str,
        args: str,
        preconditions: JsonObject | None,
        impersonate_user: ImpersonatedUser | None = None,
    ) -> Evidence: ...
