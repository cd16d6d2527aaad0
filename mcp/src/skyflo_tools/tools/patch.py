"""The tool k8s_patch: change fields of one object."""

from typing import Annotated, Literal, cast

from pydantic import Field, JsonValue

from skyflo_common.jsontypes import JsonObject, text_at
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.json_patch import reject_revealing_steps
from skyflo_tools.kubernetes.lookup import fetch, resolve_scope
from skyflo_tools.kubernetes.paths import Resource, is_built_in
from skyflo_tools.operations import JsonPatch, MergePatch, Operation, Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.risk import Risk
from skyflo_tools.tool import CallContext, ChangeTool, ObjectArguments, ToolInfo

MAX_STEPS = 100
_READ_ONLY_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "managedFields",
    "generation",
    "creationTimestamp",
)


class PatchArguments(ObjectArguments):
    type: Annotated[
        Literal["merge", "strategic", "json"] | None,
        Field(
            default=None,
            description="`strategic` (merges lists by name; default for built-in kinds), `merge` (RFC 7386, replaces "
            "lists; default for custom kinds), `json` (RFC 6902, a list of steps; default for a list).",
        ),
    ]
    patch: Annotated[
        dict[str, JsonValue] | list[dict[str, JsonValue]],
        Field(description="The patch: an object for merge and strategic, a list of steps for json."),
    ]


async def patch(arguments: PatchArguments, call: CallContext) -> Plan:
    cluster = call.services.clusters.choose_writable(arguments.cluster)
    scope = await resolve_scope(cluster, arguments.kind, arguments.namespace)
    operation = _parse_operation(arguments, scope.resource)
    if scope.resource.kind == "Secret":
        await call.hide_values_of({"kind": "Secret", "patch": cast("JsonValue", arguments.patch)})
    live = await fetch(scope, arguments.name, call.identity)
    await call.hide_values_of(live.body)
    if isinstance(operation, JsonPatch):
        reject_revealing_steps(live.body, operation.steps, call.redactor())
    target = Target(cluster, scope.resource, scope.namespace, arguments.name)
    return Plan(
        writes=(Write(target, operation),),
        summary=f"Patch {target}",
        done_summary=f"Patched {target}",
        risk=Risk(level="medium", reason="changes an existing object"),
    )


def _parse_operation(arguments: PatchArguments, resource: Resource) -> Operation:
    kind = arguments.type
    if kind == "json" or (kind is None and isinstance(arguments.patch, list)):
        return JsonPatch(_validate_steps(arguments.patch))
    if not isinstance(arguments.patch, dict):
        raise InvalidArguments(f"a {kind} patch is an object, not a list", hint="pass type=json for a list of steps")
    metadata = arguments.patch.get("metadata", {})
    if not isinstance(metadata, dict):
        raise InvalidArguments("metadata can't be removed: patch its members")
    if read_only := next((key for key in _READ_ONLY_METADATA if key in metadata), ""):
        raise InvalidArguments(f"metadata.{read_only} can't be patched")
    return MergePatch(arguments.patch, strategic=kind == "strategic" or (kind is None and is_built_in(resource)))


def _validate_steps(value: JsonObject | list[JsonObject]) -> list[JsonObject]:
    if not isinstance(value, list):
        raise InvalidArguments("a json patch is a list of steps", hint="pass type=merge for an object")
    if not 1 <= len(value) <= MAX_STEPS:
        raise InvalidArguments(f"a json patch has between 1 and {MAX_STEPS} steps")
    for step in value:
        path = text_at(step, "path")
        if text_at(step, "op") not in ("add", "remove", "replace", "move", "copy", "test") or not path.startswith("/"):
            raise InvalidArguments(f"{step!r:.100} is not a step of RFC 6902")
        written = [path] + ([text_at(step, "from")] if text_at(step, "op") == "move" else [])
        if text_at(step, "op") != "test" and (fixed := next((each for each in written if _is_read_only(each)), "")):
            raise InvalidArguments(f"{fixed} can't be patched")
    return value


def _is_read_only(pointer: str) -> bool:
    parts = pointer.split("/")[1:3]
    return parts == ["metadata"] or (parts[:1] == ["metadata"] and parts[1] in _READ_ONLY_METADATA)


PATCH = ChangeTool(
    ToolInfo("k8s_patch", "Patch an object", "Changes some fields of one object by a merge, strategic or JSON patch."),
    PatchArguments,
    patch,
    idempotent=False,
    bodies=("patch",),
)
