"""Credentials as Kubernetes Secrets, by the API server's own REST: create, get and delete, each sent once.

A Secret of ours is immutable, has a name that is used once, and says in its labels whose it is. So there is nothing
to update, and a create whose reply was lost is found again by looking.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2
from pydantic import BaseModel, ConfigDict, ValidationError

from src.api.adapters.secrets.cluster import ClusterAccess
from src.api.errors import Conflict, CredentialsUnreadable, SecretsRefused, SecretsUnavailable
from src.api.schemas.base import JsonObject
from src.api.utils.canonical import canonical

__all__ = ["MANAGED", "OWNER", "KubernetesSecrets"]

MANAGED = {"app.kubernetes.io/managed-by": "skyflo-engine"}
OWNER = "skyflo.ai/integration"

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
MOST_BYTES = 4 * 1024 * 1024
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class _Metadata(_Lenient):
    name: str
    uid: str
    labels: dict[str, str] = {}


class _Secret(_Lenient):
    """What the API server says of a Secret."""

    metadata: _Metadata
    data: dict[str, str] = {}

    @property
    def is_ours(self) -> bool:
        return MANAGED.items() <= self.metadata.labels.items()

    def values(self) -> dict[str, str]:
        """Raises `ValueError` for what is no text in base64."""
        return {name: b64decode(value, validate=True).decode() for name, value in self.data.items()}


class _Lost(SecretsUnavailable):
    """The request went out, and no answer came back that says what became of it."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content: bytes

    def secret(self) -> _Secret:
        try:
            return _Secret.model_validate_json(self.content)
        except ValidationError:
            # Not `from`: a validation error may hold what it could not read.
            raise _Lost("The cluster gave an answer that can't be read. Try again.") from None


class KubernetesSecrets:
    """`Secrets` in one namespace. Its rights: the verbs create, get and delete on Secrets there."""

    def __init__(self, access: ClusterAccess, namespace: str) -> None:
        self._access = access
        self._namespace = namespace
        self._http = httpx2.AsyncClient(
            base_url=access.server,
            verify=access.tls,
            timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=4, max_keepalive_connections=1),
            follow_redirects=False,
            trust_env=False,
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    def ref(self, name: str) -> str:
        return f"{self._namespace}/{name}"

    async def put(self, name: str, owner: str, values: Mapping[str, str]) -> None:
        try:
            answer = await self._send("POST", _path(self._namespace), _manifest(name, owner, values))
        except _Lost:
            await self._look_after_loss(name, owner, values)
            return
        if answer.status == 409:
            await self._require_there(name, owner, values)
        elif answer.status != 201:
            raise self._refusal("create", answer.status)

    async def read(self, ref: str) -> Mapping[str, str]:
        found = await self._found(*_parts(ref))
        if found is None or not found.is_ours:
            raise CredentialsUnreadable(
                "The Secret that holds these credentials is gone, or is no longer ours. Send the credentials again."
            )
        try:
            return found.values()
        except ValueError:
            raise CredentialsUnreadable(
                "The Secret holds something else than text. Send the credentials again."
            ) from None

    async def remove(self, ref: str) -> None:
        namespace, name = _parts(ref)
        found = await self._found(namespace, name)
        if found is None or not found.is_ours:
            return
        wanted: JsonObject = {"preconditions": {"uid": found.metadata.uid}}
        answer = await self._send("DELETE", f"{_path(namespace)}/{name}", wanted)
        if answer.status not in (200, 202, 404, 409):  # 409: another Secret has that name by now
            raise self._refusal("delete", answer.status)

    async def check(self) -> None:
        """Asks for a Secret that is not there: the answer tells whether the engine may look."""
        await self._found(self._namespace, "skyflo-health")

    async def _look_after_loss(self, name: str, owner: str, values: Mapping[str, str]) -> None:
        """That looking is refused does not say that the create was."""
        try:
            await self._require_there(name, owner, values)
        except SecretsRefused as error:
            raise SecretsUnavailable(error.detail) from error

    async def _require_there(self, name: str, owner: str, values: Mapping[str, str]) -> None:
        """What a create left behind, whose answer was lost or says that something is there."""
        found = await self._found(self._namespace, name)
        if found is None:
            raise SecretsUnavailable("The cluster did not say whether it keeps the credentials. Try again.")
        ours = found.is_ours and found.metadata.labels.get(OWNER) == owner
        if not ours or found.data != _encoded(values):
            raise Conflict(f"There is a Secret {name} in {self._namespace} that is not this integration's. It stays.")

    async def _found(self, namespace: str, name: str) -> _Secret | None:
        path = f"{_path(namespace)}/{name}"
        try:
            answer = await self._send("GET", path)
        except _Lost:
            answer = await self._send("GET", path)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise self._refusal("get", answer.status)
        return answer.secret()

    async def _send(self, method: str, path: str, body: JsonObject | None = None) -> _Answer:
        """One request, once. Raises `_Lost` where it may have been carried out, `SecretsRefused` where it was not."""
        headers = {"Accept": "application/json", "User-Agent": "skyflo-engine"}
        if authorization := self._access.authorization():
            headers["Authorization"] = authorization
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = canonical(body).encode() if body is not None else None
        try:
            async with self._http.stream(method, path, content=content, headers=headers) as response:
                answer = _Answer(response.status_code, await _bounded(response))
        except _NEVER_SENT as error:
            raise SecretsRefused(
                "The cluster that keeps the credentials can't be reached. Check that it is up."
            ) from error
        except httpx2.TransportError as error:
            raise _Lost("The cluster that keeps the credentials did not answer. Try again.") from error
        if answer.status >= 500:
            raise _Lost(f"The cluster that keeps the credentials failed with status {answer.status}. Try again.")
        return answer

    def _refusal(self, verb: str, status: int) -> SecretsUnavailable:
        where = f"Secrets in the namespace {self._namespace}"
        told = {
            401: "The cluster does not accept the engine's token or certificate. Renew it.",
            403: f"The engine may not {verb} {where}. Give it the Role of docs/operations.md.",
            404: f"The namespace {self._namespace} is not there. Make it, or set INTEGRATIONS_SECRET_NAMESPACE.",
        }
        return SecretsRefused(told.get(status, f"The cluster refused to {verb} {where} with status {status}."))


async def _bounded(response: httpx2.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MOST_BYTES:
            raise _Lost("The cluster gave an answer that is too long to be a Secret.")
    return bytes(content)


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets"


def _parts(ref: str) -> tuple[str, str]:
    namespace, _, name = ref.partition("/")
    return namespace, name


def _encoded(values: Mapping[str, str]) -> dict[str, str]:
    return {name: b64encode(value.encode()).decode() for name, value in values.items()}


def _manifest(name: str, owner: str, values: Mapping[str, str]) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "immutable": True,
        "metadata": {"name": name, "labels": {**MANAGED, OWNER: owner}},
        "data": {**_encoded(values)},
    }
