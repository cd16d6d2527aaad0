"""From a path to what it means."""

from dataclasses import dataclass
from urllib.parse import unquote

from skyflo_sandbox.cluster import kinds
from skyflo_sandbox.cluster.kinds import NAMESPACE, Kind
from skyflo_sandbox.cluster.statuses import bad_request, not_here

__all__ = ["Place", "place", "segments"]

_SEGMENTS_AT_MOST = 12
_NAME_CHARACTERS = 253
_OF_NAMESPACES = ("status", "finalize")


@dataclass(frozen=True)
class Place:
    """A collection where `name` is empty, else an object or its subresource."""

    kind: Kind
    namespace: str
    name: str = ""
    subresource: str = ""


def segments(raw_path: bytes) -> list[str]:
    """The parts of a path, decoded one by one: an encoded slash is no slash. Raises `Refused`."""
    try:
        parts = [unquote(part, errors="strict") for part in raw_path.decode("ascii").strip("/").split("/")]
    except (UnicodeDecodeError, ValueError) as error:
        raise bad_request("the path is not UTF-8") from error
    if len(parts) > _SEGMENTS_AT_MOST:
        raise not_here("this path")
    return parts


def place(parts: list[str]) -> Place:
    """What `/api/v1/...` or `/apis/G/V/...` is about. Raises `Refused`: 404 for what is not in the sandbox."""
    group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _OF_NAMESPACES:
        namespace, rest = rest[1], rest[2:]
    elif rest[0] == "namespaces" and group:
        raise not_here(f"namespaces.{group}")
    plural, name, *subresource = [*rest, ""] if len(rest) == 1 else rest
    kind = kinds.find(group, version, plural)
    if kind is None or (kind == NAMESPACE and namespace):
        raise not_here(f"{plural}.{group}" if group else plural)
    if namespace and not kind.namespaced:
        raise not_here(f"{kind.resource} in a namespace")
    if kind.namespaced and name and not namespace:
        raise not_here(f"{kind.resource} without a namespace")
    if (len(rest) > 1 and not name) or "/" in name or len(name) > _NAME_CHARACTERS or "/" in namespace:
        raise bad_request(f"{name[:100]!r} is not a name")
    if subresource and "/".join(subresource) not in kind.subresources:
        raise not_here(f"{kind.resource}/{subresource[0]}", 501 if subresource[0] in _KNOWN_ELSEWHERE else 404)
    return Place(kind, namespace, name, subresource[0] if subresource else "")


_KNOWN_ELSEWHERE = ("attach", "binding", "ephemeralcontainers", "eviction", "exec", "portforward", "proxy", "resize")
