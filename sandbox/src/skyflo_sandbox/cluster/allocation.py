"""Allocate cluster IPs and node ports for Services."""

from collections.abc import Iterable
from ipaddress import IPv4Network

from skyflo_common.jsontypes import JsonObject, JsonValue, number_at, object_at, objects_at, text_at
from skyflo_sandbox.cluster.errors import invalid, invalid_value
from skyflo_sandbox.cluster.kinds import SERVICE, Kind
from skyflo_sandbox.cluster.state import State

__all__ = ["allocate_service_fields"]

_CLUSTER_IPS = IPv4Network("10.96.0.0/20")
_ADDRESS_STEP = 131  # spreads consecutive allocations over the range, as real clusters do
_NODE_PORT_RANGE = range(30_000, 32_768)


def allocate_service_fields(state: State, kind: Kind, body: JsonObject, before: JsonObject | None) -> JsonObject:
    """Return the Service with a cluster IP and node ports; return any other kind unchanged.

    Values that the body omits are kept from the stored Service. Raises `ApiError` if the range is exhausted.
    """
    if kind != SERVICE or text_at(body, "spec", "type") == "ExternalName":
        return body
    others = [each for each in state.objects(SERVICE) if not _is_same_object(each, body)]
    spec = {**object_at(body, "spec")}
    spec["clusterIP"] = (
        text_at(spec, "clusterIP") or text_at(before, "spec", "clusterIP") or _next_cluster_ip(body, others)
    )
    spec["clusterIPs"] = [spec["clusterIP"]]
    if text_at(spec, "type") in ("NodePort", "LoadBalancer"):
        spec["ports"] = _assign_node_ports(objects_at(spec, "ports"), objects_at(before, "spec", "ports"), others)
    return {**body, "spec": spec}


def _is_same_object(one: JsonObject, other: JsonObject) -> bool:
    return all(text_at(one, "metadata", key) == text_at(other, "metadata", key) for key in ("name", "namespace"))


def _next_cluster_ip(body: JsonObject, others: list[JsonObject]) -> str:
    taken = {text_at(each, "spec", "clusterIP") for each in others}
    size = _CLUSTER_IPS.num_addresses
    for step in range(len(taken) + 1, size):
        address = str(_CLUSTER_IPS[(step * _ADDRESS_STEP) % size])
        if address not in taken and not address.endswith((".0", ".1")):
            return address
    raise _exhausted(body, "spec.clusterIPs", "no address is left")


def _assign_node_ports(ports: list[JsonObject], before: list[JsonObject], others: list[JsonObject]) -> list[JsonValue]:
    taken = set(_used_node_ports(port for each in others for port in objects_at(each, "spec", "ports")))
    taken |= set(_used_node_ports(ports))
    known = {number_at(port, "port"): number_at(port, "nodePort") for port in before}
    result: list[JsonValue] = []
    for port in ports:
        number = number_at(port, "nodePort") or known.get(number_at(port, "port"))
        number = number or next((each for each in _NODE_PORT_RANGE if each not in taken), 0)
        taken.add(number)
        result.append({**port, "nodePort": number})
    return result


def _used_node_ports(ports: Iterable[JsonObject]) -> Iterable[int]:
    return (number for port in ports if (number := number_at(port, "nodePort")))


def _exhausted(body: JsonObject, field: str, why: str) -> Exception:
    return invalid("Service", "", text_at(body, "metadata", "name"), [invalid_value(field, None, why)])
