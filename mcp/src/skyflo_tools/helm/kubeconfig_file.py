"""Write a kubeconfig for helm: one cluster, credentials that are already resolved, and the user to impersonate."""

import asyncio
import base64
import json
import os

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.helm.binary import HelmFolder
from skyflo_tools.kubernetes.client import Identity
from skyflo_tools.kubernetes.clusters import Cluster

CONTEXT = "cluster"


async def write_kubeconfig(folder: HelmFolder, cluster: Cluster, namespace: str, identity: Identity | None) -> None:
    """Write the file that only this user may read. Raises ClusterError if the credentials can't be loaded."""
    connection = cluster.client.connection
    info = connection.cluster
    target: JsonObject = {
        "server": info.server,
        "insecure-skip-tls-verify": info.insecure_skip_tls_verify,
        "certificate-authority": info.certificate_authority,
        "certificate-authority-data": info.certificate_authority_data,
        "tls-server-name": info.tls_server_name,
        "proxy-url": info.proxy_url,
    }
    if info.insecure_skip_tls_verify:  # client-go refuses both together
        target |= {"certificate-authority": "", "certificate-authority-data": ""}
    user = _credentials(await cluster.client.credentials.header()) or {
        "client-certificate": connection.user.client_certificate,
        "client-certificate-data": connection.user.client_certificate_data,
        "client-key": connection.user.client_key,
        "client-key-data": connection.user.client_key_data,
    }
    body: JsonObject = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": {key: value for key, value in target.items() if value}}],
        "users": [{"name": CONTEXT, "user": {**_without_empty(user), **_impersonation(identity)}}],
        "contexts": [
            {"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": namespace}},
        ],
    }
    folder.kubeconfig = folder.path / "kubeconfig"
    await asyncio.to_thread(_write_private, str(folder.kubeconfig), json.dumps(body))


def _credentials(header: str) -> JsonObject:
    """Return what an Authorization header stands for. A plugin's token is in it, so helm starts no plugin."""
    scheme, _, value = header.partition(" ")
    if scheme == "Bearer":
        return {"token": value}
    if scheme == "Basic":
        name, _, password = base64.b64decode(value).decode().partition(":")
        return {"username": name, "password": password}
    return {}


def _impersonation(identity: Identity | None) -> JsonObject:
    if identity is None or not identity.user:
        return {}
    extra: JsonObject = {"as-user-extra": {"approval": [identity.approval]}} if identity.approval else {}
    return {"as": identity.user, "as-groups": [*identity.groups], **extra}


def _without_empty(user: JsonObject) -> JsonObject:
    return {key: value for key, value in user.items() if value}


def _write_private(name: str, text: str) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
