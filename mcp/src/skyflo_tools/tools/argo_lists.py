"""The tools argo_list_rollouts, argo_list_analysisruns, argo_list_experiments and argo_history."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, Field

from skyflo_common.jsontypes import text_at
from skyflo_tools.kubernetes.ages import format_age
from skyflo_tools.kubernetes.argo_rollouts import ArgoRollout, describe_run
from skyflo_tools.kubernetes.listing import Listing, ListReader
from skyflo_tools.kubernetes.lookup import ResourceScope, require_namespace
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines
from skyflo_tools.kubernetes.tables import Table, format_lines
from skyflo_tools.output import redact_object
from skyflo_tools.tool import CallContext, ClusterArguments, Namespace, ReadTool, ToolInfo, ToolOutput
from skyflo_tools.tools.argo_arguments import ARGO_TAGS, ArgoArguments, read_rollout, resolve_argo_scope
from skyflo_tools.tools.rollout_history import Compared, RevisionNumber, RolloutHistoryResult, show_history

MAX_SHOWN = 200
MAX_READ = 5000
NARROW = "name a namespace"


class ListRolloutsArguments(ClusterArguments):
    namespace: Namespace
    all_namespaces: Annotated[bool, Field(default=False, description="Look in every namespace.")]


class ListRunsArguments(ListRolloutsArguments):
    rollout: Annotated[str, Field(default="", max_length=253, description="Only of this Rollout.")]


class ArgoHistoryArguments(ArgoArguments):
    revision: Annotated[RevisionNumber, Field(description="Revision to compare. Default: the newest.")]
    compare_with: Annotated[RevisionNumber, Field(description="Earlier revision. Default: the one before it.")]


class RolloutEntry(BaseModel):
    namespace: str
    name: str
    strategy: str
    phase: str
    message: str
    step: str
    weight: str
    wanted: int
    ready: int
    updated: int
    available: int
    age: str


class RolloutList(BaseModel):
    rollouts: list[RolloutEntry]
    note: str = ""
    """Why there may be more."""


class RunEntry(BaseModel):
    namespace: str
    name: str
    phase: str
    owner: str
    age: str
    details: str


class RunList(BaseModel):
    runs: list[RunEntry]
    """Newest first."""
    note: str = ""


async def list_rollouts(arguments: ListRolloutsArguments, call: CallContext) -> ToolOutput[RolloutList]:
    scope, found = await _read_all("rollouts", arguments, call)
    entries = [await _rollout_entry(each, call) for each in found.items[:MAX_SHOWN]]
    result = RolloutList(rollouts=entries, note=_note(found, len(entries)))
    if not entries and not result.note:
        return ToolOutput(await _nothing("Rollouts", scope, call), result)
    rows = [
        [each.namespace, each.name, each.strategy, each.phase, each.step, each.weight,
         f"{each.ready}/{each.wanted}", str(each.updated), str(each.available), each.age, each.message]
        for each in entries
    ]  # fmt: skip
    columns = ["Namespace", "Name", "Strategy", "Phase", "Step", "Weight", "Ready", "Updated", "Available", "Age",
               "Message"]  # fmt: skip
    return ToolOutput(_render(columns, rows, result.note), result)


async def _rollout_entry(found: KubeObject, call: CallContext) -> RolloutEntry:
    rollout = ArgoRollout(KubeObject(await redact_object(found.body, call.redactor())))
    return RolloutEntry(
        namespace=found.namespace,
        name=found.name,
        strategy=rollout.strategy,
        phase=rollout.phase,
        message=rollout.message,
        step=rollout.step_text,
        weight=rollout.weight,
        wanted=rollout.replicas,
        ready=rollout.count("readyReplicas"),
        updated=rollout.count("updatedReplicas"),
        available=rollout.count("availableReplicas"),
        age=_age(found, call),
    )


async def list_analysis_runs(arguments: ListRunsArguments, call: CallContext) -> ToolOutput[RunList]:
    return await _list_runs("analysisruns", "AnalysisRuns", arguments, call)


async def list_experiments(arguments: ListRunsArguments, call: CallContext) -> ToolOutput[RunList]:
    return await _list_runs("experiments", "Experiments", arguments, call)


async def _list_runs(plural: str, what: str, arguments: ListRunsArguments, call: CallContext) -> ToolOutput[RunList]:
    scope, found = await _read_all(plural, arguments, call)
    wanted = [each for each in found.items if not arguments.rollout or _belongs_to(each, arguments.rollout)]
    newest = sorted(wanted, key=lambda each: text_at(each.body, "metadata", "creationTimestamp"), reverse=True)
    entries = [await _run_entry(each, call) for each in newest[:MAX_SHOWN]]
    result = RunList(runs=entries, note=_note(Listing(newest, found.unread), len(entries)))
    if not entries and not result.note:
        of = f" of rollout/{arguments.rollout}" if arguments.rollout else ""
        return ToolOutput(await _nothing(f"{what}{of}", scope, call), result)
    rows = [[each.namespace, each.name, each.phase, each.owner, each.age, each.details] for each in entries]
    columns = ["Namespace", "Name", "Phase", "Owner", "Age", "Details"]
    return ToolOutput(_render(columns, rows, result.note), result)


def _belongs_to(run: KubeObject, rollout: str) -> bool:
    return any((text_at(each, "kind"), text_at(each, "name")) == ("Rollout", rollout) for each in run.owners)


async def _run_entry(found: KubeObject, call: CallContext) -> RunEntry:
    shown = KubeObject(await redact_object(found.body, call.redactor()))
    owner = next(iter(found.owners), {})
    return RunEntry(
        namespace=found.namespace,
        name=found.name,
        phase=text_at(found.body, "status", "phase"),
        owner=f"{text_at(owner, 'kind').lower()}/{text_at(owner, 'name')}" if owner else "",
        age=_age(found, call),
        details=describe_run(shown),
    )


async def _read_all(
    plural: str, arguments: ListRolloutsArguments, call: CallContext
) -> tuple[ResourceScope, Listing[KubeObject]]:
    cluster = call.services.clusters.choose(arguments.cluster)
    scope = await resolve_argo_scope(cluster, plural, arguments.namespace, everywhere=arguments.all_namespaces)
    return scope, await ListReader(call.identity, call.services.clock, MAX_READ).read(scope, KubeObject)


async def _nothing(what: str, scope: ResourceScope, call: CallContext) -> str:
    gone = await require_namespace(scope, call.identity)
    return f"No {what} " + (f"in namespace {scope.namespace}{gone}." if scope.namespace else "in any namespace.")


def _age(found: KubeObject, call: CallContext) -> str:
    return format_age(text_at(found.body, "metadata", "creationTimestamp"), call.services.clock.now())


def _note(found: Listing[KubeObject], shown: int) -> str:
    left = len(found.items) - shown
    return "; ".join([*([found.unread] if found.unread else []), *([f"{left} more, {NARROW}"] if left else [])])


def _render(columns: Sequence[str], rows: list[list[str]], note: str) -> str:
    used = [index for index, _ in enumerate(columns) if any(row[index] for row in rows)]
    table = Table([columns[index] for index in used], [[row[index] for index in used] for row in rows], None, "")
    lines = limit_lines(format_lines(table), TEXT_BYTES, "rows", NARROW) if rows else ""
    return "\n".join([*([lines] if lines else []), *([f"… {note}"] if note else [])])


async def history(arguments: ArgoHistoryArguments, call: CallContext) -> ToolOutput[RolloutHistoryResult]:
    scope, rollout = await read_rollout(arguments, call)
    return await show_history(rollout.found, scope, Compared(arguments.revision, arguments.compare_with), call)


LIST = ReadTool(
    ToolInfo("argo_list_rollouts", "Argo Rollouts", "Lists Rollouts with phase, step and weight.", tags=ARGO_TAGS),
    ListRolloutsArguments,
    list_rollouts,
)
ANALYSIS_RUNS = ReadTool(
    ToolInfo(
        "argo_list_analysisruns",
        "Analysis runs",
        "Lists AnalysisRuns, newest first, with the metrics that decided.",
        tags=ARGO_TAGS,
    ),
    ListRunsArguments,
    list_analysis_runs,
)
EXPERIMENTS = ReadTool(
    ToolInfo("argo_list_experiments", "Experiments", "Lists Experiments, newest first.", tags=ARGO_TAGS),
    ListRunsArguments,
    list_experiments,
)
HISTORY = ReadTool(
    ToolInfo(
        "argo_history",
        "History of a Rollout",
        "Lists a Rollout's revisions, and what changed between two of them.",
        tags=ARGO_TAGS,
    ),
    ArgoHistoryArguments,
    history,
)
