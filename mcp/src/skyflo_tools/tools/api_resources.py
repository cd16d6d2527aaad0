"""The tool k8s_api_resources: the kinds that a cluster serves."""

from typing import Annotated

from pydantic import BaseModel, Field

from skyflo_tools.kubernetes.paths import Resource
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines
from skyflo_tools.kubernetes.tables import Table, format_lines
from skyflo_tools.side_reads import read_side
from skyflo_tools.tool import CallContext, ClusterArguments, ReadTool, ToolInfo, ToolOutput

MAX_KINDS = 500


class ApiResourcesArguments(ClusterArguments):
    search: Annotated[str, Field(default="", max_length=200, description="Part of a kind's name, short name or group.")]


class ServedKind(BaseModel):
    plural: str
    short_names: list[str]
    api_version: str
    other_versions: list[str]
    kind: str
    namespaced: bool
    verbs: list[str]


class ApiResourcesResult(BaseModel):
    kinds: list[ServedKind]
    left_out: int
    notes: list[str] = []
    """Groups whose kinds are not known."""


async def api_resources(arguments: ApiResourcesArguments, call: CallContext) -> ToolOutput[ApiResourcesResult]:
    cluster = call.services.clusters.choose(arguments.cluster)
    served = _merge_versions(await cluster.discovery.resources())
    problems = await read_side("which groups have problems", cluster.discovery.find_problems(), [])
    words = arguments.search.lower().split()
    chosen = [each for each in served if all(word in _searched(each) for word in words)]
    result = ApiResourcesResult(
        kinds=chosen[:MAX_KINDS],
        left_out=max(0, len(chosen) - MAX_KINDS),
        notes=[*([problems.problem] if problems.problem else []), *problems.value],
    )
    return ToolOutput(_render(result, arguments.search, cluster.name), result)


def _merge_versions(resources: list[Resource]) -> list[ServedKind]:
    """Return one entry for each kind of a group: its preferred version, and the others."""
    merged: dict[tuple[str, str], ServedKind] = {}
    for each in resources:
        known = merged.get((each.group, each.plural))
        if known is not None:
            known.other_versions.append(each.version)
            continue
        merged[(each.group, each.plural)] = ServedKind(
            plural=each.plural,
            short_names=list(each.short_names),
            api_version=each.api_version,
            other_versions=[],
            kind=each.kind,
            namespaced=each.namespaced,
            verbs=list(each.verbs),
        )
    return list(merged.values())


def _searched(kind: ServedKind) -> str:
    return " ".join([kind.plural, kind.kind, kind.api_version, *kind.short_names]).lower()


def _render(result: ApiResourcesResult, search: str, cluster: str) -> str:
    notes = [f"not known: {note}" for note in result.notes]
    if not result.kinds:
        among = " among those that could be read" if notes else ""
        return "\n".join([*notes, f"No kind{among} matches {search!r} (cluster {cluster})."])
    rows = [
        [each.plural, ",".join(each.short_names), each.api_version, ",".join(each.other_versions),
         "yes" if each.namespaced else "no", each.kind, _verbs(each)]
        for each in result.kinds
    ]  # fmt: skip
    columns = ["Name", "Short", "API version", "Also", "Namespaced", "Kind", "Verbs"]
    lines = format_lines(Table(columns, rows, None, ""))
    lines += [f"… {result.left_out} more kinds"] if result.left_out else []
    return limit_lines([*notes, *lines], TEXT_BYTES, "kinds", "narrow with search")


def _verbs(kind: ServedKind) -> str:
    """Name the verbs in short: most kinds have all of them."""
    usual = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
    found = set(kind.verbs)
    return "all" if usual <= found else ",".join(sorted(found))


API_RESOURCES = ReadTool(
    ToolInfo(
        "k8s_api_resources",
        "List kinds",
        "Lists the kinds that a cluster serves, custom resources included: names, API versions, scope, verbs.",
    ),
    ApiResourcesArguments,
    api_resources,
)
