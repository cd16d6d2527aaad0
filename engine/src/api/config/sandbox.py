"""Decide which parts the sandbox replaces, and point the settings to it."""

from dataclasses import dataclass
from pathlib import Path

from src.api.config.settings import Settings, SettingsError
from src.api.config.startup_checks import check_model_settings, find_cluster
from src.api.utils.packages import is_installed

__all__ = [
    "CLUSTER",
    "MODEL",
    "PACKAGE",
    "SandboxParts",
    "SandboxUrls",
    "apply_sandbox",
    "render_kubeconfig",
    "sandbox_kubeconfig_path",
    "select_parts",
]

PACKAGE = "skyflo_sandbox"
CLUSTER = "sandbox"
MODEL = "sandbox"
CONTEXT_WINDOW = 200_000
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
class SandboxParts:
    """The parts that the sandbox replaces."""

    model: bool = False
    cluster: bool = False

    def __bool__(self) -> bool:
        return self.model or self.cluster


@dataclass(frozen=True, slots=True)
class SandboxUrls:
    """The URLs of the sandbox: `http://127.0.0.1:port`."""

    cluster: str
    model: str


def select_parts(settings: Settings) -> SandboxParts:
    """Choose the parts: in local mode, `SANDBOX=auto` selects what is missing; other values name the parts.

    Several processes use no sandbox: each would start its own, with a cluster of its own.
    Raises `SettingsError` if parts are named and the sandbox is not installed.
    """
    requested = settings.sandbox
    if requested == "none" or not settings.local_mode or settings.engine_processes > 1:
        return SandboxParts()
    if not is_installed(PACKAGE):
        if requested == "auto":
            return SandboxParts()
        raise SettingsError([f"SANDBOX: {requested} needs the package skyflo-sandbox; install it from sandbox/"])
    if requested != "auto":
        return SandboxParts(model=requested in {"model", "all"}, cluster=requested in {"cluster", "all"})
    lacks_cluster = find_cluster(settings).context is None and not settings.clusters
    return SandboxParts(
        model=check_model_settings(settings) is not None, cluster=lacks_cluster and settings.mcp_server_url is None
    )


def apply_sandbox(settings: Settings, replaced: SandboxParts, urls: SandboxUrls) -> Settings:
    """Return the settings with the replaced model and cluster."""
    changed: dict[str, object] = {}
    environment = dict(settings.environment)
    if replaced.model:
        environment.pop("OPENAI_API_KEY", None)  # the sandbox does not need the user's key
        changed |= {"llm_model": MODEL, "llm_host": f"{urls.model}/v1", "llm_adapter": "openai"}
        changed |= {"llm_context_window": CONTEXT_WINDOW, "llm_title_model": None}
        changed |= {"llm_compaction_percent": 0}  # its rules can't summarise
    if replaced.cluster:
        environment.pop("KUBERNETES_SERVICE_HOST", None)
        environment |= {"KUBECONFIG": str(sandbox_kubeconfig_path(settings)), "CLUSTERS": CLUSTER}
        changed |= {"clusters": (CLUSTER,)}
    return settings.model_copy(update=changed | {"environment": environment})


def sandbox_kubeconfig_path(settings: Settings) -> Path:
    """Return the kubeconfig file of the sandbox cluster, for users of this machine and kubectl."""
    return (settings.data_dir / "sandbox" / "kubeconfig").resolve()


def render_kubeconfig(server: str) -> str:
    """Render that file; `server` is the cluster's URL."""
    return _KUBECONFIG.format(name=CLUSTER, server=server)
