"""Which clusters may be used, which of them may be changed, and one client for each."""

from dataclasses import dataclass, field

from skyflo_tools.clock import Clock
from skyflo_tools.errors import ClusterProblem
from skyflo_tools.kubernetes import kubeconfig
from skyflo_tools.kubernetes.client import KubeClient
from skyflo_tools.kubernetes.discovery import Discovery
from skyflo_tools.kubernetes.kubeconfig import Connection, Kubeconfig

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Allowed:
    """A context that may be used. `named` is false for the one that was only found lying around."""

    name: str
    writable: bool
    named: bool = True


@dataclass
class Cluster:
    """One cluster in use."""

    allowed: Allowed
    client: KubeClient
    discovery: Discovery
    sandbox: bool = False

    @property
    def name(self) -> str:
        return self.allowed.name

    @property
    def namespace(self) -> str:
        """The namespace that the context names, else `default`."""
        return self.client.connection.namespace


def parse_allowed(setting: str) -> list[Allowed]:
    """`prod:read,staging` as contexts. A name may hold colons itself; only the ending `:read` means something."""
    parts = [part.strip() for part in setting.split(",") if part.strip()]
    return [Allowed(part.removesuffix(":read"), writable=not part.endswith(":read")) for part in parts]


@dataclass
class Clusters:
    """The clusters of a kubeconfig, read again whenever its files change."""

    setting: str
    kubeconfig_setting: str
    clock: Clock
    sandbox: str = ""
    _stamp: Stamp | None = None
    _kubeconfig: Kubeconfig = field(default_factory=Kubeconfig)
    _open: dict[str, Cluster] = field(default_factory=dict)
    _retired: list[KubeClient] = field(default_factory=list)

    async def aclose(self) -> None:
        for client in [cluster.client for cluster in self._open.values()] + self._retired:
            await client.aclose()

    def kubeconfig(self) -> Kubeconfig:
        stamp = self._now()
        if stamp != self._stamp:
            self._kubeconfig, self._stamp = kubeconfig.load(self.kubeconfig_setting), stamp
        return self._kubeconfig

    def secrets(self) -> list[str]:
        """Every credential that must not be shown."""
        tokens = [cluster.client.credentials.secret() for cluster in self._open.values()]
        return [value for value in self.kubeconfig().secrets() + tokens if value]

    def allowed(self) -> list[Allowed]:
        """The contexts that may be used; with no setting the current one, for reading only."""
        if self.setting.strip():
            return parse_allowed(self.setting)
        current = self.kubeconfig().current
        return [Allowed(current, writable=False, named=False)] if current else []

    def missing(self) -> str:
        """What keeps clusters from being used at all, and how to set it; empty if nothing does."""
        config = self.kubeconfig()
        if config.problem:
            return config.problem
        if not self.allowed():
            return f"no context is chosen; set CLUSTERS to one or more of: {', '.join(config.connections)}"
        return ""

    def choose(self, name: str | None) -> Cluster:
        """The named cluster, or the one that goes without saying. Raises ClusterProblem."""
        if problem := self.missing():
            raise ClusterProblem(problem, code="no_cluster")
        allowed = self.allowed()
        known = ", ".join(each.name for each in allowed)
        chosen = next((each for each in allowed if each.name == name), None) if name else self._default(allowed)
        if chosen is None and name:
            raise ClusterProblem(
                f"cluster {name[:80]!r} may not be used", code="unknown_cluster", hint=f"one of: {known}"
            )
        if chosen is None:
            raise ClusterProblem("several clusters may be used", code="which_cluster", hint=f"pass cluster: {known}")
        return self._opened(chosen)

    def writable(self, name: str | None) -> Cluster:
        """Like `choose`, for a change."""
        cluster = self.choose(name)
        if cluster.allowed.writable:
            return cluster
        how = f"set CLUSTERS={cluster.name} and start again"
        why = (
            "is marked :read in CLUSTERS" if cluster.allowed.named else "was not named in CLUSTERS, so it is read-only"
        )
        raise ClusterProblem(f"cluster {cluster.name} {why}", code="cluster_read_only", hint=f"to allow changes: {how}")

    def _default(self, allowed: list[Allowed]) -> Allowed | None:
        if len(allowed) == 1:
            return allowed[0]
        current = self.kubeconfig().current
        return next((each for each in allowed if each.name == current), None)

    def _opened(self, allowed: Allowed) -> Cluster:
        connection = self.kubeconfig().connections.get(allowed.name)
        if connection is None:
            known = ", ".join(self.kubeconfig().connections)
            raise ClusterProblem(
                f"CLUSTERS names {allowed.name!r}, but the kubeconfig has no such context",
                code="unknown_context",
                hint=f"its contexts: {known}",
            )
        found = self._open.get(allowed.name)
        if found is None or found.client.connection != connection or found.allowed != allowed:
            if found is not None:
                self._retired.append(found.client)  # a call may still be using it
            found = self._open[allowed.name] = self._new(allowed, connection)
        return found

    def _new(self, allowed: Allowed, connection: Connection) -> Cluster:
        client = KubeClient(connection, self.clock)
        return Cluster(allowed, client, Discovery(client, self.clock), sandbox=allowed.name == self.sandbox)

    def _now(self) -> Stamp:
        paths = [path for path in kubeconfig.paths_of(self.kubeconfig_setting) if path.is_file()]
        stats = [(str(path), path.stat()) for path in paths]
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
