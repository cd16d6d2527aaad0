"""Find the kinds that an API server serves, by any of their names."""

import asyncio
import difflib

from skyflo_common.clock import Clock
from skyflo_tools.concurrency import gather
from skyflo_tools.errors import ClusterError, InvalidArguments
from skyflo_tools.kubernetes.api_services import GroupState, read_group_state
from skyflo_tools.kubernetes.client import KubeClient
from skyflo_tools.kubernetes.discovery_documents import Catalog
from skyflo_tools.kubernetes.discovery_reader import read_catalog
from skyflo_tools.kubernetes.paths import Resource

CACHE_SECONDS = 600.0
REFRESH_AFTER_MISS_SECONDS = 5.0
MAX_PROBLEMS = 5
MAX_SUGGESTED = 3


class Discovery:
    """The kinds of one API server, cached for ten minutes and refreshed when a name is not found."""

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._catalog = Catalog()
        self._refreshed_at = float("-inf")
        self._refreshing = asyncio.Lock()

    async def find(self, name: str) -> Resource:
        """Find a kind by plural, short name, kind, `plural.group` or `apiVersion/Kind`.

        Raises InvalidArguments if there is no such kind, and ClusterError if its group could not be read.
        """
        await self._refresh_if_older(CACHE_SECONDS)
        found = match_resource(self._catalog.resources, name)
        if found is None:
            await self._refresh_if_older(REFRESH_AFTER_MISS_SECONDS)
            found = match_resource(self._catalog.resources, name)
        if found is None:
            raise await self._not_found(name)
        if problem := self._catalog.problems.get(found.api_version):
            state = await read_group_state(self._client, found.api_version, problem)
            if state.is_available is False:
                raise _unavailable(self._client.name, name, [state])
        return found

    async def find_problems(self) -> list[str]:
        """Return a sentence for each group version whose kinds are not known."""
        await self._refresh_if_older(CACHE_SECONDS)
        return [state.text for state in await self._explain(self._catalog.problems)]

    async def resources(self) -> list[Resource]:
        """Return all kinds that the API server serves now, in its order of preference."""
        await self.refresh()
        return list(self._catalog.resources)

    async def explain_outage(self, resource: Resource) -> str:
        """Say why the server of a kind does not answer, by its APIService; empty if that does not say so."""
        state = await read_group_state(self._client, resource.api_version, "it does not answer")
        return state.text if state.is_available is False else ""

    def expire(self) -> None:
        """Read the kinds again at the next question, because this process has changed them."""
        self._refreshed_at = float("-inf")

    async def refresh(self) -> None:
        catalog = await read_catalog(self._client)
        self._catalog, self._refreshed_at = catalog, self._clock.monotonic()

    async def _refresh_if_older(self, seconds: float) -> None:
        async with self._refreshing:  # calls that wait use the answer to the first one's question
            if self._clock.monotonic() - self._refreshed_at >= seconds:
                await self.refresh()

    async def _not_found(self, name: str) -> ClusterError | InvalidArguments:
        problems = self._catalog.problems
        if not problems:
            return InvalidArguments(
                f"cluster {self._client.name} has no kind {name[:80]!r}",
                code="unknown_kind",
                hint=_suggest(self._catalog.resources, name),
            )
        meant = {place: problem for place, problem in problems.items() if _names_group(name, place)}
        if meant:
            return _unavailable(self._client.name, name, await self._explain(meant))
        states = await self._explain(problems)
        nothing = f"cluster {self._client.name} lists no kind {name[:80]!r}"
        return ClusterError(
            f"{nothing}, but not all kinds could be read: {_join(states)}",
            code="kind_unavailable",
            hint="check the spelling of the kind; if it belongs to a group that is named here, that has to be repaired",
        )

    async def _explain(self, problems: dict[str, str]) -> list[GroupState]:
        """Explain the first problems, and count the others."""
        first = list(problems.items())[:MAX_PROBLEMS]
        states = await gather(read_group_state(self._client, *each) for each in first)
        rest = len(problems) - len(first)
        return states + ([GroupState(None, f"{rest} more group versions could not be read")] if rest else [])


def _unavailable(cluster: str, name: str, states: list[GroupState]) -> ClusterError:
    return ClusterError(
        f"kind {name[:80]!r} can't be used in cluster {cluster}: {_join(states)}",
        code="kind_unavailable",
        hint="repair the server of this group, or remove its APIService; other kinds can be used",
    )


def _suggest(resources: list[Resource], name: str) -> str:
    """Name the same kind in other groups or versions, or kinds with similar names."""
    plain = name.rpartition("/")[2].partition(".")[0].lower()
    same = [resource for resource in resources if _has_name(resource, plain) or _has_short_name(resource, plain)]
    by_name = {known: resource for resource in resources for known in (resource.plural, resource.kind.lower())}
    similar = same or [by_name[each] for each in difflib.get_close_matches(plain, by_name, n=MAX_SUGGESTED)]
    if not similar:
        return "use a plural, a short name or apiVersion/Kind, such as deployments, deploy or apps/v1/Deployment"
    names = dict.fromkeys(f"{resource.api_version}/{resource.kind}" for resource in similar)
    return f"did you mean {', '.join(list(names)[:MAX_SUGGESTED])}?"


def _join(states: list[GroupState]) -> str:
    return "; ".join(state.text for state in states)


def _names_group(name: str, group_version: str) -> bool:
    """Return whether `plural.group`, `plural.version.group` or `group/version/Kind` names this group."""
    group, _, version = group_version.rpartition("/")
    after_plural = name.partition(".")[2]
    return bool(group) and (name.startswith(f"{group}/") or after_plural in (group, f"{version}.{group}"))


def match_resource(resources: list[Resource], name: str) -> Resource | None:
    """Return the first resource that matches the name. Kinds and plurals take precedence over short names."""
    if "/" in name:
        api_version, _, kind = name.rpartition("/")
        return next((r for r in resources if r.api_version == api_version and _has_name(r, kind)), None)
    plain, _, group = name.partition(".")
    for matches in (_has_name, _has_short_name):
        for resource in resources:
            if matches(resource, plain) and _is_in_group(resource, group):
                return resource
    return None


def _has_name(resource: Resource, name: str) -> bool:
    return name.lower() in (resource.kind.lower(), resource.plural, resource.singular)


def _has_short_name(resource: Resource, name: str) -> bool:
    return name.lower() in resource.short_names


def _is_in_group(resource: Resource, group: str) -> bool:
    return not group or group in (resource.group, f"{resource.version}.{resource.group}")
