"""The clusters that the settings allow, and one client for each."""

from dataclasses import dataclass, field

from skyflo_common.clock import Clock
from skyflo_tools.errors import ClusterError
from skyflo_tools.kubernetes import kubeconfig
from skyflo_tools.kubernetes.client import KubeClient
from skyflo_tools.kubernetes.discovery import Discovery
from skyflo_tools.kubernetes.kubeconfig import Connection, Kubeconfig
from skyflo_tools.kubernetes.open_api import OpenApi

FileStamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class AllowedContext:
    """A context that may be used. `is_explicit` is false for the current context, used if CLUSTERS is unset."""

    name: str
    writable: bool
    is_explicit: bool = True


@dataclass
class Cluster:
    """A cluster with its client, and its caches of kinds and schemas."""

    context: AllowedContext
    client: KubeClient
    discovery: Discovery
    open_api: OpenApi
    sandbox: bool = False

    @property
    def name(self) -> str:
        return self.context.name

    @property
    def namespace(self) -> str:
        """The namespace of the context, or `default`."""
        return self.client.connection.namespace


def parse_contexts(setting: str) -> list[AllowedContext]:
    """Parse the CLUSTERS setting, such as `prod:read,staging`.

    Only the suffix `:read` has a meaning: context names may contain colons.
    """
    parts = [part.strip() for part in setting.split(",") if part.strip()]
    return [AllowedContext(part.removesuffix(":read"), writable=not part.endswith(":read")) for part in parts]


@dataclass
class Clusters:
    """The clusters of a kubeconfig. Its files are read again when they change."""

    setting: str
    kubeconfig_setting: str
    clock: Clock
    sandbox: str = ""
    _stamp: FileStamp | None = None
    _kubeconfig: Kubeconfig = field(default_factory=Kubeconfig)
    _clusters: dict[str, Cluster] = field(default_factory=dict)
    _retired: list[KubeClient] = field(default_factory=list)

    async def aclose(self) -> None:
        for client in [cluster.client for cluster in self._clusters.values()] + self._retired:
            await client.aclose()

    def kubeconfig(self) -> Kubeconfig:
        stamp = self._current_stamp()
        if stamp != self._stamp:
            self._kubeconfig, self._stamp = kubeconfig.load(self.kubeconfig_setting), stamp
        return self._kubeconfig

    def secrets(self) -> list[str]:
        """Return all credentials, for redaction."""
        tokens = [cluster.client.credentials.secret() for cluster in self._clusters.values()]
        return [value for value in self.kubeconfig().secrets() + tokens if value]

    def allowed_contexts(self) -> list[AllowedContext]:
        """Return the contexts that may be used. Without CLUSTERS this is the current context, read-only."""
        if self.setting.strip():
            return parse_contexts(self.setting)
        current = self.kubeconfig().current
        return [AllowedContext(current, writable=False, is_explicit=False)] if current else []

    def configuration_problem(self) -> str:
        """Return why no cluster can be used and how to fix it, or an empty string."""
        config = self.kubeconfig()
        if config.problem:
            return config.problem
        if not self.allowed_contexts():
            return f"no context is chosen; set CLUSTERS to one or more of: {', '.join(config.connections)}"
        return ""

    def choose(self, name: str | None) -> Cluster:
        """Return the named cluster or, without a name, the only or the current one. Raises ClusterError."""
        if problem := self.configuration_problem():
            raise ClusterError(problem, code="no_cluster")
        allowed = self.allowed_contexts()
        known = ", ".join(each.name for each in allowed)
        chosen = next((each for each in allowed if each.name == name), None) if name else self._default(allowed)
        if chosen is None and name:
            raise ClusterError(f"cluster {name[:80]!r} is not allowed", code="unknown_cluster", hint=f"one of: {known}")
        if chosen is None:
            raise ClusterError("several clusters are allowed", code="which_cluster", hint=f"pass cluster: {known}")
        return self._open_cluster(chosen)

    def choose_writable(self, name: str | None) -> Cluster:
        """Return the named cluster or, without a name, the only one that may be changed.

        Raises ClusterError if it is read-only, and without a name if several clusters may be changed.
        """
        writable = [each.name for each in self.allowed_contexts() if each.writable]
        if name is None and len(writable) > 1:
            names = ", ".join(writable)
            raise ClusterError(
                f"several clusters may be changed: {names}", code="which_cluster", hint=f"pass cluster, one of: {names}"
            )
        cluster = self.choose(name)
        if cluster.context.writable:
            return cluster
        how = f"set CLUSTERS={cluster.name} and restart"
        why = (
            "is marked :read in CLUSTERS"
            if cluster.context.is_explicit
            else "is not listed in CLUSTERS, so it is read-only"
        )
        raise ClusterError(f"cluster {cluster.name} {why}", code="cluster_read_only", hint=f"to allow changes: {how}")

    def _default(self, allowed: list[AllowedContext]) -> AllowedContext | None:
        if len(allowed) == 1:
            return allowed[0]
        current = self.kubeconfig().current
        return next((each for each in allowed if each.name == current), None)

    def _open_cluster(self, allowed: AllowedContext) -> Cluster:
        connection = self.kubeconfig().connections.get(allowed.name)
        if connection is None:
            known = ", ".join(self.kubeconfig().connections)
            raise ClusterError(
                f"CLUSTERS names {allowed.name!r}, but the kubeconfig has no such context",
                code="unknown_context",
                hint=f"its contexts: {known}",
            )
        cluster = self._clusters.get(allowed.name)
        if cluster is None or cluster.client.connection != connection or cluster.context != allowed:
            if cluster is not None:
                self._retired.append(cluster.client)  # a call may still be using it
            cluster = self._clusters[allowed.name] = self._create_cluster(allowed, connection)
        return cluster

    def _create_cluster(self, allowed: AllowedContext, connection: Connection) -> Cluster:
        client = KubeClient(connection, self.clock)
        return Cluster(
            allowed, client, Discovery(client, self.clock), OpenApi(client), sandbox=allowed.name == self.sandbox
        )

    def _current_stamp(self) -> FileStamp:
        paths = [path for path in kubeconfig.kubeconfig_paths(self.kubeconfig_setting) if path.is_file()]
        stats = [(str(path), path.stat()) for path in paths]
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
