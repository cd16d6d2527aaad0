"""Call the Jenkins tools as the engine does: with the controller's address and credentials, encrypted for each call."""

import base64
import json
import os
import time
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from jsonschema import Draft202012Validator
from tool_client import KEY, CallResult, ToolClient, grant_claims, sign_token

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_tools.grants.claims import GRANT_META, args_sha256
from skyflo_tools.jenkins.access import CREDENTIALS_META, bind_to_call, derive_key


def encrypt_credentials(
    tool: str, arguments: JsonObject, address: str, token: str, key: str = KEY, seconds: float = 15
) -> str:
    given = {"api_url": address, "username": "alice", "api_token": token, "exp": time.time() + seconds}
    nonce = os.urandom(12)
    bound_to = bind_to_call(tool, args_sha256(arguments))
    sealed = AESGCM(derive_key(key)).encrypt(nonce, json.dumps(given).encode(), bound_to)
    return base64.urlsafe_b64encode(nonce + sealed).decode()


@dataclass
class JenkinsTools:
    """A tool client for one controller. `token` is an API token or a password."""

    client: ToolClient
    address: str
    token: str
    _schemas: dict[str, JsonObject] = field(default_factory=dict)

    async def call(self, tool: str, arguments: JsonObject, meta: JsonObject | None = None) -> CallResult:
        """Call a tool; a result must fit the published schema."""
        sealed = encrypt_credentials(tool, arguments, self.address, self.token)
        result = await self.client.call(tool, arguments, {CREDENTIALS_META: sealed} | (meta or {}))
        if not result.is_error:
            Draft202012Validator(await self._output_schema(tool)).validate(result.data)
        return result

    async def _output_schema(self, tool: str) -> JsonObject:
        if not self._schemas:
            self._schemas |= {each.name: each.output_schema or {} for each in await self.client.client.list_tools()}
        return self._schemas[tool]

    async def read(self, tool: str, /, **arguments: JsonValue) -> CallResult:
        result = await self.call(tool, arguments)
        assert not result.is_error, result.text
        return result

    async def preview(self, tool: str, arguments: JsonObject) -> JsonObject:
        return (await self.read(f"{tool}__preview", **arguments)).data

    async def run(self, tool: str, arguments: JsonObject, preview: JsonObject, **claims: JsonValue) -> CallResult:
        """Execute a previewed change with a grant of its own."""
        grant = sign_token(grant_claims(tool, arguments, preview["preconditions"], **claims))
        return await self.call(tool, arguments, {GRANT_META: grant})

    async def change(self, tool: str, arguments: JsonObject) -> CallResult:
        """Preview and execute a change, which must succeed."""
        result = await self.run(tool, arguments, await self.preview(tool, arguments))
        assert not result.is_error, result.text
        return result
