"""The tools that steer a Rollout: promote, pause, resume, abort, retry, restart.

Those that are about one new version pin it: if another one is on its way by the time of the approval, nothing is done.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.errors import InvalidArguments, NoDifference, StalePreview
from skyflo_tools.kubernetes.argo_rollouts import ArgoRollout, describe_step
from skyflo_tools.kubernetes.lookup import ResourceScope
from skyflo_tools.operations import MergePatch, Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.risk import Risk
from skyflo_tools.tool import CallContext, ChangeTool, ToolInfo
from skyflo_tools.tools.argo_arguments import (
    ARGO_TAGS,
    VERSION,
    ArgoArguments,
    read_rollout_to_change,
    require_observed,
)

PROGRESS = "argo_status shows its progress."


class PromoteArguments(ArgoArguments):
    full: Annotated[bool, Field(default=False, description="Skip all pauses, steps and analyses that are left.")]


@dataclass(frozen=True)
class _Release:
    """A new version on its way, which a change is about."""

    scope: ResourceScope
    rollout: ArgoRollout

    def write_status(self, status: JsonObject) -> Write:
        target = Target(self.scope.cluster, self.scope.resource, self.scope.namespace, self.rollout.found.name)
        subresource = "status" if target.has_status else ""
        return Write(
            Target(target.cluster, target.resource, target.namespace, target.name, subresource),
            MergePatch({"status": status}),
        )

    @property
    def pinned(self) -> dict[str, str]:
        return {VERSION: self.rollout.new_hash}


async def _read_release(arguments: ArgoArguments, call: CallContext) -> _Release:
    """Read the new version that is on its way. Raises NoDifference if there is none, StalePreview if it is another."""
    scope, rollout = await read_rollout_to_change(arguments, call)
    require_observed(rollout)
    approved = call.pinned_values.get(VERSION)
    if approved is not None and approved != rollout.new_hash:
        raise StalePreview(
            f"{rollout}: the version {rollout.new_hash} is on its way now, not {approved} as in the preview",
            hint="read it again with argo_status, then propose the change again",
        )
    if not rollout.is_rolling_out:
        raise NoDifference(f"{rollout} has no new version on its way: {rollout.stable_hash or 'none'} is stable")
    return _Release(scope, rollout)


async def promote(arguments: PromoteArguments, call: CallContext) -> Plan:
    release = await _read_release(arguments, call)
    rollout = release.rollout
    if rollout.is_aborted:
        raise InvalidArguments(f"{rollout} is aborted", hint="argo_retry starts its rollout again")
    if rollout.is_paused_by_spec:
        raise InvalidArguments(f"{rollout} is paused by spec.paused", hint="argo_resume_rollout first")
    if arguments.full:
        return Plan(
            writes=(release.write_status({"promoteFull": True}),),
            summary=f"Promote {rollout} fully to version {rollout.new_hash}, without the steps that are left",
            done_summary=f"Promoted {rollout} fully to version {rollout.new_hash}; {PROGRESS}",
            risk=Risk(level="high", reason="all traffic goes to the new version, without further pauses and analyses"),
            pinned_values=release.pinned,
        )
    status, what = _next(rollout)
    return Plan(
        writes=(release.write_status(status),),
        summary=f"Promote {rollout}, version {rollout.new_hash}: {what}",
        done_summary=f"Promoted {rollout}, version {rollout.new_hash}; {PROGRESS}",
        risk=Risk(level="medium", reason="the new version gets what its next step gives it"),
        pinned_values=release.pinned,
    )


def _next(rollout: ArgoRollout) -> tuple[JsonObject, str]:
    """Return the status that lets a rollout go on, and what that means. Raises InvalidArguments if it waits for no one.

    As the kubectl plugin does it: what waits is released, and what runs, such as an analysis, is skipped.
    """
    if rollout.pause_reasons and not (rollout.is_inconclusive and rollout.step is not None):
        return {"pauseConditions": None}, f"end its pause ({', '.join(rollout.pause_reasons)}){_after(rollout)}"
    step = rollout.step
    if step is None or step >= len(rollout.steps):
        raise InvalidArguments(
            f"{rollout} does not wait for a promotion: {rollout.phase} {rollout.message}".rstrip(),
            hint="argo_status shows what it waits for; full=true skips the analyses that are left",
        )
    skipped = f"skip step {step} ({describe_step(rollout.steps[step])}){_after(rollout)}"
    if rollout.is_inconclusive:
        return {"pauseConditions": None, "controllerPause": False, "currentStepIndex": step + 1}, skipped
    return {"currentStepIndex": step + 1}, skipped


def _after(rollout: ArgoRollout) -> str:
    if rollout.step is None:
        return ""
    following = rollout.steps[rollout.step + 1 :]
    return f", then {describe_step(following[0])}" if following else ", then the new version is stable"


async def abort(arguments: ArgoArguments, call: CallContext) -> Plan:
    release = await _read_release(arguments, call)
    rollout = release.rollout
    return Plan(
        writes=(release.write_status({"abort": True}),),
        summary=f"Abort {rollout}: version {rollout.new_hash} gives way to the stable one, {rollout.stable_hash}",
        done_summary=f"Aborted {rollout}; {PROGRESS}",
        risk=Risk(level="destructive", reason="traffic leaves the new version, and its pods are removed"),
        pinned_values=release.pinned,
    )


async def retry(arguments: ArgoArguments, call: CallContext) -> Plan:
    release = await _read_release(arguments, call)
    rollout = release.rollout
    if not rollout.is_aborted:
        raise InvalidArguments(f"{rollout} is not aborted, so there is nothing to retry", hint="see argo_status")
    return Plan(
        writes=(release.write_status({"abort": False}),),
        summary=f"Retry {rollout}: roll out version {rollout.new_hash} again, from its first step",
        done_summary=f"Started the rollout of {rollout} again; {PROGRESS}",
        risk=Risk(level="medium", reason="the version that was aborted gets traffic again"),
        pinned_values=release.pinned,
    )


async def pause(arguments: ArgoArguments, call: CallContext) -> Plan:
    scope, rollout = await read_rollout_to_change(arguments, call)
    return Plan(
        writes=(_write_spec(scope, rollout, {"paused": True}),),
        summary=f"Pause {rollout} where it is, until it is resumed",
        done_summary=f"Paused {rollout}",
        risk=Risk(level="low", reason="stops no pod, but holds up the rollout and every later one"),
    )


async def resume(arguments: ArgoArguments, call: CallContext) -> Plan:
    scope, rollout = await read_rollout_to_change(arguments, call)
    if not rollout.is_paused_by_spec:
        waits = f", but it waits ({', '.join(rollout.pause_reasons)})" if rollout.pause_reasons else ""
        raise InvalidArguments(f"{rollout} is not paused by spec.paused{waits}", hint="argo_promote ends other pauses")
    return Plan(
        writes=(_write_spec(scope, rollout, {"paused": None}),),
        summary=f"Resume {rollout}: its rollout goes on",
        done_summary=f"Resumed {rollout}; {PROGRESS}",
        risk=Risk(level="medium", reason="what was held up rolls out now"),
    )


async def restart(arguments: ArgoArguments, call: CallContext) -> Plan:
    scope, rollout = await read_rollout_to_change(arguments, call)
    now = datetime.fromtimestamp(call.services.clock.now() / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    at = call.pinned_values.get("restartAt") or now
    return Plan(
        writes=(_write_spec(scope, rollout, {"restartAt": at}),),
        summary=f"Restart {rollout}: replace its pods by new ones of the same versions",
        done_summary=f"Restarted {rollout} (restartAt {at}); {PROGRESS}",
        risk=Risk(level="medium", reason="every pod is replaced, a few at a time"),
        pinned_values={"restartAt": at},
    )


def _write_spec(scope: ResourceScope, rollout: ArgoRollout, spec: JsonObject) -> Write:
    target = Target(scope.cluster, scope.resource, scope.namespace, rollout.found.name)
    return Write(target, MergePatch({"spec": spec}))


PROMOTE = ChangeTool(
    ToolInfo(
        "argo_promote",
        "Promote a Rollout",
        "Lets a waiting Rollout go on, or skips the step that runs. Promote only a version that proved good.",
        tags=ARGO_TAGS,
    ),
    PromoteArguments,
    promote,
    idempotent=False,
)
ABORT = ChangeTool(
    ToolInfo("argo_abort_rollout", "Abort a rollout", "Sends a Rollout back to its stable version.", tags=ARGO_TAGS),
    ArgoArguments,
    abort,
    destructive=True,
)
RETRY = ChangeTool(
    ToolInfo("argo_retry", "Retry a rollout", "Starts an aborted Rollout again.", tags=ARGO_TAGS),
    ArgoArguments,
    retry,
)
PAUSE = ChangeTool(
    ToolInfo("argo_pause_rollout", "Pause a Rollout", "Pauses a Rollout where it is.", tags=ARGO_TAGS),
    ArgoArguments,
    pause,
)
RESUME = ChangeTool(
    ToolInfo("argo_resume_rollout", "Resume a Rollout", "Ends the pause of argo_pause_rollout.", tags=ARGO_TAGS),
    ArgoArguments,
    resume,
)
RESTART = ChangeTool(
    ToolInfo("argo_rollout_restart", "Restart a Rollout", "Replaces the pods of a Rollout.", tags=ARGO_TAGS),
    ArgoArguments,
    restart,
    idempotent=False,
)
