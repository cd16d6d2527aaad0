"""Read kubeconfig files, or a pod's service account. Problems become readable messages instead of exceptions."""

import os
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skyflo_tools.errors import ClusterError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_CLUSTER = "in-cluster"
HOW_TO_SET = "set KUBECONFIG to a kubeconfig file, or put one at ~/.kube/config"


class _KubeconfigModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class ClusterInfo(_KubeconfigModel):
    """An API server's address and TLS settings."""

    server: str
    certificate_authority: str = Field(default="", alias="certificate-authority")
    certificate_authority_data: str = Field(default="", alias="certificate-authority-data", repr=False)
    insecure_skip_tls_verify: bool = Field(default=False, alias="insecure-skip-tls-verify")
    tls_server_name: str = Field(default="", alias="tls-server-name")
    proxy_url: str = Field(default="", alias="proxy-url")


class ExecVariable(_KubeconfigModel):
    name: str
    value: str = Field(repr=False)


class ExecInfo(_KubeconfigModel):
    """A credential plugin: a program from the user's kubeconfig that prints a token."""

    api_version: str = Field(alias="apiVersion")
    command: str
    args: list[str] | None = None
    env: list[ExecVariable] | None = None
    install_hint: str = Field(default="", alias="installHint")
    provide_cluster_info: bool = Field(default=False, alias="provideClusterInfo")


class UserInfo(_KubeconfigModel):
    """A user's credentials for an API server."""

    token: str = Field(default="", repr=False)
    token_file: str = Field(default="", alias="tokenFile")
    username: str = ""
    password: str = Field(default="", repr=False)
    client_certificate: str = Field(default="", alias="client-certificate")
    client_certificate_data: str = Field(default="", alias="client-certificate-data", repr=False)
    client_key: str = Field(default="", alias="client-key")
    client_key_data: str = Field(default="", alias="client-key-data", repr=False)
    exec_info: ExecInfo | None = Field(default=None, alias="exec")

    def secrets(self) -> list[str]:
        """Return the secret values, for redaction."""
        values = [self.token, self.password, self.client_key_data, self.client_certificate_data]
        values += [variable.value for variable in (self.exec_info.env if self.exec_info else None) or []]
        return [value for value in values if value]


class ContextInfo(_KubeconfigModel):
    cluster: str
    user: str = ""
    namespace: str = ""


class NamedCluster(_KubeconfigModel):
    name: str
    cluster: ClusterInfo


class NamedUser(_KubeconfigModel):
    name: str
    user: UserInfo = UserInfo()


class NamedContext(_KubeconfigModel):
    name: str
    context: ContextInfo


class _KubeconfigFile(_KubeconfigModel):
    current_context: str = Field(default="", alias="current-context")
    clusters: list[NamedCluster] | None = None
    users: list[NamedUser] | None = None
    contexts: list[NamedContext] | None = None


class Connection(_KubeconfigModel):
    """A context with its cluster and user resolved. File names are absolute."""

    name: str
    cluster: ClusterInfo
    user: UserInfo
    namespace: str = "default"


class Kubeconfig(_KubeconfigModel):
    """One or several kubeconfig files, merged as kubectl does: the first entry with a name wins."""

    current: str = ""
    connections: dict[str, Connection] = {}
    problem: str = ""

    def secrets(self) -> list[str]:
        return [value for connection in self.connections.values() for value in connection.user.secrets()]


def kubeconfig_paths(setting: str) -> list[Path]:
    """Return the files of a KUBECONFIG value, or the default file."""
    named = [Path(part).expanduser() for part in setting.split(os.pathsep) if part]
    return named or [Path("~/.kube/config").expanduser()]


def load(setting: str, service_account: Path = SERVICE_ACCOUNT) -> Kubeconfig:
    """Load the files in the setting, else the default file, else the pod's service account.

    Does not raise for a missing or invalid file: `problem` then says what is wrong and how to fix it.
    """
    paths = [path for path in kubeconfig_paths(setting) if path.is_file()]
    if not paths:
        if not setting and (service_account / "token").is_file():
            return _in_cluster(service_account)
        searched = ", ".join(str(path) for path in kubeconfig_paths(setting))
        return Kubeconfig(problem=f"no kubeconfig at {searched}: {HOW_TO_SET}")
    try:
        return _merge([(path, _read(path)) for path in paths])
    except ClusterError as error:
        return Kubeconfig(problem=error.message)


def _read(path: Path) -> _KubeconfigFile:
    try:
        return _KubeconfigFile.model_validate(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader) or {})
    except OSError as error:
        raise ClusterError(f"kubeconfig {path} can't be read: {error.strerror}; {HOW_TO_SET}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ClusterError(f"kubeconfig {path} is not YAML; {HOW_TO_SET}") from error
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"]) or "its top level"
        raise ClusterError(f"kubeconfig {path} is invalid at {where}; {HOW_TO_SET}") from error


def _merge(files: list[tuple[Path, _KubeconfigFile]]) -> Kubeconfig:
    clusters: dict[str, ClusterInfo] = {}
    users: dict[str, UserInfo] = {}
    contexts: dict[str, ContextInfo] = {}
    for path, file in files:
        for cluster in file.clusters or []:
            clusters.setdefault(cluster.name, _absolute_cluster(cluster.cluster, path.parent))
        for user in file.users or []:
            users.setdefault(user.name, _absolute_user(user.user, path.parent))
        for context in file.contexts or []:
            contexts.setdefault(context.name, context.context)
    connections = {
        name: Connection(
            name=name,
            cluster=clusters[context.cluster],
            user=users.get(context.user, UserInfo()),
            namespace=context.namespace or "default",
        )
        for name, context in contexts.items()
        if context.cluster in clusters
    }
    current = next((file.current_context for _, file in files if file.current_context), "")
    problem = "" if connections else f"the kubeconfig {files[0][0]} has no usable context; {HOW_TO_SET}"
    return Kubeconfig(current=current, connections=connections, problem=problem)


def _absolute_cluster(info: ClusterInfo, folder: Path) -> ClusterInfo:
    return info.model_copy(update={"certificate_authority": _absolute(info.certificate_authority, folder)})


def _absolute_user(info: UserInfo, folder: Path) -> UserInfo:
    files = ("token_file", "client_certificate", "client_key")
    return info.model_copy(update={name: _absolute(getattr(info, name), folder) for name in files})


def _absolute(name: str, folder: Path) -> str:
    return str(folder / name) if name else ""


def _in_cluster(account: Path) -> Kubeconfig:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return Kubeconfig(problem=f"a service account is mounted, but KUBERNETES_SERVICE_HOST is not set; {HOW_TO_SET}")
    host = f"[{host}]" if ":" in host else host
    namespace_file = account / "namespace"
    info = {"server": f"https://{host}:{port}", "certificate-authority": str(account / "ca.crt")}
    connection = Connection(
        name=IN_CLUSTER,
        cluster=ClusterInfo.model_validate(info),
        user=UserInfo.model_validate({"tokenFile": str(account / "token")}),
        namespace=namespace_file.read_text().strip() if namespace_file.is_file() else "default",
    )
    return Kubeconfig(current=IN_CLUSTER, connections={IN_CLUSTER: connection})
