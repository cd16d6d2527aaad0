"""Find the containers in the pod template of an object, and build patches for one of them."""

from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject, objects_at, text_at
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.paths import Resource

_PLACES = {
    ("apps", "Deployment"): ("spec", "template", "spec"),
    ("apps", "StatefulSet"): ("spec", "template", "spec"),
    ("apps", "DaemonSet"): ("spec", "template", "spec"),
    ("apps", "ReplicaSet"): ("spec", "template", "spec"),
    ("", "ReplicationController"): ("spec", "template", "spec"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template", "spec"),
    ("", "Pod"): ("spec",),
}
_FIELDS = ("containers", "initContainers")


@dataclass(frozen=True)
class TemplateContainer:
    """One container of a pod template, or of a pod."""

    body: JsonObject
    place: tuple[str, ...]
    """The keys that lead to the list in which the container stands."""

    @property
    def name(self) -> str:
        return text_at(self.body, "name")

    def patch(self, change: JsonObject) -> JsonObject:
        """Return the strategic merge patch of the whole object that changes only this container."""
        patch: JsonObject = {self.place[-1]: [{"name": self.name, **change}]}
        for key in reversed(self.place[:-1]):
            patch = {key: patch}
        return patch


def find_container(found: KubeObject, resource: Resource, name: str) -> TemplateContainer:
    """Return a container, or init container, by its name. Raises InvalidArguments that lists those that are there."""
    place = pod_spec_place(resource)
    names = []
    for field in _FIELDS:
        for body in objects_at(found.body, *place, field):
            if text_at(body, "name") == name:
                return TemplateContainer(body, (*place, field))
            names.append(text_at(body, "name"))
    raise InvalidArguments(f"{found} has no container {name}", hint=f"its containers: {', '.join(names)}")


def pod_spec_place(resource: Resource) -> tuple[str, ...]:
    """Return the keys that lead to an object's pod spec. Raises InvalidArguments for kinds without a changeable one."""
    place = _PLACES.get((resource.group, resource.kind))
    if place is not None:
        return place
    kinds = ", ".join(kind for _, kind in _PLACES)
    raise InvalidArguments(
        f"the containers of a {resource.kind} can't be changed by this tool",
        hint=f"it changes {kinds}; k8s_patch changes fields of other kinds",
    )
