"""Read lists that only add to an answer, each as a whole."""

from collections.abc import Callable
from typing import TypeVar

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.listing import Listing, ListReader
from skyflo_tools.kubernetes.lookup import resolve_scope
from skyflo_tools.side_reads import SideRead, read_side
from skyflo_tools.tool import CallContext

T = TypeVar("T")


async def read_side_list(
    what: str,
    cluster: Cluster,
    kind: str,
    namespace: str,
    parse: Callable[[JsonObject], T],
    call: CallContext,
    *,
    limit: int,
    labels: str = "",
) -> SideRead[Listing[T]]:
    """Read at most `limit` objects of a kind. An empty namespace means all; `what` names them if that fails."""

    async def read() -> Listing[T]:
        scope = await resolve_scope(cluster, kind, namespace, everywhere=not namespace)
        return await ListReader(call.identity, call.services.clock, limit).read(scope, parse, labels=labels)

    empty: Listing[T] = Listing([])
    return await read_side(what, read(), empty)
