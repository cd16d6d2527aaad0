"""The tools argo_set_image and argo_undo: give a Rollout another pod template."""

from typing import Annotated

from pydantic import Field

from skyflo_common.jsontypes import JsonObject, objects_at, text_at
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.argo_rollouts import ArgoRollout
from skyflo_tools.kubernetes.revisions import read_revisions
from skyflo_tools.operations import JsonPatch, Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.risk import Risk
from skyflo_tools.tool import CallContext, ChangeTool, ToolInfo
from skyflo_tools.tools.argo_arguments import ARGO_TAGS, ArgoArguments, read_rollout_to_change, require_own_template
from skyflo_tools.tools.argo_changes import PROGRESS
from skyflo_tools.tools.rollout_changes import choose_revision

_FIELDS = ("containers", "initContainers")


class ArgoSetImageArguments(ArgoArguments):
    container: Annotated[str, Field(min_length=1, max_length=63, description="Container or init container.")]
    image: Annotated[str, Field(min_length=1, max_length=1000, description="Image, with its tag or digest.")]


class ArgoUndoArguments(ArgoArguments):
    to_revision: Annotated[
        int | None,
        Field(default=None, ge=1, le=1_000_000_000, description="As in argo_history. Default: the one before."),
    ]


async def set_image(arguments: ArgoSetImageArguments, call: CallContext) -> Plan:
    scope, rollout = await read_rollout_to_change(arguments, call)
    require_own_template(rollout)
    pointer, before = _find_image(rollout, arguments.container)
    steps: list[JsonObject] = [
        {"op": "test", "path": f"{pointer}/name", "value": arguments.container},
        {"op": "add", "path": f"{pointer}/image", "value": arguments.image},
    ]
    change = f"the image of container {arguments.container} of {rollout} from {before or 'none'} to {arguments.image}"
    return Plan(
        writes=(Write(Target(scope.cluster, scope.resource, scope.namespace, arguments.name), JsonPatch(steps)),),
        summary=f"Set {change}",
        done_summary=f"Set {change}; {PROGRESS}",
        risk=_risk(rollout),
        warnings=_warnings(rollout),
    )


def _find_image(rollout: ArgoRollout, container: str) -> tuple[str, str]:
    """Return the JSON pointer of a container and its image. Raises InvalidArguments that lists the containers."""
    names = []
    for field in _FIELDS:
        for index, each in enumerate(objects_at(rollout.found.body, "spec", "template", "spec", field)):
            if text_at(each, "name") == container:
                return f"/spec/template/spec/{field}/{index}", text_at(each, "image")
            names.append(text_at(each, "name"))
    raise InvalidArguments(f"{rollout} has no container {container}", hint=f"its containers: {', '.join(names)}")


async def undo(arguments: ArgoUndoArguments, call: CallContext) -> Plan:
    scope, rollout = await read_rollout_to_change(arguments, call)
    require_own_template(rollout)
    revisions = await read_revisions(rollout.found, scope, call.identity, call.services.clock)
    pinned = call.pinned_values.get("revision")
    chosen = choose_revision(rollout.found, revisions, int(pinned) if pinned else arguments.to_revision)
    steps: list[JsonObject] = [{"op": "replace", "path": "/spec/template", "value": chosen.template}]
    change = f"{rollout} from revision {revisions[-1].number} to {chosen.number}"
    return Plan(
        writes=(Write(Target(scope.cluster, scope.resource, scope.namespace, arguments.name), JsonPatch(steps)),),
        summary=f"Roll back {change}",
        done_summary=f"Rolled back {change}; {PROGRESS}",
        risk=_risk(rollout),
        warnings=_warnings(rollout),
        pinned_values={"revision": str(chosen.number)},
    )


def _risk(rollout: ArgoRollout) -> Risk:
    steps = f", in {len(rollout.steps)} steps" if rollout.steps else ""
    return Risk(level="medium", reason=f"a new version is rolled out by the strategy {rollout.strategy}{steps}")


def _warnings(rollout: ArgoRollout) -> tuple[str, ...]:
    found = []
    if rollout.is_paused_by_spec:
        found.append("it is paused by spec.paused: the change rolls out when it is resumed")
    if rollout.is_rolling_out and rollout.stable_hash:
        found.append(f"version {rollout.new_hash}, which is on its way, is given up for this one")
    return tuple(found)


SET_IMAGE = ChangeTool(
    ToolInfo("argo_set_image", "Set an image", "Sets the image of one container of a Rollout.", tags=ARGO_TAGS),
    ArgoSetImageArguments,
    set_image,
)
UNDO = ChangeTool(
    ToolInfo(
        "argo_undo",
        "Roll back a Rollout",
        "Sets a Rollout's pod template back to an earlier revision, which rolls out by its steps.",
        tags=ARGO_TAGS,
    ),
    ArgoUndoArguments,
    undo,
    idempotent=False,
)
