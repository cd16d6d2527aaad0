"""Build API paths. A name can't add another path segment, a query or a fragment."""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from skyflo_tools.errors import InvalidArguments

# Groups, versions, plurals, subresources and namespaces are DNS names; this is wider, and none needs more.
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,252}", re.ASCII)

_BUILT_IN_GROUPS = frozenset(
    {
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "internal.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "storagemigration.k8s.io",
    }
)


def path_segment(value: str, what: str) -> str:
    """Quote a DNS-like name as one path segment. Raises InvalidArguments for any other value."""
    if not _SEGMENT.fullmatch(value):
        raise InvalidArguments(
            f"{value[:80]!r} is not a valid {what}", hint="Kubernetes names have letters, digits, '-', '.', ':'"
        )
    return quote(value, safe="")


def name_segment(name: str) -> str:
    """Quote an object's name as one path segment. Raises InvalidArguments if no object can have this name.

    Kubernetes limits the names of many kinds to DNS names, but those of RBAC objects and of extension API servers
    only to one path segment: `system:node`, `team a`, `50%`. A name that a proxy could decode twice into another
    path, such as `a%2fb`, is refused, and so are characters that can't be seen.
    """
    is_segment = bool(name) and "/" not in name and name not in (".", "..")
    if is_segment and name.isprintable() and unquote(name) == name:
        return quote(name, safe="")
    raise InvalidArguments(
        f"{name[:80]!r} is not a valid name",
        hint="a name has no '/', no invisible characters and no percent-encoding, and is neither '.' nor '..'",
    )


@dataclass(frozen=True)
class Resource:
    """A kind and the path under which one API server serves it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def collection_path(self, namespace: str = "") -> str:
        """Return the path of all objects, in one namespace or in all."""
        root = f"/apis/{path_segment(self.group, 'group')}" if self.group else "/api"
        root = f"{root}/{path_segment(self.version, 'version')}"
        middle = f"/namespaces/{path_segment(namespace, 'namespace')}" if self.namespaced and namespace else ""
        return f"{root}{middle}/{path_segment(self.plural, 'resource')}"

    def object_path(self, namespace: str, name: str, subresource: str = "") -> str:
        """Return the path of one object or of its subresource."""
        if self.namespaced and not namespace:
            raise InvalidArguments(f"{self.kind} needs a namespace")
        end = f"/{path_segment(subresource, 'subresource')}" if subresource else ""
        return f"{self.collection_path(namespace)}/{name_segment(name)}{end}"


def is_built_in(resource: Resource) -> bool:
    """Return whether the API server itself serves the kind, so that it accepts strategic merge patches."""
    return "." not in resource.group or resource.group in _BUILT_IN_GROUPS
