"""The tools k8s_set_image, k8s_set_env and k8s_set_resources: change one container of a workload."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from skyflo_common.jsontypes import JsonObject, objects_at, text_at
from skyflo_common.redaction import is_secret_name
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pod_templates import TemplateContainer, find_container
from skyflo_tools.operations import MergePatch, Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.risk import Risk
from skyflo_tools.tool import CallContext, ChangeTool, ObjectArguments, ToolInfo

Quantity = Annotated[str, Field(min_length=1, max_length=40)]
ResourceName = Annotated[str, Field(min_length=1, max_length=253)]
VariableName = Annotated[str, Field(min_length=1, max_length=253)]
VariableValue = Annotated[str, Field(max_length=32 * 1024)]


class ContainerArguments(ObjectArguments):
    container: Annotated[str, Field(min_length=1, max_length=63, description="Container or init container.")]


class SetImageArguments(ContainerArguments):
    image: Annotated[str, Field(min_length=1, max_length=1000, description="Image, with its tag or digest.")]


class SetEnvArguments(ContainerArguments):
    variables: Annotated[
        dict[VariableName, VariableValue | None],
        Field(min_length=1, max_length=50, description="Values by name; null removes a variable."),
    ]


class SetResourcesArguments(ContainerArguments):
    requests: Annotated[
        dict[ResourceName, Quantity | None],
        Field(default={}, max_length=20, description="Such as {cpu: 100m, memory: 256Mi}; null removes one."),
    ]
    limits: Annotated[
        dict[ResourceName, Quantity | None],
        Field(default={}, max_length=20, description="As for requests."),
    ]


@dataclass(frozen=True)
class _Found:
    """A container with the object that it belongs to."""

    scope: ResourceScope
    owner: KubeObject
    container: TemplateContainer

    def __str__(self) -> str:
        return f"container {self.container.name} of {self.owner}"


async def set_image(arguments: SetImageArguments, call: CallContext) -> Plan:
    found = await _find(arguments, call)
    change = f"{found} from {text_at(found.container.body, 'image') or 'none'} to {arguments.image}"
    return _plan(found, {"image": arguments.image}, f"the image of {change}")


async def set_env(arguments: SetEnvArguments, call: CallContext) -> Plan:
    found = await _find(arguments, call)
    await call.hide_values_of({"env": [{"name": key, "value": value} for key, value in arguments.variables.items()]})
    present = {text_at(each, "name"): each for each in objects_at(found.container.body, "env")}
    changed = {name: value for name, value in arguments.variables.items() if value is not None}
    removed = [name for name in arguments.variables if name not in changed]
    if missing := [name for name in removed if name not in present]:
        raise InvalidArguments(
            f"{found} has no variable {', '.join(missing)}",
            hint="variables that come from envFrom are removed in their ConfigMap or Secret",
        )
    items = [_set_variable(name, value, present.get(name, {})) for name, value in changed.items()]
    items += [{"name": name, "$patch": "delete"} for name in removed]
    # Variables may refer to earlier ones, so those that are there keep their places and new ones go to the end.
    order: JsonObject = {
        "$setElementOrder/env": [{"name": name} for name in {**present, **changed} if name not in removed]
    }
    texts = [f"set {', '.join(changed)}"] if changed else []
    texts += [f"remove {', '.join(removed)}"] if removed else []
    return _plan(
        found,
        {"env": [*items], **order},
        f"variables of {found}: {'; '.join(texts)}",
        _secret_warnings(changed, present),
    )


def _set_variable(name: str, value: str, present: JsonObject) -> JsonObject:
    """Return the patch of one variable. A value takes the place of a reference to a Secret or a field."""
    reference: JsonObject = {"valueFrom": None} if "valueFrom" in present else {}
    return {"name": name, "value": value, **reference}


def _secret_warnings(changed: dict[str, str], present: dict[str, JsonObject]) -> list[str]:
    found = [
        f"{name} looks like a secret and is stored as plain text, which all can read who may read the object: "
        "refer to a Secret instead (valueFrom.secretKeyRef, k8s_patch)"
        for name, value in changed.items()
        if value and is_secret_name(name)
    ]
    replaced = [name for name in changed if "valueFrom" in present.get(name, {})]
    return found + [f"{name} no longer comes from its reference (valueFrom)" for name in replaced]


async def set_resources(arguments: SetResourcesArguments, call: CallContext) -> Plan:
    wanted = {"requests": arguments.requests, "limits": arguments.limits}
    named = {field: values for field, values in wanted.items() if values}
    if not named:
        raise InvalidArguments("neither requests nor limits are given")
    found = await _find(arguments, call)
    texts = [f"{name} {field[:-1]} {value or 'removed'}" for field, values in named.items() for name, value in
             values.items()]  # fmt: skip
    resources: JsonObject = {field: {**values} for field, values in named.items()}
    return _plan(found, {"resources": resources}, f"resources of {found}: {', '.join(texts)}")


async def _find(arguments: ContainerArguments, call: CallContext) -> _Found:
    cluster = call.services.clusters.choose_writable(arguments.cluster)
    scope = await resolve_scope(cluster, arguments.kind, arguments.namespace)
    owner = await fetch(scope, arguments.name, call.identity)
    return _Found(scope, owner, find_container(owner, scope.resource, arguments.container))


def _plan(found: _Found, change: JsonObject, what: str, warnings: Sequence[str] = ()) -> Plan:
    target = Target(found.scope.cluster, found.scope.resource, found.scope.namespace, found.owner.name)
    reasons = {
        "CronJob": "its next jobs run with this change",
        "Pod": "the container is restarted with this change",
    }
    reason = reasons.get(found.scope.resource.kind, "every pod is replaced, step by step")
    return Plan(
        writes=(Write(target, MergePatch(found.container.patch(change), strategic=True)),),
        summary=f"Set {what}",
        done_summary=f"Set {what}",
        risk=Risk(level="medium", reason=reason),
        warnings=tuple(warnings),
    )


SET_IMAGE = ChangeTool(
    ToolInfo("k8s_set_image", "Set an image", "Sets the image of one container of a workload, CronJob or pod."),
    SetImageArguments,
    set_image,
)
SET_ENV = ChangeTool(
    ToolInfo(
        "k8s_set_env",
        "Set environment variables",
        "Sets or removes environment variables of one container of a workload or CronJob.",
    ),
    SetEnvArguments,
    set_env,
)
SET_RESOURCES = ChangeTool(
    ToolInfo(
        "k8s_set_resources",
        "Set requests and limits",
        "Sets or removes resource requests and limits of one container of a workload or CronJob.",
    ),
    SetResourcesArguments,
    set_resources,
)
