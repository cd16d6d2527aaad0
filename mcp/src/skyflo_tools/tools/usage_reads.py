"""Read the metrics API and what pods request. What can't be read becomes a note."""

from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from skyflo_tools.errors import ToolFailure
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.listing import Listing
from skyflo_tools.kubernetes.pod_resources import PodResources, Usage, parse_pod_resources, parse_usage
from skyflo_tools.side_reads import SideRead
from skyflo_tools.tool import CallContext
from skyflo_tools.tools.side_lists import read_side_list

MAX_READ = 20_000
MAX_NAMED = 5
INSTALL = (
    "the metrics API (metrics.k8s.io) is not installed, so usage is not known. Install metrics-server, for instance by"
    " its Helm chart (repository https://kubernetes-sigs.github.io/metrics-server/, chart metrics-server), or by its"
    " manifest https://github.com/kubernetes-sigs/metrics-server/releases/latest/download/components.yaml"
)
REPAIR = "metrics-server does not answer: look at its pods, and k8s_get kind=apiservices name=v1beta1.metrics.k8s.io"

SortBy = Annotated[Literal["cpu", "memory"], Field(default="cpu", description="Usage to sort by, highest first.")]
T = TypeVar("T")


@dataclass
class UsageReads:
    """Usage by namespace and name, and why it is not known."""

    usage: dict[tuple[str, str], Usage] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_known: bool = True

    @property
    def period(self) -> str:
        """Say when the usage was measured: the newest measurement and its window."""
        newest = max(self.usage.values(), key=lambda usage: usage.timestamp, default=None)
        return f"average of {newest.window} until {newest.timestamp}" if newest else ""


async def read_usage(
    cluster: Cluster, plural: Literal["pods", "nodes"], namespace: str, call: CallContext, labels: str = ""
) -> UsageReads:
    """Read the usage of pods or nodes. An empty namespace means all."""
    kind = f"{plural}.metrics.k8s.io"
    found = await read_side_list("usage", cluster, kind, namespace, parse_usage, call, limit=MAX_READ, labels=labels)
    if found.code == "unknown_kind":
        return UsageReads(notes=[INSTALL], is_known=False)
    if found.problem:
        is_down = found.code in ("kind_unavailable", "api_refused", "deadline_passed")
        return UsageReads(notes=[found.problem, *([REPAIR] if is_down else [])], is_known=False)
    notes = [f"not all usage was read: {found.value.unread}"] if found.value.unread else []
    return UsageReads({(each.namespace, each.name): each for each in found.value.items}, notes)


async def read_pod_resources(
    cluster: Cluster, namespace: str, call: CallContext, labels: str = ""
) -> SideRead[Listing[PodResources]]:
    """Read what pods request. An empty namespace means all."""
    return await read_side_list(
        "requests and limits", cluster, "v1/Pod", namespace, parse_pod_resources, call, limit=MAX_READ, labels=labels
    )


def require_some(usage: UsageReads, other: SideRead[T]) -> None:
    """Raise ToolFailure if neither could be read."""
    if not usage.is_known and other.problem:
        raise ToolFailure("; ".join([*usage.notes, other.problem]), code=other.code)
