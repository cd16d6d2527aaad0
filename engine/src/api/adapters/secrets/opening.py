"""Puts together where credentials are kept, from what the settings say."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from src.api.adapters.secrets.cluster import ClusterAccess, from_kubeconfig, from_service_account
from src.api.adapters.secrets.kubernetes import KubernetesSecrets
from src.api.adapters.secrets.local import LocalSecrets
from src.api.adapters.secrets.places import Places
from src.api.adapters.secrets.sealing import Keys
from src.api.config.secrets import kept_secret
from src.api.config.settings import Settings
from src.api.ports import Secrets, Store

__all__ = ["open_secrets"]


@asynccontextmanager
async def open_secrets(settings: Settings, store: Store) -> AsyncIterator[Secrets]:
    """Raises `SecretsRefused` where the cluster that is asked for can't be used."""
    local = LocalSecrets(store, await asyncio.to_thread(_keys, settings))
    if settings.secrets_store == "local":
        yield Places(local, None)
        return
    cluster = KubernetesSecrets(await asyncio.to_thread(_access, settings), settings.integrations_secret_namespace)
    try:
        yield Places(local, cluster)
    finally:
        await cluster.aclose()


def _keys(settings: Settings) -> Keys:
    """Those that are set; else one that is made and kept, as the only process on its own data folder may.

    What the kept one sealed stays readable when another is set.
    """
    file = settings.data_dir / "credentials_key"
    given = [key.get_secret_value() for key in settings.credentials_key]
    made = settings.secrets_store == "local" and not given and not settings.lacks_credentials_key
    return Keys([*given, *([kept_secret(file)] if made or file.exists() else [])])


def _access(settings: Settings) -> ClusterAccess:
    environment = settings.environment
    if settings.integrations_kube_context is None:
        host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
        return from_service_account(host, port)
    named = [Path(part).expanduser() for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    return from_kubeconfig(named or [Path("~/.kube/config").expanduser()], settings.integrations_kube_context)
