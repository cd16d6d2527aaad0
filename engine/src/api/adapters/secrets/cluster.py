"""Find the API server that stores the engine's Secrets: the pod's service account, or a kubeconfig context."""

import os
import ssl
import tempfile
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from src.api.errors import SecretsRefused

__all__ = ["SERVICE_ACCOUNT", "ClusterAccess", "read_kubeconfig", "read_service_account"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """An API server and the engine's credentials. A token file is read for each request, because it is rotated."""

    server: str
    tls: ssl.SSLContext
    token: str = field(default="", repr=False)
    token_file: Path | None = None

    def authorization(self) -> str:
        """Return the Authorization header; empty with a client certificate. Raises `SecretsRefused`."""
        token = self.token
        if self.token_file is not None:
            try:
                token = self.token_file.read_text().strip()
            except OSError as error:
                raise SecretsRefused("The engine's token for the cluster can't be read.") from error
        return f"Bearer {token}" if token else ""


def read_service_account(host: str, port: str, folder: Path = SERVICE_ACCOUNT) -> ClusterAccess:
    """Read the pod's service account. Raises `SecretsRefused` if none is mounted."""
    address = f"[{host}]" if ":" in host else host
    try:
        tls = ssl.create_default_context(cafile=folder / "ca.crt")
    except OSError as error:
        raise SecretsRefused(
            "No service account is mounted in this pod. Mount one, or set INTEGRATIONS_SECRETS=local."
        ) from error
    return ClusterAccess(f"https://{address}:{port}", tls, token_file=folder / "token")


class _KubeconfigModel(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class _Cluster(_KubeconfigModel):
    server: str = Field(pattern=r"^https?://[^\s@]+$")
    ca_file: str = Field(default="", alias="certificate-authority")
    ca_data: str = Field(default="", alias="certificate-authority-data")
    insecure: bool = Field(default=False, alias="insecure-skip-tls-verify")


class _User(_KubeconfigModel):
    token: str = Field(default="", repr=False)
    token_file: str = Field(default="", alias="tokenFile")
    certificate: str = Field(default="", alias="client-certificate")
    certificate_data: str = Field(default="", alias="client-certificate-data", repr=False)
    key: str = Field(default="", alias="client-key")
    key_data: str = Field(default="", alias="client-key-data", repr=False)


class _Context(_KubeconfigModel):
    cluster: str
    user: str = ""


class _NamedCluster(_KubeconfigModel):
    name: str
    cluster: _Cluster


class _NamedUser(_KubeconfigModel):
    name: str
    user: _User = _User()


class _NamedContext(_KubeconfigModel):
    name: str
    context: _Context


class _Kubeconfig(_KubeconfigModel):
    clusters: list[_NamedCluster] = []
    users: list[_NamedUser] = []
    contexts: list[_NamedContext] = []


def read_kubeconfig(paths: Sequence[Path], context: str) -> ClusterAccess:
    """Read the context from the first file that has it. Raises `SecretsRefused`.

    Tokens, token files and client certificates work. Exec plugins don't: a service should have its own token.
    """
    for path in paths:
        file = _read_file(path)
        chosen = next((one.context for one in file.contexts if one.name == context), None)
        if chosen is None:
            continue
        cluster = next((one.cluster for one in file.clusters if one.name == chosen.cluster), None)
        user = next((one.user for one in file.users if one.name == chosen.user), None)
        if cluster is None or user is None:
            break
        return _build_access(cluster, user, path.parent)
    raise SecretsRefused(
        f"KUBECONFIG has no complete context {context}. Set INTEGRATIONS_KUBE_CONTEXT to one that it has."
    )


def _read_file(path: Path) -> _Kubeconfig:
    try:
        return _Kubeconfig.model_validate(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader) or {})
    except FileNotFoundError:
        return _Kubeconfig()
    except (OSError, ValueError, yaml.YAMLError, ValidationError):
        # No `from`: the cause would quote the file.
        raise SecretsRefused("A file that KUBECONFIG names can't be read as a kubeconfig. Check it.") from None


def _build_access(cluster: _Cluster, user: _User, folder: Path) -> ClusterAccess:
    certificate = bool(user.certificate or user.certificate_data)
    if not (user.token or user.token_file or certificate):
        raise SecretsRefused(
            "The context in INTEGRATIONS_KUBE_CONTEXT has neither a token nor a client certificate. Give the "
            "engine a service account's token."
        )
    try:
        tls = _tls_context(cluster, folder)
        if certificate:
            _load_certificate(tls, user, folder)
    except (OSError, ValueError) as error:
        raise SecretsRefused("The certificates of the kubeconfig can't be used. Check them.") from error
    return ClusterAccess(cluster.server, tls, user.token, folder / user.token_file if user.token_file else None)


def _tls_context(cluster: _Cluster, folder: Path) -> ssl.SSLContext:
    data = b64decode(cluster.ca_data).decode() or None
    file = folder / cluster.ca_file if cluster.ca_file and data is None else None
    tls = ssl.create_default_context(cafile=file, cadata=data)
    if cluster.insecure:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return tls


def _load_certificate(tls: ssl.SSLContext, user: _User, folder: Path) -> None:
    if not user.certificate_data:
        tls.load_cert_chain(folder / user.certificate, folder / user.key if user.key else None)
        return
    with tempfile.TemporaryDirectory(prefix="skyflo-") as private:  # ssl loads certificates from files only
        file = Path(private) / "client.pem"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(b64decode(user.certificate_data) + b"\n" + b64decode(user.key_data))
        tls.load_cert_chain(file)
