"""Who we are to an API server: static credentials, rotated token files, credential plugins.

A credential is made ready before a request is sent, so that no request ever has to be sent again with a better one.
"""

import asyncio
import base64
import json
import os
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skyflo_tools.clock import Clock
from skyflo_tools.errors import ClusterProblem
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
    """The Authorization header of one connection."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._header = ""
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def header(self) -> str:
        """The header's value, or an empty string for a client certificate. Raises ClusterProblem."""
        async with self._lock:
            if self._clock.now() >= self._until:
                self._header, self._until = await self._fresh()
            return self._header

    def forget(self) -> None:
        """Called when the API server no longer accepts it: the next request asks anew."""
        self._until = 0.0

    def secret(self) -> str:
        """What must never be shown."""
        return self._header.partition(" ")[2]

    async def _fresh(self) -> tuple[str, float]:
        user, now = self._connection.user, self._clock.now()
        if user.exec_info is not None:
            return await self._from_plugin(user.exec_info)
        if user.token_file:
            return f"Bearer {_read_token(user.token_file)}", now + TOKEN_FILE_SECONDS
        if user.token:
            return f"Bearer {user.token}", float("inf")
        if user.username:
            pair = f"{user.username}:{user.password}".encode()
            return f"Basic {base64.b64encode(pair).decode()}", float("inf")
        return "", float("inf")

    async def _from_plugin(self, plugin: ExecInfo) -> tuple[str, float]:
        if plugin.api_version not in EXEC_VERSIONS:
            raise ClusterProblem(f"the credential plugin {plugin.command} speaks {plugin.api_version}, unknown here")
        answer = await _run_plugin(plugin, self._connection)
        try:
            status = _ExecCredential.model_validate_json(answer).status
        except ValidationError as error:
            raise ClusterProblem(f"the credential plugin {plugin.command} printed no ExecCredential") from error
        if not status.token:
            raise ClusterProblem(
                f"the credential plugin {plugin.command} gave no token (certificates are not supported)"
            )
        until = status.expires.timestamp() - EXPIRY_MARGIN if status.expires else float("inf")
        return f"Bearer {status.token}", until


def _read_token(name: str) -> str:
    try:
        return Path(name).read_text().strip()
    except OSError as error:
        raise ClusterProblem(f"the token file {name} can't be read: {error.strerror}") from error


async def _run_plugin(plugin: ExecInfo, connection: Connection) -> bytes:
    """Runs the program that the user's own kubeconfig names, by an argument list: there is no shell."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SKYFLO_")}
    environment = ours | {variable.name: variable.value for variable in plugin.env or []}
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
        raise ClusterProblem(f"the credential plugin {plugin.command} can't be started", hint=hint) from error
    try:
        output, _ = await asyncio.wait_for(process.communicate(), EXEC_SECONDS)
    except TimeoutError as error:
        raise ClusterProblem(f"the credential plugin {plugin.command} took over {EXEC_SECONDS:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise ClusterProblem(f"the credential plugin {plugin.command} ended with code {process.returncode}")
    return output


def _exec_info(plugin: ExecInfo, connection: Connection) -> str:
    spec: dict[str, object] = {"interactive": False}
    if plugin.provide_cluster_info:
        spec["cluster"] = {
            "server": connection.cluster.server,
            "certificate-authority-data": connection.cluster.certificate_authority_data,
        }
    return json.dumps({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec})
