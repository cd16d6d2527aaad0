"""Find evidence in a release's Secrets of whether a change of it was made."""

from collections.abc import Mapping
from typing import Literal

from skyflo_tools.errors import ToolFailure
from skyflo_tools.helm.changes import CLUSTER, RECORD, RELEASE, REVISION, VERB, read_now
from skyflo_tools.helm.release_store import ReleaseStore
from skyflo_tools.tool import CallContext

Evidence = Literal["looks_applied", "looks_not_applied", "cannot_tell"]


def is_helm_change(pinned: Mapping[str, str]) -> bool:
    return RELEASE in pinned


async def find_evidence(pinned: Mapping[str, str], call: CallContext) -> tuple[Evidence, str]:
    """Compare the release with its state at the preview. A match suggests, but does not prove, what happened."""
    namespace, _, name = pinned[RELEASE].partition("/")
    cluster = call.services.clusters.choose(pinned.get(CLUSTER))
    try:
        now = await read_now(ReleaseStore(cluster, namespace, call.identity), name)
    except ToolFailure as error:
        return "cannot_tell", f"the release {namespace}/{name} can't be read: {error.message}"
    before = int(pinned.get(REVISION, "0"))
    what = f"release {namespace}/{name}: {now}, and it was at revision {before} in the preview"
    record = f"{now.latest.uid} {now.latest.status}" if now.latest else ""
    if record == pinned.get(RECORD, ""):
        return "looks_not_applied", what
    if pinned.get(VERB) == "uninstall":
        return ("looks_applied" if now.latest is None else "cannot_tell"), what
    if now.latest is not None and now.latest.status == "deployed" and now.latest.revision == before + 1:
        return "looks_applied", what
    return "cannot_tell", what
