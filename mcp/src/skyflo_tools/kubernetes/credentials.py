"""Credentials for an API server: static, token file or credential plugin.

They are refreshed before a request is sent, so that no request has to be repeated because of an expired token.
"""

import asyncio
import base64
import json
import os
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skyflo_common.clock import Clock
from skyflo_tools.errors import ClusterError
from skyflo_tools.kubernetes.kubeconfig import Connection, ExecInfo

TOKEN_FILE_SECONDS = 60.0
EXEC_SECONDS = 30.0
EXPIRY_MARGIN = 60.0
EXEC_VERSIONS = frozenset(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))


class _ExecStatus(BaseModel):
    model_config = ConfigDict(extra="ignore")

    token: str = Field(default="", repr=False)
    expires: datetime | None = Field(default=None, alias="expirationTimestamp")


class _ExecCredential(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: _ExecStatus


class Credentials:
    """The Authorization header of one connection, cached until it expires."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._header = ""
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def header(self) -> str:
        """Return the header's value, or an empty string if a client certificate is used. Raises ClusterError."""
        async with self._lock:
            if self._clock.now() / 1000 >= self._until:
                self._header, self._until = await self._load()
            return self._header

    def invalidate(self) -> None:
        """Discard the cached credential after the API server rejected it; the next request loads a new one."""
        self._until = 0.0

    def secret(self) -> str:
        """Return the token without its scheme, for redaction."""
        return self._header.partition(" ")[2]

    async def _load(self) -> tuple[str, float]:
        user, now = self._connection.user, self._clock.now() / 1000
        if user.exec_info is not None:
            return await self._load_from_plugin(user.exec_info)
        if user.token_file:
            return f"Bearer {_read_token(user.token_file)}", now + TOKEN_FILE_SECONDS
        if user.token:
            return f"Bearer {user.token}", float("inf")
        if user.username:
            pair = f"{user.username}:{user.password}".encode()
            return f"Basic {base64.b64encode(pair).decode()}", float("inf")
        return "", float("inf")

    async def _load_from_plugin(self, plugin: ExecInfo) -> tuple[str, float]:
        if plugin.api_version not in EXEC_VERSIONS:
            raise ClusterError(
                f"the credential plugin {plugin.command} uses {plugin.api_version}, which is not supported"
            )
        credential = await _run_plugin(plugin, self._connection)
        try:
            status = _ExecCredential.model_validate_json(credential).status
        except ValidationError as error:
            raise ClusterError(f"the credential plugin {plugin.command} printed no ExecCredential") from error
        if not status.token:
            raise ClusterError(
                f"the credential plugin {plugin.command} returned no token (certificates are not supported)"
            )
        until = status.expires.timestamp() - EXPIRY_MARGIN if status.expires else float("inf")
        return f"Bearer {status.token}", until


def _read_token(name: str) -> str:
    try:
        return Path(name).read_text().strip()
    except OSError as error:
        raise ClusterError(f"the token file {name} can't be read: {error.strerror}") from error


async def _run_plugin(plugin: ExecInfo, connection: Connection) -> bytes:
    """Run the credential plugin from the user's kubeconfig, without a shell. Returns its standard output.

    Raises ClusterError if it fails or does not finish within 30 seconds.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SKYFLO_")}
    environment = inherited | {variable.name: variable.value for variable in plugin.env or []}
    environment["KUBERNETES_EXEC_INFO"] = _exec_info(plugin, connection)
    try:
        process = await asyncio.create_subprocess_exec(
            plugin.command,
            *(plugin.args or []),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        hint = plugin.install_hint[:500]
        raise ClusterError(f"the credential plugin {plugin.command} can't be started", hint=hint) from error
    try:
        output, _ = await asyncio.wait_for(process.communicate(), EXEC_SECONDS)
    except TimeoutError as error:
        raise ClusterError(
            f"the credential plugin {plugin.command} did not finish within {EXEC_SECONDS:.0f} s"
        ) from error
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise ClusterError(f"the credential plugin {plugin.command} exited with code {process.returncode}")
    return output


def _exec_info(plugin: ExecInfo, connection: Connection) -> str:
    spec: dict[str, object] = {"interactive": False}
    if plugin.provide_cluster_info:
        spec["cluster"] = {
            "server": connection.cluster.server,
            "certificate-authority-data": connection.cluster.certificate_authority_data,
        }
    return json.dumps({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec})
