"""Explain by its APIService why the kinds of a group version are not served."""

from dataclasses import dataclass

from skyflo_common.jsontypes import objects_at, text_at
from skyflo_tools.errors import ToolFailure
from skyflo_tools.kubernetes.client import KubeClient
from skyflo_tools.kubernetes.paths import name_segment

_API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
_REASON_CHARACTERS = 500


@dataclass(frozen=True)
class GroupState:
    """Whether the server of a group version is available (None: not known), and a sentence that says so."""

    is_available: bool | None
    text: str


async def read_group_state(client: KubeClient, group_version: str, problem: str) -> GroupState:
    """Return the state of a group version whose discovery failed with `problem`. Never raises for a failed read."""
    group, _, version = group_version.rpartition("/")
    if not group:  # the core group and the roots /api and /apis have no server of their own
        return GroupState(None, f"{group_version} could not be read: {problem}")
    name = f"{version}.{group}"
    try:
        service = await client.get(f"{_API_SERVICES}/{name_segment(name)}")
    except ToolFailure as error:
        why = f"{problem}; APIService {name}: {error.code}"
        return GroupState(None, f"{group_version} is registered, but could not be read ({why})")
    condition = next(
        (each for each in objects_at(service, "status", "conditions") if text_at(each, "type") == "Available"), {}
    )
    if text_at(condition, "status") == "True":
        return GroupState(True, f"{group_version} was not served a moment ago ({problem}); try again")
    parts = (text_at(condition, "reason"), text_at(condition, "message")[:_REASON_CHARACTERS])
    why = ": ".join(part for part in parts if part) or problem
    return GroupState(
        False, f"{group_version} is registered, but its server does not answer (APIService {name}: {why})"
    )
