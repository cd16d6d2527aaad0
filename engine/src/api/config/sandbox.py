"""Which parts the sandbox replaces, and the settings that lead there."""

from dataclasses import dataclass
from pathlib import Path

from src.api.config.needs import cluster_choice, model_need
from src.api.config.settings import Settings, SettingsError
from src.api.utils.packages import is_installed

__all__ = [
    "CLUSTER",
    "MODEL",
    "PACKAGE",
    "Addresses",
    "Parts",
    "kubeconfig",
    "parts",
    "sandbox_kubeconfig",
    "with_sandbox",
]

PACKAGE = "skyflo_sandbox"
CLUSTER = "sandbox"
MODEL = "sandbox"
WINDOW = 200_000
_KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
- name: {name}
  cluster: {{server: "{server}"}}
users:
- name: {name}
contexts:
- name: {name}
  context: {{cluster: {name}, user: {name}, namespace: default}}
current-context: {name}
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """What is replaced."""

    model: bool = False
    cluster: bool = False

    def __bool__(self) -> bool:
        return self.model or self.cluster


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts listen: `http://127.0.0.1:port`."""

    cluster: str
    model: str


def parts(settings: Settings) -> Parts:
    """`SANDBOX=auto` replaces, in local mode, what is missing; other values name the parts.

    Raises `SettingsError` where parts are named and the sandbox is not installed.
    """
    wanted = settings.sandbox
    if wanted == "none" or not settings.local_mode:
        return Parts()
    if not is_installed(PACKAGE):
        if wanted == "auto":
            return Parts()
        raise SettingsError([f"SANDBOX: {wanted} needs the package skyflo-sandbox; install it from sandbox/"])
    if wanted != "auto":
        return Parts(model=wanted in {"model", "all"}, cluster=wanted in {"cluster", "all"})
    nowhere = cluster_choice(settings).context is None and not settings.clusters
    return Parts(model=model_need(settings) is not None, cluster=nowhere and settings.mcp_server_url is None)


def with_sandbox(settings: Settings, replaced: Parts, addresses: Addresses) -> Settings:
    """The same settings, but for the model and the cluster that are replaced."""
    changed: dict[str, object] = {}
    environment = dict(settings.environment)
    if replaced.model:
        environment.pop("OPENAI_API_KEY", None)  # it is not the sandbox's business
        changed |= {"llm_model": MODEL, "llm_host": f"{addresses.model}/v1", "llm_adapter": "openai"}
        changed |= {"llm_context_window": WINDOW, "llm_title_model": None}
    if replaced.cluster:
        environment.pop("KUBERNETES_SERVICE_HOST", None)
        environment |= {"KUBECONFIG": str(sandbox_kubeconfig(settings)), "CLUSTERS": CLUSTER}
        changed |= {"clusters": (CLUSTER,)}
    return settings.model_copy(update=changed | {"environment": environment})


def sandbox_kubeconfig(settings: Settings) -> Path:
    """The file by which anyone on this machine reaches the sandbox's cluster, kubectl too."""
    return (settings.data_dir / "sandbox" / "kubeconfig").resolve()


def kubeconfig(server: str) -> str:
    """What stands in that file; `server` is the cluster's address."""
    return _KUBECONFIG.format(name=CLUSTER, server=server)
