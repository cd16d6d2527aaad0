"""Find missing settings for the model and the cluster; the start and the health check report them."""

import re
from dataclasses import dataclass
from pathlib import Path

from src.api.config.settings import Settings

__all__ = ["ClusterChoice", "check_cluster_settings", "check_model_settings", "find_cluster"]

_CURRENT_CONTEXT = re.compile(r"""(?m)(?:^|[{,])\s*["']?current-context["']?\s*:[ \t]*["']?([^"'\s#,}]+)""")
_MAX_KUBECONFIG = 4 * 1024 * 1024
_API_KEY_VARIABLES = {
    "openai": ("OPENAI_API_KEY",),
    "azure": ("AZURE_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "bedrock": ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    "vertex_ai": ("GOOGLE_APPLICATION_CREDENTIALS", "VERTEXAI_PROJECT"),
    "huggingface": ("HF_TOKEN", "HUGGINGFACE_API_KEY"),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY"),
    "fireworks_ai": ("FIREWORKS_AI_API_KEY", "FIREWORKS_API_KEY"),
}
_PROVIDERS_WITHOUT_KEY = frozenset({"ollama", "ollama_chat", "vllm", "hosted_vllm", "lm_studio", "llamafile"})


@dataclass(frozen=True, slots=True)
class ClusterChoice:
    """The cluster that the settings lead to: its source, and the current context there."""

    source: str | None
    context: str | None = None


def check_model_settings(settings: Settings) -> str | None:
    """Return what the model's settings lack, or None."""
    provider = settings.llm_model.partition("/")[0] if "/" in settings.llm_model else "openai"
    if settings.llm_host is not None or provider in _PROVIDERS_WITHOUT_KEY:
        return None
    names = _API_KEY_VARIABLES.get(provider, (f"{provider.upper()}_API_KEY",))
    if any(settings.environment.get(name) for name in names):
        return None
    return (
        f"No key for the model {settings.llm_model}: set {names[0]}, or LLM_HOST for a server of your own, "
        "or LLM_MODEL for another model (environment or .env)."
    )


def find_cluster(settings: Settings) -> ClusterChoice:
    """Find the cluster as the tool server does: KUBECONFIG, `~/.kube/config`, the pod's service account."""
    environment = settings.environment
    named = [Path(part).expanduser() for part in environment.get("KUBECONFIG", "").split(":") if part]
    files = [path for path in named or [Path.home() / ".kube" / "config"] if path.is_file()]
    choices = [ClusterChoice(str(path), _read_current_context(path)) for path in files]
    if choices:
        return next((choice for choice in choices if choice.context), choices[0])
    if environment.get("KUBERNETES_SERVICE_HOST"):
        return ClusterChoice("the pod's service account", "in-cluster")
    return ClusterChoice(None)


def check_cluster_settings(settings: Settings) -> str | None:
    """Return what the cluster's settings lack, or None."""
    found = find_cluster(settings)
    if found.source is None:
        named = settings.environment.get("KUBECONFIG")
        where = f"{named} does not exist" if named else "~/.kube/config does not exist"
        return f"No cluster: {where}. Set KUBECONFIG to a kubeconfig file."
    if found.context is None:
        return f"No cluster: {found.source} has no current-context. Choose one: kubectl config use-context NAME."
    if not settings.clusters and found.context != "in-cluster":
        return f"The cluster {found.context} is read-only. To allow approved changes, set CLUSTERS={found.context}."
    return None


def _read_current_context(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            found = _CURRENT_CONTEXT.search(file.read(_MAX_KUBECONFIG))
    except OSError:
        return None
    return found.group(1) if found else None
