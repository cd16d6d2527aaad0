"""The EndpointSlice controller: list the pods behind each Service."""

from collections.abc import Iterable

from skyflo_common.jsontypes import JsonObject, JsonValue, dig, object_at, objects_at, strings_at, text_at
from skyflo_sandbox.cluster.controllers.context import Context, Key
from skyflo_sandbox.cluster.controllers.objects import (
    controller_of,
    is_deleting,
    is_ready,
    name_of,
    namespace_of,
    owned_by,
    owner_reference,
    random_suffix,
    uid_of,
)
from skyflo_sandbox.cluster.kinds import ENDPOINT_SLICE, POD, SERVICE
from skyflo_sandbox.cluster.state import Change

__all__ = ["EndpointSliceController"]

_MANAGED_BY = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
_HEADLESS_LABEL = "service.kubernetes.io/headless"


class EndpointSliceController:
    """Keep one slice for each Service that has a selector."""

    name = "slices"

    def __init__(self, context: Context) -> None:
        self._context = context

    def affected_keys(self, change: Change) -> Iterable[Key]:
        namespace = namespace_of(change.object)
        if change.kind is SERVICE and change.type != "DELETED":
            return [(namespace, name_of(change.object))]
        if change.kind is ENDPOINT_SLICE and change.type != "ADDED":
            owner = controller_of(change.object)
            return [(namespace, text_at(owner, "name"))] if owner else []
        if change.kind is POD:
            labels = strings_at(change.object, "metadata", "labels"), strings_at(change.before, "metadata", "labels")
            services = self._context.state.objects(SERVICE, namespace)
            return [(namespace, name_of(each)) for each in services if any(_selects(each, found) for found in labels)]
        return []

    def sync(self, namespace: str, name: str) -> None:
        service = self._context.state.get(SERVICE, namespace, name)
        if service is None or is_deleting(service) or not strings_at(service, "spec", "selector"):
            return
        slices = owned_by(service, self._context.state.objects(ENDPOINT_SLICE, namespace))
        desired = self._build_slice(service)
        if slices:
            metadata = {**object_at(slices[0], "metadata"), "labels": object_at(desired, "metadata", "labels")}
            self._context.state.replace(ENDPOINT_SLICE, {**slices[0], **desired, "metadata": metadata})
        else:
            self._context.state.create(ENDPOINT_SLICE, desired)

    def _build_slice(self, service: JsonObject) -> JsonObject:
        found = [
            each for each in self._context.state.objects(POD, namespace_of(service)) if self._is_endpoint(service, each)
        ]
        endpoints: list[JsonValue] = [_build_endpoint(pod) for pod in found]
        ports: list[JsonValue] = [_build_port(each, found) for each in objects_at(service, "spec", "ports")]
        labels: JsonObject = {
            **strings_at(service, "metadata", "labels"),
            **_MANAGED_BY,
            "kubernetes.io/service-name": name_of(service),
        }
        if text_at(service, "spec", "clusterIP") == "None":
            labels[_HEADLESS_LABEL] = ""
        references: list[JsonValue] = [owner_reference(SERVICE, service)]
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name_of(service)}-{random_suffix(self._context.names)}",
                "generateName": f"{name_of(service)}-",
                "namespace": namespace_of(service),
                "labels": labels,
                "ownerReferences": references,
            },
            "addressType": "IPv4",
            "endpoints": endpoints or None,
            "ports": ports if found else None,
        }

    def _is_endpoint(self, service: JsonObject, pod: JsonObject) -> bool:
        """Return whether the pod is selected, has an IP and has not finished. Unready pods are endpoints, too."""
        if not _selects(service, strings_at(pod, "metadata", "labels")) or not text_at(pod, "status", "podIP"):
            return False
        return text_at(pod, "status", "phase") not in ("Succeeded", "Failed")


def _selects(service: JsonObject, labels: dict[str, str]) -> bool:
    selector = strings_at(service, "spec", "selector")
    return bool(selector) and selector.items() <= labels.items()


def _build_endpoint(pod: JsonObject) -> JsonObject:
    serving, terminating = is_ready(pod), is_deleting(pod)
    return {
        "addresses": [text_at(pod, "status", "podIP")],
        "conditions": {"ready": serving and not terminating, "serving": serving, "terminating": terminating},
        "nodeName": text_at(pod, "spec", "nodeName"),
        "targetRef": {
            "kind": "Pod",
            "namespace": namespace_of(pod),
            "name": name_of(pod),
            "uid": uid_of(pod),
        },
    }


def _build_port(port: JsonObject, pods: list[JsonObject]) -> JsonObject:
    """Resolve the target port; a port name is looked up in the pods' containers."""
    target = dig(port, "targetPort")
    number: JsonValue = target if isinstance(target, int) and target else port.get("port")
    if isinstance(target, str):
        containers = [each for pod in pods for each in objects_at(pod, "spec", "containers")]
        named = [each for container in containers for each in objects_at(container, "ports")]
        number = next((each.get("containerPort") for each in named if each.get("name") == target), None)
    return {"name": text_at(port, "name"), "port": number, "protocol": text_at(port, "protocol") or "TCP"}
