"""The tools k8s_label and k8s_annotate: set and remove labels and annotations of one object."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from skyflo_common.jsontypes import JsonObject, strings_at
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.lookup import fetch, resolve_scope
from skyflo_tools.operations import MergePatch, Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.risk import Risk
from skyflo_tools.shortening import name_some
from skyflo_tools.tool import CallContext, ChangeTool, ObjectArguments, ToolInfo

MAX_NAMED = 10
MetadataKey = Annotated[str, Field(min_length=1, max_length=317)]


class MetadataArguments(ObjectArguments):
    overwrite: Annotated[bool, Field(default=False, description="Replace values that are there already.")]


class LabelArguments(MetadataArguments):
    labels: Annotated[
        dict[MetadataKey, Annotated[str, Field(max_length=63)] | None],
        Field(min_length=1, max_length=50, description="Values by key; null removes a label."),
    ]


class AnnotateArguments(MetadataArguments):
    annotations: Annotated[
        dict[MetadataKey, Annotated[str, Field(max_length=64 * 1024)] | None],
        Field(min_length=1, max_length=50, description="Values by key; null removes an annotation."),
    ]


async def label(arguments: LabelArguments, call: CallContext) -> Plan:
    return await _plan(arguments, "labels", arguments.labels, call)


async def annotate(arguments: AnnotateArguments, call: CallContext) -> Plan:
    return await _plan(arguments, "annotations", arguments.annotations, call)


async def _plan(
    arguments: MetadataArguments,
    field: Literal["labels", "annotations"],
    wanted: Mapping[str, str | None],
    call: CallContext,
) -> Plan:
    cluster = call.services.clusters.choose_writable(arguments.cluster)
    scope = await resolve_scope(cluster, arguments.kind, arguments.namespace)
    live = await fetch(scope, arguments.name, call.identity)
    present = strings_at(live.body, "metadata", field)
    replaced = [key for key, value in wanted.items() if value is not None and present.get(key, value) != value]
    if replaced and not arguments.overwrite:
        raise InvalidArguments(
            f"{live} already has other values of the {field} {_listed(replaced)}",
            hint="pass overwrite=true to replace them",
        )
    removed = [key for key, value in wanted.items() if value is None]
    if missing := [key for key in removed if key not in present]:
        raise InvalidArguments(f"{live} does not have the {field} {_listed(missing)}, so they can't be removed")
    target = Target(cluster, scope.resource, scope.namespace, arguments.name)
    kept = [key for key in wanted if key not in removed]
    parts = [f"set {_listed(kept)}"] if kept else []
    parts += [f"remove {_listed(removed)}"] if removed else []
    patch: JsonObject = {"metadata": {field: {**wanted}}}
    return Plan(
        writes=(Write(target, MergePatch(patch)),),
        summary=f"Change {field} of {target}: {'; '.join(parts)}",
        done_summary=f"Changed {field} of {target}: {'; '.join(parts)}",
        risk=_assess_risk(field, has_losses=bool(replaced or removed)),
    )


def _assess_risk(field: str, *, has_losses: bool) -> Risk:
    if field == "labels":
        return Risk(level="medium", reason="selectors of other objects may depend on labels")
    if has_losses:
        return Risk(level="medium", reason="controllers may depend on the annotations that it replaces or removes")
    return Risk(level="low", reason="only adds annotations")


def _listed(keys: list[str]) -> str:
    return name_some(keys, MAX_NAMED)


LABEL = ChangeTool(
    ToolInfo("k8s_label", "Label an object", "Sets or removes labels of one object."),
    LabelArguments,
    label,
)
ANNOTATE = ChangeTool(
    ToolInfo("k8s_annotate", "Annotate an object", "Sets or removes annotations of one object."),
    AnnotateArguments,
    annotate,
)
