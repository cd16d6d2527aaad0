"""Arguments that the Helm tools share."""

import re
from typing import Annotated

from pydantic import Field

from skyflo_tools.errors import InvalidArguments
from skyflo_tools.helm.release_store import ReleaseStore
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, count_fitting_lines
from skyflo_tools.tool import CallContext, ClusterArguments, Namespace

RELEASE_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,51}[a-z0-9])?", re.ASCII)
DEFAULT_NAMESPACE = "default"
HELM_TAGS = frozenset({"helm"})
BLOCK_RESERVE = 1024

ReleaseName = Annotated[str, Field(max_length=53, description="The release.")]
Revision = Annotated[
    int | None,
    Field(default=None, ge=1, le=999_999_999, description="Default: the latest."),
]


class ReleaseArguments(ClusterArguments):
    """Base for tools that use one release."""

    name: ReleaseName
    namespace: Namespace


class RevisionArguments(ReleaseArguments):
    """Base for tools that read one revision of a release."""

    revision: Revision


def open_store(arguments: ReleaseArguments, call: CallContext) -> ReleaseStore:
    """Return the releases of the namespace that the arguments name."""
    check_release_name(arguments.name)
    cluster = call.services.clusters.choose(arguments.cluster)
    return store_in(cluster, arguments.namespace, call)


def check_release_name(name: str) -> None:
    """Refuse a name that no release can have. Raises InvalidArguments."""
    if not RELEASE_NAME.fullmatch(name):
        hint = "a name has lower-case letters, digits, '-' and '.', and begins and ends with a letter or a digit"
        raise InvalidArguments(f"{name!r} is no name of a release", hint=hint)


def store_in(cluster: Cluster, namespace: str | None, call: CallContext) -> ReleaseStore:
    return ReleaseStore(cluster, namespace or cluster.namespace, call.identity)


def fitting_blocks(blocks: list[str]) -> list[str]:
    """Return the first blocks of lines that fit into a result, at least one."""
    return blocks[: max(1, count_fitting_lines(blocks, TEXT_BYTES + BLOCK_RESERVE))]
