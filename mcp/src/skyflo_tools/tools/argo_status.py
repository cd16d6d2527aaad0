"""The tools argo_status and argo_describe: how far a Rollout is, and what belongs to it."""

from typing import Annotated

from pydantic import BaseModel, Field

from skyflo_common.jsontypes import text_at
from skyflo_tools.concurrency import gather_two
from skyflo_tools.kubernetes.argo_rollouts import GROUP, POD_HASH, REVISION, ArgoRollout, describe_run
from skyflo_tools.kubernetes.listing import Listing
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pod_summary import PodSummary
from skyflo_tools.kubernetes.pods import pod_selector
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines
from skyflo_tools.output import redact_object
from skyflo_tools.reports.relations import MAX_CHILDREN_READ, is_owned_by
from skyflo_tools.reports.rollout_report import report_rollout
from skyflo_tools.side_reads import SideRead
from skyflo_tools.tool import CallContext, ReadTool, ToolInfo, ToolOutput
from skyflo_tools.tools.argo_arguments import ARGO_TAGS, ArgoArguments, read_rollout
from skyflo_tools.tools.rollout import MAX_WAIT_SECONDS, POLL_SECONDS
from skyflo_tools.tools.side_lists import read_side_list

MAX_VERSIONS_SHOWN = 10
MAX_RUNS_SHOWN = 10
MAX_STEPS_SHOWN = 60


class ArgoStatusArguments(ArgoArguments):
    wait_seconds: Annotated[
        int,
        Field(default=0, ge=0, le=MAX_WAIT_SECONDS, description="Wait so long for it to be healthy, paused or failed."),
    ]


class ArgoStatus(BaseModel):
    """The state of a Rollout. `version` is the pod template hash of the newest version, `stable` that of the stable."""

    phase: str
    message: str
    strategy: str
    step: str
    weight: str
    version: str
    stable: str
    aborted: bool
    waited_seconds: int = 0
    facts: list[str]
    pods: list[str]
    conditions: list[str] = []
    warnings: list[str] = []
    notes: list[str] = []
    """What could not be read, and what is missing."""
    pod_summaries: list[PodSummary] = []


class ArgoDescription(ArgoStatus):
    steps: list[str]
    versions: list[str]
    analyses: list[str]
    """AnalysisRuns and Experiments, newest first."""


async def status(arguments: ArgoStatusArguments, call: CallContext) -> ToolOutput[ArgoStatus]:
    clock = call.services.clock
    scope, rollout = await read_rollout(arguments, call)
    started_at, reported = clock.monotonic(), ""
    while rollout.phase == "Progressing" and clock.monotonic() - started_at < arguments.wait_seconds:
        if rollout.message != reported:
            await call.progress(rollout.count("updatedReplicas"), rollout.replicas, rollout.message)
            reported = rollout.message
        await clock.sleep(POLL_SECONDS)
        rollout = ArgoRollout(await fetch(scope, arguments.name, call.identity))
    result = await _read_status(rollout, scope, int(clock.monotonic() - started_at), call)
    return ToolOutput(limit_lines(_lines(result, rollout), TEXT_BYTES, "lines"), result)


async def _read_status(rollout: ArgoRollout, scope: ResourceScope, waited: int, call: CallContext) -> ArgoStatus:
    report = await report_rollout(rollout.found, scope, rollout.state, call)
    shown = ArgoRollout(KubeObject(await redact_object(rollout.found.body, call.redactor())))
    return ArgoStatus(
        phase=rollout.phase,
        message=shown.message,
        strategy=rollout.strategy,
        step=rollout.step_text,
        weight=rollout.weight,
        version=rollout.new_hash,
        stable=rollout.stable_hash,
        aborted=rollout.is_aborted,
        waited_seconds=waited,
        facts=rollout.lines(),
        pods=report.pod_lines(),
        conditions=report.conditions,
        warnings=report.warnings,
        notes=[*report.unread, *report.notes],
        pod_summaries=[*report.pods.shown, *report.old_pods.shown],
    )


def _lines(result: ArgoStatus, rollout: ArgoRollout) -> list[str]:
    after = f" after {result.waited_seconds} s" if result.waited_seconds else ""
    versions = f"version {result.version} is rolled out, {result.stable or 'none'} is stable"
    if not result.version:
        versions = "no version is known yet"
    elif result.version == result.stable:
        versions = f"version {result.version} is stable"
    title = f"{rollout}: {result.phase}{after}" + (f": {result.message}" if result.message else "")
    parts = (result.facts, result.notes, result.conditions, result.warnings, result.pods)
    return [title, versions, *(line for part in parts for line in part)]


async def describe(arguments: ArgoArguments, call: CallContext) -> ToolOutput[ArgoDescription]:
    scope, rollout = await read_rollout(arguments, call)
    result, ((sets, runs), experiments) = await gather_two(
        _read_status(rollout, scope, 0, call),
        gather_two(
            gather_two(
                _list_owned("its replicasets", "apps/v1/ReplicaSet", rollout, scope, call),
                _list_owned("its analysis runs", f"analysisruns.{GROUP}", rollout, scope, call),
            ),
            _list_owned("its experiments", f"experiments.{GROUP}", rollout, scope, call),
        ),
    )
    unread = [each.problem or each.value.unread for each in (sets, runs, experiments)]
    description = ArgoDescription(
        **result.model_dump(exclude={"notes"}),
        notes=[*(each for each in unread if each), *result.notes],
        steps=_steps(rollout),
        versions=_versions(rollout, sets.value.items),
        analyses=await _analyses([*runs.value.items, *experiments.value.items], call),
    )
    lines = [*_lines(description, rollout), *description.steps, *description.versions, *description.analyses]
    return ToolOutput(limit_lines(lines, TEXT_BYTES, "lines", "argo_list_analysisruns shows analyses"), description)


async def _list_owned(
    what: str, kind: str, rollout: ArgoRollout, scope: ResourceScope, call: CallContext
) -> SideRead[Listing[KubeObject]]:
    labels = pod_selector(rollout.found) if kind.endswith("ReplicaSet") else ""
    read = await read_side_list(
        what, scope.cluster, kind, scope.namespace, KubeObject, call, limit=MAX_CHILDREN_READ, labels=labels
    )
    owned = [each for each in read.value.items if is_owned_by(each, {rollout.found.uid})]
    return SideRead(Listing(owned, read.value.unread), read.problem, read.code)


def _steps(rollout: ArgoRollout) -> list[str]:
    lines = rollout.step_lines()
    return lines[:MAX_STEPS_SHOWN] + (
        [f"… {len(lines) - MAX_STEPS_SHOWN} more steps"] if len(lines) > MAX_STEPS_SHOWN else []
    )


def _versions(rollout: ArgoRollout, sets: list[KubeObject]) -> list[str]:
    """Return a line for each version: those with pods or a role first, then the newest."""

    def order(each: KubeObject) -> tuple[bool, int]:
        number = each.annotations.get(REVISION, "")
        return bool(each.at("spec", "replicas")), int(number) if number.isdecimal() and len(number) < 19 else 0

    lines = []
    for each in sorted(sets, key=order, reverse=True):
        role = rollout.role_of(each.labels.get(POD_HASH, ""))
        ready, wanted = each.at("status", "readyReplicas") or 0, each.at("spec", "replicas") or 0
        revision = each.annotations.get(REVISION, "?")
        lines.append(
            f"replicaset/{each.name}: revision {revision}, {ready}/{wanted} ready{f', {role}' if role else ''}"
        )
    more = len(lines) - MAX_VERSIONS_SHOWN
    return lines[:MAX_VERSIONS_SHOWN] + ([f"… {more} more versions, argo_history lists them"] if more > 0 else [])


async def _analyses(runs: list[KubeObject], call: CallContext) -> list[str]:
    newest = sorted(runs, key=lambda each: text_at(each.body, "metadata", "creationTimestamp"), reverse=True)
    shown = [KubeObject(await redact_object(each.body, call.redactor())) for each in newest[:MAX_RUNS_SHOWN]]
    lines = [f"{each.kind.lower()}/{each.name}: {describe_run(each)}" for each in shown]
    more = len(newest) - len(shown)
    return lines + ([f"… {more} more, argo_list_analysisruns and argo_list_experiments list them"] if more else [])


STATUS = ReadTool(
    ToolInfo(
        "argo_status",
        "Status of a Rollout",
        "Shows how far an Argo Rollout is and what holds it up. Can wait.",
        tags=ARGO_TAGS,
        deadline=MAX_WAIT_SECONDS + 30.0,
    ),
    ArgoStatusArguments,
    status,
)
DESCRIBE = ReadTool(
    ToolInfo(
        "argo_describe",
        "Describe a Rollout",
        "Shows the status of a Rollout with its steps, versions, analyses and experiments.",
        tags=ARGO_TAGS,
    ),
    ArgoArguments,
    describe,
)
