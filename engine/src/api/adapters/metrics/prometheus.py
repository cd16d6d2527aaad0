"""Implement `Metrics` with prometheus_client, in a registry that belongs to one engine.

Labels hold names from the settings and from the engine's own tools only: a foreign server chooses its tools' names, so
those are reported as `other`. `docs/metrics.md` describes each metric.
"""

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from src.api.adapters.metrics.labels import OTHER, BoundedLabel
from src.api.adapters.metrics.shared import SharedStateCollector
from src.api.ports.metrics import Operation, RowChange, ToolOutcome
from src.api.schemas.metrics import SharedState
from src.api.schemas.query import Assign, Increment
from src.api.schemas.records import Approval, Execution, ModelCall, Run
from src.api.schemas.states import ENDED

__all__ = ["PrometheusMetrics"]

DECISION_BUCKETS = (5, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400, 86_400)
FIRST_TOKEN_BUCKETS = (0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
TOOL_BUCKETS = (0.025, 0.1, 0.25, 1, 2.5, 10, 30, 120, 600)
LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
DECISIONS = ("approved", "denied", "expired")
MAX_MODELS = 20
MAX_CODES = 60
MAX_TOOLS = 200
MAX_SERVERS = 21
_NANO = 1_000_000_000


class PrometheusMetrics:
    """Count in memory, and render all metrics as text. Tool names are reported for `own_server` only."""

    def __init__(
        self,
        version: str,
        own_server: str,
        open_streams: Mapping[str, Callable[[], int]],
        executing: Callable[[], int] = lambda: 0,
        role: str = "all",
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._own_server = own_server
        self._models, self._codes = BoundedLabel(MAX_MODELS), BoundedLabel(MAX_CODES)
        self._tools, self._servers = BoundedLabel(MAX_TOOLS), BoundedLabel(MAX_SERVERS)
        self._shared = SharedStateCollector()
        self._registry.register(self._shared)
        ProcessCollector(registry=self._registry)
        self._create_run_metrics()
        self._create_model_metrics()
        self._tool_seconds = self._histogram(
            "skyflo_tool_call_seconds",
            "Requests to tool servers, from sending to outcome.",
            TOOL_BUCKETS,
            ("server", "tool", "operation", "outcome"),
        )
        streams = self._gauge("skyflo_streams_open", "Event streams that clients have open on this process.", ("kind",))
        for kind, count in open_streams.items():
            streams.labels(kind).set_function(count)
        self._gauge("skyflo_runs_executing", "Runs that this process executes.").set_function(executing)
        self._lag = self._histogram(
            "skyflo_event_loop_lag_seconds", "How late a timer of the event loop ran.", LAG_BUCKETS
        )
        build = self._gauge("skyflo_build_info", "What this process is and does.", ("version", "python", "role"))
        build.labels(version, platform.python_version(), role).set(1)

    def _create_run_metrics(self) -> None:
        self._runs_ended = self._counter("skyflo_runs_ended", "Runs that ended here.", ("end", "code"))
        for end in ENDED:
            self._runs_ended.labels(end, "")
        self._leases_lost = self._counter(
            "skyflo_run_leases_lost", "Runs taken over here because their owner stopped renewing its lease."
        )
        self._unknown = self._counter("skyflo_changes_unknown", "Changes whose outcome became unknown.")
        decided = self._histogram(
            "skyflo_approval_decision_seconds",
            "Time from a request for approval to its decision by people, or to its end without one.",
            DECISION_BUCKETS,
            ("decision",),
        )
        self._decided = {decision: decided.labels(decision) for decision in DECISIONS}

    def _create_model_metrics(self) -> None:
        self._first_token = self._histogram(
            "skyflo_model_first_token_seconds",
            "Time that a user waited for the first output of a run.",
            FIRST_TOKEN_BUCKETS,
            ("model",),
        )
        self._calls = self._counter("skyflo_model_calls", "Model calls that reported their tokens.", ("model",))
        self._tokens = self._counter(
            "skyflo_model_tokens", "Tokens. Cached ones are part of the prompt.", ("model", "kind")
        )
        self._cost = self._counter("skyflo_model_cost_dollars", "Cost of model calls with a known price.", ("model",))

    # -- Metrics

    def committed(self, changes: Sequence[RowChange]) -> None:
        for change in changes:
            match change.row:
                case Run() if change.values is not None:
                    self._run_changed(change.row, change.values)
                case Approval() if change.values is not None:
                    self._approval_changed(change.row, change.values)
                case Execution() if change.values is not None and change.values.get("state") == "unknown":
                    self._unknown.inc()
                case ModelCall() if change.values is None:
                    self._model_called(change.row)
                case _:
                    pass

    def tool_called(self, server: str, tool: str, operation: Operation, outcome: ToolOutcome, seconds: float) -> None:
        name = self._tools(tool) if server == self._own_server else OTHER
        self._tool_seconds.labels(self._servers(server), name, operation, outcome).observe(seconds)

    def loop_was_late(self, seconds: float) -> None:
        """Count a timer of the event loop that ran this late."""
        self._lag.observe(seconds)

    def _run_changed(self, run: Run, values: Mapping[str, Assign]) -> None:
        if values.get("state") in ENDED:
            self._runs_ended.labels(run.state, self._codes(run.error_code) if run.error_code else "").inc()
        if isinstance(values.get("restarts"), Increment):
            self._leases_lost.inc()

    def _approval_changed(self, approval: Approval, values: Mapping[str, Assign]) -> None:
        status = values.get("status")
        if status in ("approved", "denied"):
            at = approval.decided_at
        elif status == "expired" and approval.decided_at is None:  # one with a decision expired before its start
            at = approval.approve_by
        else:
            return
        if at is not None:
            self._decided[str(status)].observe(max(0, at - approval.created_at) / 1000)

    def _model_called(self, call: ModelCall) -> None:
        model = self._models(call.model)
        self._calls.labels(model).inc()
        for kind, tokens in (
            ("prompt", call.prompt_tokens),
            ("completion", call.completion_tokens),
            ("cached", call.cached_tokens),
        ):
            self._tokens.labels(model, kind).inc(tokens)
        if call.cost_nano is not None:
            self._cost.labels(model).inc(call.cost_nano / _NANO)
        if call.ttft_ms is not None:
            self._first_token.labels(model).observe(call.ttft_ms / 1000)

    # -- the scrape

    def render(self, shared: SharedState | None, accept: str) -> tuple[bytes, str]:
        """Return all metrics in the format that the client accepts, and its content type."""
        self._shared.state = shared
        encode, content_type = choose_encoder(accept)
        return encode(_WithoutCreationTimes(self._registry)), content_type

    def _counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], labels: Sequence[str] = ()) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self._registry)


class _WithoutCreationTimes:
    """A registry without the `_created` series, which nothing here needs and which double the number of counters."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
