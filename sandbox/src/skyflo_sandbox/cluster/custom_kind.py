"""The CustomResourceDefinition of the sandbox's custom kind."""

from skyflo_common.jsontypes import JsonObject, text_at
from skyflo_sandbox.cluster.kinds import CUSTOM_RESOURCE_DEFINITION, FEATURE_FLAG, NAMESPACE
from skyflo_sandbox.cluster.state import State

__all__ = ["define_custom_kind"]


def define_custom_kind(state: State) -> None:
    """Store the definition if it is missing; its creation time is that of the oldest namespace."""
    name = FEATURE_FLAG.resource
    if state.get(CUSTOM_RESOURCE_DEFINITION, "", name) is None:
        times = (text_at(each, "metadata", "creationTimestamp") for each in state.objects(NAMESPACE))
        state.create(CUSTOM_RESOURCE_DEFINITION, _build_definition(name, min(times, default="")))


def _build_definition(name: str, since: str) -> JsonObject:
    names: JsonObject = {
        "plural": FEATURE_FLAG.plural,
        "singular": FEATURE_FLAG.singular,
        "kind": FEATURE_FLAG.kind,
        "listKind": f"{FEATURE_FLAG.kind}List",
        "shortNames": [*FEATURE_FLAG.short_names],
    }
    schema: JsonObject = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version: JsonObject = {"name": FEATURE_FLAG.version, "served": True, "storage": True, "schema": schema}
    established: JsonObject = {"type": "Established", "status": "True", "reason": "InitialNamesAccepted"}
    return {
        "apiVersion": CUSTOM_RESOURCE_DEFINITION.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITION.kind,
        "metadata": {"name": name, "creationTimestamp": since},
        "spec": {"group": FEATURE_FLAG.group, "scope": "Namespaced", "names": names, "versions": [version]},
        "status": {"acceptedNames": names, "conditions": [established], "storedVersions": [FEATURE_FLAG.version]},
    }
