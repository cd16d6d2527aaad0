"""Build the credential store that the settings describe."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from src.api.adapters.secrets.cluster import ClusterAccess, read_kubeconfig, read_service_account
from src.api.adapters.secrets.encryption import EncryptionKeys
from src.api.adapters.secrets.kubernetes import KubernetesSecrets
from src.api.adapters.secrets.local import LocalSecrets
from src.api.adapters.secrets.router import SecretsRouter
from src.api.config.secret_keys import load_or_create_secret
from src.api.config.settings import Settings
from src.api.ports import Secrets, Store

__all__ = ["open_secrets"]


@asynccontextmanager
async def open_secrets(settings: Settings, store: Store) -> AsyncIterator[Secrets]:
    """Open the credential store. Raises `SecretsRefused` if the configured cluster can't be used."""
    local = LocalSecrets(store, await asyncio.to_thread(_load_keys, settings))
    if settings.secrets_store == "local":
        yield SecretsRouter(local, None)
        return
    cluster = KubernetesSecrets(
        await asyncio.to_thread(_cluster_access, settings), settings.integrations_secret_namespace
    )
    try:
        yield SecretsRouter(local, cluster)
    finally:
        await cluster.aclose()


def _load_keys(settings: Settings) -> EncryptionKeys:
    """Return the configured keys, and the generated one if this process may have one.

    Only a single process on its own data folder generates a key. Once generated, it stays usable for decryption.
    """
    file = settings.data_dir / "credentials_key"
    given = [key.get_secret_value() for key in settings.credentials_key]
    may_create = settings.secrets_store == "local" and not given and not settings.lacks_credentials_key
    return EncryptionKeys([*given, *([load_or_create_secret(file)] if may_create or file.exists() else [])])


def _cluster_access(settings: Settings) -> ClusterAccess:
    environment = settings.environment
    if settings.integrations_kube_context is None:
        host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
        return read_service_account(host, port)
    named = [Path(part).expanduser() for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    return read_kubeconfig(named or [Path("~/.kube/config").expanduser()], settings.integrations_kube_context)
