"""Resolve the model and the cluster that the engine uses: the user's own, or the sandbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skyflo_common.redaction import Redactor
from src.api.config.sandbox import (
    CLUSTER,
    SandboxParts,
    SandboxUrls,
    apply_sandbox,
    render_kubeconfig,
    sandbox_kubeconfig_path,
    select_parts,
)
from src.api.config.settings import Settings
from src.api.config.startup_checks import check_cluster_settings, check_model_settings, find_cluster
from src.api.ports import Clock

if TYPE_CHECKING:
    from src.api.adapters.sandbox_process import SandboxProcess

__all__ = ["ResolvedEnvironment", "describe_cluster", "describe_model", "open_environment"]


@dataclass(frozen=True, slots=True)
class ResolvedEnvironment:
    """The resolved `settings`, and the `user_settings` that they were derived from."""

    settings: Settings
    user_settings: Settings
    replaced: SandboxParts
    sandbox: "SandboxProcess | None" = None

    @property
    def sandbox_cluster(self) -> str:
        """The name of the sandbox's cluster, or an empty string if it is not used."""
        return CLUSTER if self.replaced.cluster else ""


@asynccontextmanager
async def open_environment(
    user_settings: Settings, clock: Clock, redactor: Redactor
) -> AsyncIterator[ResolvedEnvironment]:
    """Start the sandbox if it replaces something. Raises `SettingsError` if it is requested and not installed."""
    replaced = select_parts(user_settings)
    if not replaced:
        yield ResolvedEnvironment(user_settings, user_settings, replaced)
        return
    from src.api.adapters.sandbox_process import SandboxConfig, SandboxProcess, SandboxSockets, open_sockets

    file = sandbox_kubeconfig_path(user_settings)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open_sockets() as opened:
        addresses = SandboxUrls(SandboxSockets.url_of(opened.cluster), SandboxSockets.url_of(opened.model))
        if replaced.cluster:
            file.write_text(render_kubeconfig(addresses.cluster))
        plan = SandboxConfig(
            file.parent, user_settings.environment, replaced.cluster, replaced.model, user_settings.sandbox_fresh
        )
        async with SandboxProcess(plan, opened, clock, redactor) as child:
            yield ResolvedEnvironment(apply_sandbox(user_settings, replaced, addresses), user_settings, replaced, child)


def describe_model(user_settings: Settings, replaced: SandboxParts) -> tuple[str, str | None]:
    """Return the name of the model in use, and the next step for the user if there is one."""
    next_step = check_model_settings(user_settings)
    if replaced.model:
        own = next_step or f"Your own is {user_settings.llm_model}: start with SANDBOX=none to use it."
        return "sandbox (rules, not a language model)", own
    return user_settings.llm_model, next_step


def describe_cluster(user_settings: Settings, replaced: SandboxParts) -> tuple[str, str | None]:
    """Return the name of the cluster in use, and the next step for the user if there is one."""
    found = find_cluster(user_settings)
    if replaced.cluster:
        own = f"Your own is {found.context}: start with SANDBOX=none to use it." if found.context else None
        return "sandbox (may be changed)", own or check_cluster_settings(user_settings)
    if user_settings.mcp_server_url:
        return f"those of the tool server at {user_settings.mcp_server_url}", None
    return f"{found.context} ({found.source})" if found.context else "none", check_cluster_settings(user_settings)
