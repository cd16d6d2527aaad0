"""Measure and trace the requests that go through a `ToolServer`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from skyflo_common.tracing import conventions
from src.api.ports import (
    Clock,
    Evidence,
    ImpersonatedUser,
    OmittedTools,
    Preview,
    Progress,
    Settlement,
    ToolReply,
    ToolRequest,
    ToolServer,
    ToolSpec,
    Tracing,
)
from src.api.ports.metrics import Metrics, Operation, ToolOutcome
from src.api.schemas.base import JsonObject

__all__ = ["ObservedToolServer"]


class ObservedToolServer:
    """`ToolServer` that counts and traces calls and previews, and passes everything on unchanged."""

    def __init__(self, tools: ToolServer, metrics: Metrics, tracing: Tracing, clock: Clock) -> None:
        self._tools = tools
        self._metrics = metrics
        self._tracing = tracing
        self._clock = clock

    async def tools(self) -> Mapping[str, ToolSpec]:
        return await self._tools.tools()

    async def omitted(self) -> Sequence[OmittedTools]:
        return await self._tools.omitted()

    async def call(self, request: ToolRequest, progress: Progress | None = None) -> ToolReply:
        operation: Operation = "read" if request.grant is None else "change"
        with self._observe(request.server, request.tool, operation) as report:
            reply = await self._tools.call(request, progress)
            report(reply.outcome)
        return reply

    async def preview(
        self, spec: ToolSpec, args: str, impersonate_user: ImpersonatedUser | None = None
    ) -> Preview | ToolReply:
        if spec.preview is None:  # nothing is asked
            return await self._tools.preview(spec, args, impersonate_user)
        with self._observe(spec.server, spec.name, "preview") as report:
            shown = await self._tools.preview(spec, args, impersonate_user)
            report(shown.outcome if isinstance(shown, ToolReply) else "succeeded")
        return shown

    async def settle(self, server: str, approval_id: str) -> Settlement:
        return await self._tools.settle(server, approval_id)

    async def evidence(
        self,
        server: str,
        tool: str,
        args: str,
        preconditions: JsonObject | None,
        impersonate_user: ImpersonatedUser | None = None,
    ) -> Evidence:
        return await self._tools.evidence(server, tool, args, preconditions, impersonate_user)

    @contextmanager
    def _observe(self, server: str, tool: str, operation: Operation) -> Iterator[Callable[[ToolOutcome], None]]:
        """Measure the block. It reports the outcome; one that ends without was cancelled."""
        outcome: ToolOutcome = "cancelled"
        began = self._clock.monotonic()

        def report(known: ToolOutcome) -> None:
            nonlocal outcome
            outcome = known

        attributes = conventions.execute_tool(server, tool, operation)
        with self._tracing.span(f"execute_tool {tool}", attributes, kind="client") as span:
            try:
                yield report
            finally:
                self._metrics.tool_called(server, tool, operation, outcome, self._clock.monotonic() - began)
                span.set(conventions.tool_outcome(outcome))
                if outcome != "succeeded":
                    span.fail(outcome)
