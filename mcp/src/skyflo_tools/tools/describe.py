"""k8s_describe: one object with what is around it: conditions first, events, owners up, children down."""

from collections.abc import Coroutine
from typing import Any

from pydantic import BaseModel, JsonValue

from skyflo_tools.concurrency import together
from skyflo_tools.errors import ApiRefused
from skyflo_tools.jsontypes import JsonObject, dig, objects_at, text_at
from skyflo_tools.kubernetes.locate import Place, fetch, fetch_or_none, place
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pods import pod_line, selector_of
from skyflo_tools.kubernetes.pruning import pruned
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, bounded_lines, cut, to_yaml
from skyflo_tools.redaction import mask_object
from skyflo_tools.tool import Call, Description, ObjectArguments, Output, Read
from skyflo_tools.tools.events import Event, line, read_events

OWNERS_AT_MOST = 4
CHILDREN_AT_MOST = 20
EVENTS_AT_MOST = 15
OBJECT_BYTES = 8 * 1024
CONDITION_CHARACTERS = 1000
_CHILDREN = {
    "Deployment": ("apps/v1/ReplicaSet", "v1/Pod"),
    "ReplicaSet": ("v1/Pod",),
    "StatefulSet": ("v1/Pod",),
    "DaemonSet": ("v1/Pod",),
    "Job": ("v1/Pod",),
    "CronJob": ("batch/v1/Job",),
    "Service": ("v1/Pod",),
}


class DescribeResult(BaseModel):
    kind: str
    name: str
    namespace: str
    conditions: list[dict[str, JsonValue]]
    owners: list[str]
    children: list[str]
    events: list[Event]
    object: dict[str, JsonValue] | None


async def describe(arguments: ObjectArguments, call: Call) -> Output:
    cluster = call.services.clusters.choose(arguments.cluster)
    where = await place(cluster, arguments.kind, arguments.namespace)
    found = await fetch(where, arguments.name, call.identity)
    around: list[Coroutine[Any, Any, list[str]]] = [_owners(found, where, call), _children(found, where, call)]
    owners, children = await together(around)
    events = (await _events(found, where, call))[-EVENTS_AT_MOST:]
    body = pruned(mask_object(found.body, call.services.fingerprints))
    text = to_yaml(body)
    result = DescribeResult(
        kind=found.kind,
        name=found.name,
        namespace=found.namespace,
        conditions=[_condition(condition) for condition in found.conditions],
        owners=owners,
        children=children,
        events=events,
        object=body if len(text.encode()) <= OBJECT_BYTES else None,
    )
    return Output(_text(found, result, text), result)


def _text(found: KubeObject, result: DescribeResult, yaml_text: str) -> str:
    parts = [f"{found.kind} {found.name}" + (f" in namespace {found.namespace}" if found.namespace else "")]
    if found.deleting:
        parts.append(f"BEING DELETED since {text_at(found.body, 'metadata', 'deletionTimestamp')}")
    conditions = [_condition_line(condition) for condition in result.conditions]
    sections = {
        "Conditions": conditions,
        "Owners": result.owners,
        "Children": result.children,
        "Events (newest first)": [line(event) for event in reversed(result.events)],
    }
    for title, lines in sections.items():
        if lines:
            parts += [f"{title}:", *(f"  {each}" for each in lines)]
    return bounded_lines(
        [*parts, "Object:", *cut(yaml_text, OBJECT_BYTES).splitlines()], TEXT_BYTES, "lines", "k8s_get has the object"
    )


def _condition(condition: JsonObject) -> JsonObject:
    keys = ("type", "status", "reason", "message", "lastTransitionTime")
    return {key: text_at(condition, key)[:CONDITION_CHARACTERS] for key in keys if key in condition}


def _condition_line(condition: JsonObject) -> str:
    kind, status = text_at(condition, "type"), text_at(condition, "status")
    why = " ".join(part for part in (text_at(condition, "reason"), text_at(condition, "message")) if part)
    return (
        f"{kind}={status}" + (f" {why[:300]}" if why else "") + f" (since {text_at(condition, 'lastTransitionTime')})"
    )


async def _owners(found: KubeObject, where: Place, call: Call) -> list[str]:
    """The chain of owners upwards, the nearest first."""
    chain: list[str] = []
    current = found
    while current.owners and len(chain) < OWNERS_AT_MOST:
        owner = next((each for each in current.owners if each.get("controller") is True), current.owners[0])
        kind, name = text_at(owner, "kind"), text_at(owner, "name")
        chain.append(f"{kind.lower()}/{name}")
        above = await place(where.cluster, f"{text_at(owner, 'apiVersion')}/{kind}", where.namespace or None)
        try:
            following = await fetch_or_none(above, name, call.identity)
        except ApiRefused as error:
            chain[-1] += f" ({error.code})"
            return chain
        if following is None or following.uid != text_at(owner, "uid"):
            chain[-1] += " (no longer there)"
            return chain
        current = following
    return chain


async def _children(found: KubeObject, where: Place, call: Call) -> list[str]:
    selector = selector_of(found)
    found_lines: list[str] = []
    for kind in _CHILDREN.get(found.kind, ()) if selector or found.kind == "CronJob" else ():
        child = await place(where.cluster, kind, where.namespace)
        params = {"limit": "100"} | ({"labelSelector": selector} if selector else {})
        path = child.resource.collection(child.namespace)
        answer = await child.cluster.client.get(path, call.identity, **params)
        items = [KubeObject({"kind": child.resource.kind, **item}) for item in objects_at(answer, "items")]
        found_lines += [_child_line(item) for item in items if _belongs(item, found)]
    if len(found_lines) > CHILDREN_AT_MOST:
        return [*found_lines[:CHILDREN_AT_MOST], f"… {len(found_lines) - CHILDREN_AT_MOST} more"]
    return found_lines


def _belongs(item: KubeObject, parent: KubeObject) -> bool:
    """Owned by the parent; pods of a Deployment are its ReplicaSets', those of a Service nobody's."""
    if parent.kind == "Service" or (parent.kind == "Deployment" and item.kind == "Pod"):
        return True
    return any(text_at(owner, "uid") == parent.uid for owner in item.owners)


def _child_line(item: KubeObject) -> str:
    if item.kind == "Pod":
        return pod_line(item)
    ready, wanted = dig(item.body, "status", "readyReplicas"), dig(item.body, "spec", "replicas")
    replicas = f" {ready or 0}/{wanted} ready" if wanted is not None else ""
    return f"{item.kind.lower()}/{item.name}{replicas}"


async def _events(found: KubeObject, where: Place, call: Call) -> list[Event]:
    events = await place(where.cluster, "v1/Event", where.namespace or None, everywhere=not where.namespace)
    return await read_events(events, {"involvedObject.uid": found.uid}, call.identity)


DESCRIBE = Read(
    Description(
        "k8s_describe",
        "Describe an object",
        "One object without noise, and what is around it: conditions first, owners, children, its latest events.",
    ),
    ObjectArguments,
    describe,
)
