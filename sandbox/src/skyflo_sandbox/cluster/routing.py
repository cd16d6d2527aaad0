"""Resolve URL paths to resources."""

from dataclasses import dataclass
from urllib.parse import unquote

from skyflo_sandbox.cluster import kinds
from skyflo_sandbox.cluster.errors import bad_request, not_in_sandbox
from skyflo_sandbox.cluster.kinds import NAMESPACE, Kind

__all__ = ["ResourcePath", "resolve_path", "split_path"]

_MAX_SEGMENTS = 12
_MAX_NAME_LENGTH = 253
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True)
class ResourcePath:
    """A resolved path: a collection if `name` is empty, otherwise an object or its subresource."""

    kind: Kind
    namespace: str
    name: str = ""
    subresource: str = ""


def split_path(raw_path: bytes) -> list[str]:
    """Split and decode a path. Each part is decoded separately, so an encoded slash does not separate parts.

    Raises `ApiError`.
    """
    try:
        parts = [unquote(part, errors="strict") for part in raw_path.decode("ascii").strip("/").split("/")]
    except (UnicodeDecodeError, ValueError) as error:
        raise bad_request("the path is not UTF-8") from error
    if len(parts) > _MAX_SEGMENTS:
        raise not_in_sandbox("this path")
    return parts


def resolve_path(parts: list[str]) -> ResourcePath:
    """Resolve `/api/v1/...` or `/apis/GROUP/VERSION/...`. Raises `ApiError`: 404 if the sandbox lacks it."""
    group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
    elif rest[0] == "namespaces" and group:
        raise not_in_sandbox(f"namespaces.{group}")
    plural, name, *subresource = [*rest, ""] if len(rest) == 1 else rest
    kind = kinds.find_kind(group, version, plural)
    if kind is None or (kind == NAMESPACE and namespace):
        raise not_in_sandbox(f"{plural}.{group}" if group else plural)
    if namespace and not kind.namespaced:
        raise not_in_sandbox(f"{kind.resource} in a namespace")
    if kind.namespaced and name and not namespace:
        raise not_in_sandbox(f"{kind.resource} without a namespace")
    if (len(rest) > 1 and not name) or "/" in name or len(name) > _MAX_NAME_LENGTH or "/" in namespace:
        raise bad_request(f"{name[:100]!r} is not a name")
    if subresource and "/".join(subresource) not in kind.subresources:
        raise not_in_sandbox(
            f"{kind.resource}/{subresource[0]}", 501 if subresource[0] in _UNSUPPORTED_SUBRESOURCES else 404
        )
    return ResourcePath(kind, namespace, name, subresource[0] if subresource else "")


_UNSUPPORTED_SUBRESOURCES = (
    "attach",
    "binding",
    "ephemeralcontainers",
    "eviction",
    "exec",
    "portforward",
    "proxy",
    "resize",
)
