"""Report the values of the database that all replicas share."""

from collections.abc import Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from src.api.schemas.metrics import SharedState

__all__ = ["SharedStateCollector"]


class SharedStateCollector(Collector):
    """Report `state` as it was read for this scrape. Without one, its metrics are missing instead of wrong."""

    def __init__(self) -> None:
        self.state: SharedState | None = None

    def collect(self) -> Iterable[Metric]:
        state = self.state
        yield _gauge(
            "skyflo_database_readable", "Whether this process could read the database.", float(state is not None)
        )
        if state is None:
            return
        runs = GaugeMetricFamily("skyflo_runs", "Runs that have not ended, of all replicas.", labels=("state",))
        for name, count in state.runs.items():
            runs.add_metric((name,), count)
        yield runs
        yield _gauge("skyflo_approvals_waiting", "Approvals that wait for a person, of all replicas.", state.approvals)
        yield _gauge(
            "skyflo_approvals_oldest_waiting_seconds",
            "Age of the approval that has waited longest; 0 without one.",
            state.oldest_approval_seconds,
        )
        yield _gauge(
            "skyflo_changes_unsettled",
            "Changes whose outcome is unknown and not settled yet, of all replicas.",
            state.unknown_changes,
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
