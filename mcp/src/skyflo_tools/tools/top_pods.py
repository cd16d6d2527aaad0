"""The tool k8s_top_pods: what pods use, with their requests and limits."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from pydantic import BaseModel, Field

from skyflo_tools.concurrency import gather_two
from skyflo_tools.kubernetes.lookup import require_namespace, resolve_scope
from skyflo_tools.kubernetes.pod_resources import CPU, MEMORY, NOTHING, Amounts, PodResources, Usage, add_amounts
from skyflo_tools.kubernetes.quantities import format_cpu, format_memory, percent
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines
from skyflo_tools.kubernetes.tables import Table, format_lines
from skyflo_tools.shortening import name_some
from skyflo_tools.tool import CallContext, ClusterArguments, Namespace, ReadTool, ToolInfo, ToolOutput
from skyflo_tools.tools.get import Selector
from skyflo_tools.tools.usage_reads import (
    MAX_NAMED,
    SortBy,
    UsageReads,
    read_pod_resources,
    read_usage,
    require_some,
)

UNKNOWN = "?"


class TopPodsArguments(ClusterArguments):
    namespace: Namespace
    all_namespaces: Annotated[bool, Field(default=False, description="Look in every namespace.")]
    label_selector: Annotated[Selector, Field(default="", description="Such as `app=api`.")]
    containers: Annotated[bool, Field(default=False, description="A row for each container.")]
    sort_by: SortBy
    limit: Annotated[int, Field(default=30, ge=1, le=300, description="How many rows at most.")]


class Use(BaseModel):
    """An amount that is used, with request and limit. Empty: not known, or not set. Percent of each."""

    used: str
    request: str
    limit: str
    of_request: int | None
    of_limit: int | None


class PodUsage(BaseModel):
    namespace: str
    name: str
    container: str
    node: str
    cpu: Use
    memory: Use


class TopPodsResult(BaseModel):
    pods: list[PodUsage]
    """The highest usage first."""
    left_out: int
    usage_known: bool
    period: str
    total_cpu: str
    total_memory: str
    notes: list[str] = []


@dataclass(frozen=True)
class _Row:
    """A pod or one of its containers. `used` is None where the metrics API has nothing about it."""

    namespace: str
    name: str
    container: str
    node: str
    used: Amounts | None
    requests: Amounts
    limits: Amounts


async def top_pods(arguments: TopPodsArguments, call: CallContext) -> ToolOutput[TopPodsResult]:
    cluster = call.services.clusters.choose(arguments.cluster)
    scope = await resolve_scope(cluster, "v1/Pod", arguments.namespace, everywhere=arguments.all_namespaces)
    usage, pods = await gather_two(
        read_usage(cluster, "pods", scope.namespace, call, arguments.label_selector),
        read_pod_resources(cluster, scope.namespace, call, arguments.label_selector),
    )
    require_some(usage, pods)
    notes = [*usage.notes, *([pods.problem] if pods.problem else [])]
    notes += [f"not all pods were read: {pods.value.unread}"] if pods.value.unread else []
    rows = _rows(pods.value.items, usage, by_container=arguments.containers)
    if not rows:
        note = (await require_namespace(scope, call.identity)).strip(" ()")
        notes += [note] if note else []
    notes += _unmeasured(pods.value.items, usage)
    rows.sort(key=lambda row: (-(row.used or NOTHING).get(arguments.sort_by, Fraction(-1)), row.namespace, row.name))
    total = add_amounts(row.used or NOTHING for row in rows)
    result = TopPodsResult(
        pods=[_usage_of(row) for row in rows[: arguments.limit]],
        left_out=max(0, len(rows) - arguments.limit),
        usage_known=usage.is_known,
        period=usage.period,
        total_cpu=format_cpu(total.get(CPU)),
        total_memory=format_memory(total.get(MEMORY)),
        notes=notes,
    )
    where = f"in namespace {scope.namespace}" if scope.namespace else "in all namespaces"
    return ToolOutput(_render(result, f"{where} (cluster {cluster.name})", arguments), result)


def _rows(pods: list[PodResources], usage: UsageReads, *, by_container: bool) -> list[_Row]:
    """Join pods that have not ended with their usage. Usage of a pod that was not read is a row without requests."""
    active = [pod for pod in pods if not pod.has_ended]
    known = {(pod.namespace, pod.name) for pod in pods}
    unread = [
        PodResources(used.namespace, used.name, "", "", [])
        for key, used in usage.usage.items()
        if key not in known and used.containers
    ]
    rows: list[_Row] = []
    for pod in [*active, *unread]:
        used = usage.usage.get((pod.namespace, pod.name))
        if by_container:
            rows += _container_rows(pod, used)
        else:
            total = used.total if used else None
            rows.append(_Row(pod.namespace, pod.name, "", pod.node, total, pod.requests, pod.limits))
    return rows


def _container_rows(pod: PodResources, used: Usage | None) -> list[_Row]:
    measured = used.containers if used else {}
    declared = {each.name: each for each in pod.containers}
    return [
        _Row(
            pod.namespace,
            pod.name,
            name,
            pod.node,
            measured.get(name),
            declared[name].requests if name in declared else NOTHING,
            declared[name].limits if name in declared else NOTHING,
        )
        for name in dict.fromkeys([*declared, *measured])
    ]


def _unmeasured(pods: list[PodResources], usage: UsageReads) -> list[str]:
    missing = [
        f"{pod.namespace}/{pod.name}"
        for pod in pods
        if pod.phase == "Running" and (pod.namespace, pod.name) not in usage.usage
    ]
    if not (missing and usage.is_known):
        return []
    return [f"the metrics API has nothing yet about {len(missing)} running pods: {name_some(missing, MAX_NAMED)}"]


def _usage_of(row: _Row) -> PodUsage:
    uses = {}
    for name, form in ((CPU, format_cpu), (MEMORY, format_memory)):
        used = (row.used or NOTHING).get(name)
        request, limit = row.requests.get(name), row.limits.get(name)
        uses[name] = Use(
            used=form(used),
            request=form(request),
            limit=form(limit),
            of_request=percent(used, request),
            of_limit=percent(used, limit),
        )
    return PodUsage(
        namespace=row.namespace,
        name=row.name,
        container=row.container,
        node=row.node,
        cpu=uses[CPU],
        memory=uses[MEMORY],
    )


def _render(result: TopPodsResult, where: str, arguments: TopPodsArguments) -> str:
    if not result.pods:
        selected = " that match" if arguments.label_selector else ""
        return "\n".join([*result.notes, f"No pods{selected} that run or wait {where}."])
    columns = (["Namespace"] if arguments.all_namespaces else []) + ["Pod"]
    columns += ["Container"] if arguments.containers else []
    columns += ["CPU", "request", "limit", "Memory", "request", "limit", "of limit"]
    table = Table(columns, [_cells(each, arguments) for each in result.pods], None, "")
    lines = format_lines(table)
    lines += [f"… {result.left_out} more, raise limit or narrow with label_selector"] if result.left_out else []
    total = f"total CPU {result.total_cpu or UNKNOWN}, memory {result.total_memory or UNKNOWN}"
    title = f"Usage {where}, {result.period or 'not known'}; {total}"
    return limit_lines([*result.notes, title, *lines], TEXT_BYTES, "lines", "ask for fewer with limit")


def _cells(each: PodUsage, arguments: TopPodsArguments) -> list[str]:
    names = ([each.namespace] if arguments.all_namespaces else []) + [each.name]
    names += [each.container] if arguments.containers else []
    cpu = [each.cpu.used or UNKNOWN, each.cpu.request or "-", each.cpu.limit or "-"]
    memory = [each.memory.used or UNKNOWN, each.memory.request or "-", each.memory.limit or "-"]
    share = "" if each.memory.of_limit is None else f"{each.memory.of_limit}%"
    return [*names, *cpu, *memory, share]


TOP_PODS = ReadTool(
    ToolInfo(
        "k8s_top_pods",
        "Usage of pods",
        "Shows CPU and memory that pods use (metrics API), with their requests and limits.",
    ),
    TopPodsArguments,
    top_pods,
)
