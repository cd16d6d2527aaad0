"""Store credentials as Kubernetes Secrets through the API server's REST API: create, get and delete.

Our Secrets are immutable, have a name that is used once, and carry their owner as a label. So nothing is ever updated,
and after a create without a response a get shows whether it succeeded.
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
RESPONSE_SECONDS = 10.0
MAX_RESPONSE_BYTES = 4 * 1024 * 1024
_NOT_SENT_ERRORS = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class _ApiModel(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class _Metadata(_ApiModel):
    name: str
    uid: str
    labels: dict[str, str] = {}


class _Secret(_ApiModel):
    """A Secret as the API server returns it."""

    metadata: _Metadata
    data: dict[str, str] = {}

    @property
    def is_ours(self) -> bool:
        return MANAGED.items() <= self.metadata.labels.items()

    def values(self) -> dict[str, str]:
        """Decode the data. Raises `ValueError` if it is not base64 of text."""
        return {name: b64decode(value, validate=True).decode() for name, value in self.data.items()}


class _UnknownOutcome(SecretsUnavailable):
    """The request was sent, and no response shows its result."""


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    content: bytes

    def secret(self) -> _Secret:
        try:
            return _Secret.model_validate_json(self.content)
        except ValidationError:
            # No `from`: a validation error may quote its input.
            raise _UnknownOutcome("The cluster's response can't be read. Try again.") from None


class KubernetesSecrets:
    """`Secrets` in one namespace. It needs the verbs create, get and delete on Secrets there."""

    def __init__(self, access: ClusterAccess, namespace: str) -> None:
        self._access = access
        self._namespace = namespace
        self._http = httpx2.AsyncClient(
            base_url=access.server,
            verify=access.tls,
            timeout=httpx2.Timeout(RESPONSE_SECONDS, connect=CONNECT_SECONDS),
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
        except _UnknownOutcome:
            await self._confirm_unknown_create(name, owner, values)
            return
        if answer.status == 409:
            await self._check_created(name, owner, values)
        elif answer.status != 201:
            raise self._refusal("create", answer.status)

    async def read(self, ref: str) -> Mapping[str, str]:
        found = await self._get(*_split_ref(ref))
        if found is None or not found.is_ours:
            raise CredentialsUnreadable(
                "The Secret that holds these credentials is gone, or is no longer ours. Send the credentials again."
            )
        try:
            return found.values()
        except ValueError:
            raise CredentialsUnreadable(
                "The Secret contains something other than text. Send the credentials again."
            ) from None

    async def remove(self, ref: str) -> None:
        namespace, name = _split_ref(ref)
        found = await self._get(namespace, name)
        if found is None or not found.is_ours:
            return
        body: JsonObject = {"preconditions": {"uid": found.metadata.uid}}
        answer = await self._send("DELETE", f"{_path(namespace)}/{name}", body)
        if answer.status not in (200, 202, 404, 409):  # 409: another Secret has taken that name
            raise self._refusal("delete", answer.status)

    async def check(self) -> None:
        """Get a Secret that does not exist: the status shows whether the engine may read there."""
        await self._get(self._namespace, "skyflo-health")

    async def _confirm_unknown_create(self, name: str, owner: str, values: Mapping[str, str]) -> None:
        """Check whether a create without a response succeeded. A refused get leaves that unknown."""
        try:
            await self._check_created(name, owner, values)
        except SecretsRefused as error:
            raise SecretsUnavailable(error.detail) from error

    async def _check_created(self, name: str, owner: str, values: Mapping[str, str]) -> None:
        """Check that the Secret under this name is the one that we created."""
        found = await self._get(self._namespace, name)
        if found is None:
            raise SecretsUnavailable("The cluster did not confirm that it stored the credentials. Try again.")
        ours = found.is_ours and found.metadata.labels.get(OWNER) == owner
        if not ours or found.data != _encode(values):
            raise Conflict(
                f"There is a Secret {name} in {self._namespace} that belongs to something else. It was not changed."
            )

    async def _get(self, namespace: str, name: str) -> _Secret | None:
        path = f"{_path(namespace)}/{name}"
        try:
            answer = await self._send("GET", path)
        except _UnknownOutcome:
            answer = await self._send("GET", path)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise self._refusal("get", answer.status)
        return answer.secret()

    async def _send(self, method: str, path: str, body: JsonObject | None = None) -> _Response:
        """Send one request once.

        Raises `_UnknownOutcome` if the server may have carried it out, `SecretsRefused` if it was never sent.
        """
        headers = {"Accept": "application/json", "User-Agent": "skyflo-engine"}
        if authorization := self._access.authorization():
            headers["Authorization"] = authorization
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = canonical(body).encode() if body is not None else None
        try:
            async with self._http.stream(method, path, content=content, headers=headers) as response:
                answer = _Response(response.status_code, await _read_bounded(response))
        except _NOT_SENT_ERRORS as error:
            raise SecretsRefused(
                "The cluster that stores the credentials can't be reached. Check that it is up."
            ) from error
        except httpx2.TransportError as error:
            raise _UnknownOutcome("The cluster that stores the credentials did not answer. Try again.") from error
        if answer.status >= 500:
            raise _UnknownOutcome(
                f"The cluster that stores the credentials failed with status {answer.status}. Try again."
            )
        return answer

    def _refusal(self, verb: str, status: int) -> SecretsUnavailable:
        where = f"Secrets in the namespace {self._namespace}"
        reasons = {
            401: "The cluster does not accept the engine's token or certificate. Renew it.",
            403: f"The engine may not {verb} {where}. Give it the Role of docs/operations.md.",
            404: f"The namespace {self._namespace} does not exist. Create it, or set INTEGRATIONS_SECRET_NAMESPACE.",
        }
        return SecretsRefused(reasons.get(status, f"The cluster refused to {verb} {where} with status {status}."))


async def _read_bounded(response: httpx2.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_RESPONSE_BYTES:
            raise _UnknownOutcome("The cluster's response is too large for a Secret.")
    return bytes(content)


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets"


def _split_ref(ref: str) -> tuple[str, str]:
    namespace, _, name = ref.partition("/")
    return namespace, name


def _encode(values: Mapping[str, str]) -> dict[str, str]:
    return {name: b64encode(value.encode()).decode() for name, value in values.items()}


def _manifest(name: str, owner: str, values: Mapping[str, str]) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "immutable": True,
        "metadata": {"name": name, "labels": {**MANAGED, OWNER: owner}},
        "data": {**_encode(values)},
    }
