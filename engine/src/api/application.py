"""Build the description of the engine for its page from the settings."""

from src.api.config.settings import Settings
from src.api.config.startup_checks import find_cluster
from src.api.environment import ResolvedEnvironment
from src.api.schemas.application import ClusterView, OidcProvider, SandboxView, SignedInAppView

__all__ = ["describe_application"]


def describe_application(resolved: ResolvedEnvironment) -> SignedInAppView:
    settings, replaced = resolved.settings, resolved.replaced
    return SignedInAppView(
        version=settings.app_version,
        local_mode=settings.local_mode,
        registration=settings.registration_enabled,
        reset_by_mail=settings.smtp_host is not None,
        oidc=OidcProvider(name=settings.oidc_name) if settings.oidc_issuer else None,
        setup=False,
        model=settings.llm_model,
        sandbox=SandboxView(model=replaced.model, cluster=replaced.cluster),
        clusters=_list_clusters(settings),
    )


def _list_clusters(settings: Settings) -> list[ClusterView]:
    """List `CLUSTERS`, or else the current context, which is read-only; none if another tool server has its own."""
    if settings.clusters:
        return [
            ClusterView(name=entry.removesuffix(":read"), mode="read" if entry.endswith(":read") else "write")
            for entry in settings.clusters
        ]
    context = None if settings.mcp_server_url else find_cluster(settings).context
    return [] if context is None else [ClusterView(name=context, mode="read")]
