"""The addresses and ports that a cluster hands out to Services."""

from collections.abc import Iterable
from ipaddress import IPv4Network

from skyflo_sandbox.cluster.kinds import SERVICE, Kind
from skyflo_sandbox.cluster.state import State
from skyflo_sandbox.cluster.statuses import invalid, wrong
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, number_at, object_at, objects_at, text_at

__all__ = ["allocated"]

_ADDRESSES = IPv4Network("10.96.0.0/20")
_SPREAD = 131  # neighbours in time are no neighbours in number, as on a real cluster
_NODE_PORTS = range(30_000, 32_768)


def allocated(state: State, kind: Kind, body: JsonObject, before: JsonObject | None) -> JsonObject:
    """The body of a Service with its cluster address and node ports; any other body unchanged.

    What the stored Service has is kept where the body says nothing. Raises `Refused` when nothing is left.
    """
    if kind != SERVICE or text_at(body, "spec", "type") == "ExternalName":
        return body
    others = [each for each in state.objects(SERVICE) if not _same(each, body)]
    spec = {**object_at(body, "spec")}
    spec["clusterIP"] = text_at(spec, "clusterIP") or text_at(before, "spec", "clusterIP") or _address(body, others)
    spec["clusterIPs"] = [spec["clusterIP"]]
    if text_at(spec, "type") in ("NodePort", "LoadBalancer"):
        spec["ports"] = _node_ports(objects_at(spec, "ports"), objects_at(before, "spec", "ports"), others)
    return {**body, "spec": spec}


def _same(one: JsonObject, other: JsonObject) -> bool:
    return all(text_at(one, "metadata", key) == text_at(other, "metadata", key) for key in ("name", "namespace"))


def _address(body: JsonObject, others: list[JsonObject]) -> str:
    taken = {text_at(each, "spec", "clusterIP") for each in others}
    size = _ADDRESSES.num_addresses
    for step in range(len(taken) + 1, size):
        address = str(_ADDRESSES[(step * _SPREAD) % size])
        if address not in taken and not address.endswith((".0", ".1")):
            return address
    raise _exhausted(body, "spec.clusterIPs", "no address is left")


def _node_ports(ports: list[JsonObject], before: list[JsonObject], others: list[JsonObject]) -> list[JsonValue]:
    taken = set(_numbers(port for each in others for port in objects_at(each, "spec", "ports")))
    taken |= set(_numbers(ports))
    known = {number_at(port, "port"): number_at(port, "nodePort") for port in before}
    result: list[JsonValue] = []
    for port in ports:
        number = number_at(port, "nodePort") or known.get(number_at(port, "port"))
        number = number or next((each for each in _NODE_PORTS if each not in taken), 0)
        taken.add(number)
        result.append({**port, "nodePort": number})
    return result


def _numbers(ports: Iterable[JsonObject]) -> Iterable[int]:
    return (number for port in ports if (number := number_at(port, "nodePort")))


def _exhausted(body: JsonObject, field: str, why: str) -> Exception:
    return invalid("Service", "", text_at(body, "metadata", "name"), [wrong(field, None, why)])
