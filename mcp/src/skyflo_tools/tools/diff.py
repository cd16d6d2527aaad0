"""The tool k8s_diff: how manifests differ from the live objects, by the API server's dry run."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from skyflo_tools.concurrency import gather
from skyflo_tools.dry_run import DryRun, dry_run_for_preview
from skyflo_tools.errors import ApiStatusError
from skyflo_tools.object_diffs import combine_diffs
from skyflo_tools.operations import Apply
from skyflo_tools.plan import Write
from skyflo_tools.review.managers import manager_warnings
from skyflo_tools.tool import CallContext, ClusterArguments, Namespace, ReadTool, ToolInfo, ToolOutput
from skyflo_tools.tools.apply import plan_writes, resolve_manifests

DIFF_DEADLINE = 60.0
READ_ONLY = "compared without the API server's dry run, because the cluster is read-only here"

State = Literal["create", "update", "unchanged", "rejected"]


class DiffArguments(ClusterArguments):
    manifests: Annotated[
        str, Field(min_length=1, max_length=256 * 1024, description="One or several YAML documents, or JSON.")
    ]
    namespace: Namespace


class ComparedObject(BaseModel):
    """What applying a manifest would do to its object. `rejected`: the API server refuses it, see `notes`."""

    object: str
    state: State
    notes: list[str]


class DiffResult(BaseModel):
    objects: list[ComparedObject]
    differs: bool
    diff: str
    notes: list[str] = []
    """What of the difference can't be shown."""


@dataclass(frozen=True)
class _Comparison:
    write: Write
    dry_run: DryRun | None
    notes: list[str]

    @property
    def state(self) -> State:
        if self.dry_run is None:
            return "rejected"
        if self.dry_run.live is None:
            return "create"
        return "update" if self.dry_run.touches else "unchanged"


async def diff(arguments: DiffArguments, call: CallContext) -> ToolOutput[DiffResult]:
    cluster = call.services.clusters.choose(arguments.cluster)
    resolved = await resolve_manifests(arguments.manifests, cluster, arguments.namespace, call)
    writes = plan_writes(resolved, force=False)
    if not cluster.context.writable:
        writes = tuple(replace(write, no_dry_run_reason=write.no_dry_run_reason or READ_ONLY) for write in writes)
    compared = await gather(_compare(write, call) for write in writes)
    changed = [each.dry_run for each in compared if each.dry_run and each.state != "unchanged"]
    text, hidden = await combine_diffs(changed, call)
    objects = [ComparedObject(object=str(each.write.target), state=each.state, notes=each.notes) for each in compared]
    differs = any(each.state != "unchanged" for each in compared)
    result = DiffResult(objects=objects, differs=differs, diff=text, notes=hidden)
    return ToolOutput(_render(result, cluster.name), result)


async def _compare(write: Write, call: CallContext) -> _Comparison:
    """Dry-run one manifest. Fields that another manager owns are compared too, and named."""
    notes: list[str] = []
    try:
        try:
            dry_run = await dry_run_for_preview(write, call)
        except ApiStatusError as error:
            if error.code != "field_conflict" or not isinstance(write.operation, Apply):
                raise
            notes.append(f"k8s_apply needs force: {error.message}")
            forced = replace(write, operation=Apply(write.operation.manifest, force=True))
            dry_run = await dry_run_for_preview(forced, call)
    except ApiStatusError as error:
        why = f"{error.message} [{error.code}]" + (f" {error.hint}" if error.hint else "")
        return _Comparison(write, None, [*notes, why])
    notes += [dry_run.no_dry_run_reason] if dry_run.no_dry_run_reason else []
    if dry_run.live is not None and dry_run.touches:
        notes += manager_warnings(dry_run.live)
    return _Comparison(write, dry_run, [*notes, *dry_run.warnings])


def _render(result: DiffResult, cluster: str) -> str:
    count = len(result.objects)
    title = f"{count} object{'s' if count > 1 else ''} compared with cluster {cluster}"
    lines = [f"{title}: {'they differ' if result.differs else 'no difference'}", *result.notes]
    for each in result.objects:
        lines += [f"{each.state}: {each.object}", *(f"  {note}" for note in each.notes)]
    return "\n".join([*lines, result.diff]).rstrip()


DIFF = ReadTool(
    ToolInfo(
        "k8s_diff",
        "Compare manifests",
        "Shows how manifests differ from the live objects, as k8s_apply would change them. Changes nothing.",
        deadline=DIFF_DEADLINE,
    ),
    DiffArguments,
    diff,
    bodies=("manifests",),
)
