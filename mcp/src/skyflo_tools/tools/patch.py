"""k8s_patch: a change of some fields of one object."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from skyflo_tools.errors import BadArguments
from skyflo_tools.jsontypes import JsonObject, dig, text_at
from skyflo_tools.kubernetes.locate import fetch, place
from skyflo_tools.plan import JsonPatch, MergePatch, Operation, Plan, Risk, Target, Write
from skyflo_tools.redaction import secret_values
from skyflo_tools.tool import Call, Change, Description, ObjectArguments
from skyflo_tools.tools.cautions import cautions, raised

STEPS_AT_MOST = 100
_KEPT = ("name", "namespace", "uid", "resourceVersion", "managedFields", "generation", "creationTimestamp")


class PatchArguments(ObjectArguments):
    type: Annotated[
        Literal["merge", "strategic", "json"],
        Field(
            default="merge",
            description="`merge` (RFC 7386, replaces lists), `strategic` (built-in kinds, merges lists by name), "
            "`json` (RFC 6902, a list of steps).",
        ),
    ]
    patch: Annotated[
        dict[str, JsonValue] | list[dict[str, JsonValue]],
        Field(description="The patch: an object for merge and strategic, a list of steps for json."),
    ]


async def patch(arguments: PatchArguments, call: Call) -> Plan:
    cluster = call.services.clusters.writable(arguments.cluster)
    operation = _operation(arguments)
    where = await place(cluster, arguments.kind, arguments.namespace)
    if where.resource.kind == "Secret":
        call.secrets.extend(_secrets(arguments.patch))
    live = await fetch(where, arguments.name, call.identity)
    target = Target(cluster, where.resource, where.namespace, arguments.name)
    return Plan(
        writes=(Write(target, operation),),
        summary=f"Patch {target}",
        done=f"Patched {target}",
        risk=raised(Risk(level="medium", reason="changes an existing object"), target),
        warnings=tuple(cautions(live)),
    )


def _operation(arguments: PatchArguments) -> Operation:
    if arguments.type == "json":
        return JsonPatch(_steps(arguments.patch))
    if not isinstance(arguments.patch, dict):
        raise BadArguments(
            f"a {arguments.type} patch is an object, not a list", hint="pass type=json for a list of steps"
        )
    metadata = dig(arguments.patch, "metadata")
    touched = [key for key in _KEPT if isinstance(metadata, dict) and key in metadata]
    if touched:
        raise BadArguments(f"metadata.{touched[0]} can't be patched")
    return MergePatch(arguments.patch, strategic=arguments.type == "strategic")


def _steps(value: JsonObject | list[JsonObject]) -> list[JsonObject]:
    if not isinstance(value, list):
        raise BadArguments("a json patch is a list of steps", hint="pass type=merge for an object")
    if not 1 <= len(value) <= STEPS_AT_MOST:
        raise BadArguments(f"a json patch has between 1 and {STEPS_AT_MOST} steps")
    for step in value:
        path = text_at(step, "path")
        if text_at(step, "op") not in ("add", "remove", "replace", "move", "copy", "test") or not path.startswith("/"):
            raise BadArguments(f"{step!r:.100} is no step of RFC 6902")
        if path in ("/metadata", *(f"/metadata/{key}" for key in _KEPT)):
            raise BadArguments(f"{path} can't be patched")
    return value


def _secrets(value: JsonObject | list[JsonObject]) -> list[str]:
    """Whatever a patch would put into a Secret."""
    if isinstance(value, dict):
        return secret_values(value)
    found = [dig(step, "value") for step in value]
    bodies: list[JsonObject] = [each if isinstance(each, dict) else {"v": each} for each in found]
    return [text for body in bodies for field in ("data", "stringData") for text in secret_values({field: body})]


PATCH = Change(
    Description(
        "k8s_patch", "Patch an object", "Changes some fields of one object by a merge, strategic or JSON patch."
    ),
    PatchArguments,
    patch,
    idempotent=False,
)
