"""Send requests to a Jenkins controller: JSON reads, changes with a crumb, and errors as facts.

No request is repeated by itself, except a change that Jenkins refused for its crumb: that one had no effect.
"""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.effects import EffectTracker
from skyflo_tools.errors import ToolFailure
from skyflo_tools.http import read_bounded, tls_context
from skyflo_tools.jenkins.access import JenkinsAccess
from skyflo_tools.shortening import one_line

CONNECT_SECONDS = 10.0
READ_SECONDS = 20.0
MAX_BYTES = 8 * 1024 * 1024
MAX_ERROR_CHARACTERS = 300
_NEVER_ACTED = frozenset({400, 401, 403, 404, 405, 409, 422})
"""Answers to a change that Jenkins gives before it does anything."""
_REDIRECTS = frozenset({302, 303})

Files = Mapping[str, tuple[str, bytes]]
ModelT = TypeVar("ModelT", bound=BaseModel)


class JenkinsRefused(ToolFailure):
    """Jenkins answered with an error status."""

    code = "jenkins_refused"

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class JenkinsUnreachable(ToolFailure):
    """No answer, or none that can be read. `sent` is false only if no connection was made."""

    code = "jenkins_unreachable"

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message, hint="check that Jenkins runs and can be reached from the tool server")
        self.sent = sent


@dataclass(frozen=True)
class Reply:
    """An answer whose body was read within the bound."""

    status: int
    headers: httpx2.Headers
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")


@dataclass
class JenkinsClient:
    """A client for one call. Its cookies hold the session that a crumb is bound to."""

    access: JenkinsAccess
    _http: httpx2.AsyncClient | None = field(default=None, repr=False)

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def read(self, model: type[ModelT], path: str, tree: str) -> ModelT:
        """Read the JSON of a path, of which `tree` chooses the fields."""
        reply = await self.get(f"{path}api/json", {"tree": tree})
        try:
            return model.model_validate(json.loads(reply.body))
        except (ValueError, ValidationError) as error:
            raise JenkinsUnreachable(f"{self.access.api_url} does not answer as Jenkins does", sent=True) from error

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Reply:
        reply = await self._send("GET", path, params=params)
        if reply.status != 200:
            raise self._refusal(reply, path)
        return reply

    async def change(
        self, path: str, effects: EffectTracker, form: Mapping[str, str] | None = None, files: Files | None = None
    ) -> Reply:
        """Send one change with a crumb. A redirect is a success, and is not followed.

        Counts the effect: none if Jenkins refused it or was not reached, unknown if its answer is missing.
        """
        crumb = await self._read_crumb()
        effects.begin()
        reply = await self._send_change(path, effects, crumb, form, files)
        if reply.status == 403 and "valid crumb" in reply.text:  # the session was lost, as by a restart
            reply = await self._send_change(path, effects, await self._read_crumb(), form, files)
        if reply.status < 300 or reply.status in _REDIRECTS:
            effects.settle("done")
            return reply
        if reply.status in _NEVER_ACTED:
            effects.settle("none")
        raise self._refusal(reply, path)

    async def _send_change(
        self,
        path: str,
        effects: EffectTracker,
        crumb: Mapping[str, str],
        form: Mapping[str, str] | None,
        files: Files | None,
    ) -> Reply:
        try:
            return await self._send("POST", path, headers=crumb, form=form, files=files)
        except JenkinsUnreachable as error:
            if not error.sent:
                effects.settle("none")
            raise

    async def _read_crumb(self) -> Mapping[str, str]:
        """Return the header that protects a change against forgery; empty where Jenkins wants none."""
        reply = await self._send("GET", "crumbIssuer/api/json")
        if reply.status == 404:
            return {}
        if reply.status != 200:
            raise self._refusal(reply, "crumbIssuer/")
        try:
            crumb: JsonObject = json.loads(reply.body)
            return {str(crumb["crumbRequestField"]): str(crumb["crumb"])}
        except (ValueError, KeyError, TypeError) as error:
            raise JenkinsUnreachable(f"{self.access.api_url} does not answer as Jenkins does", sent=True) from error

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        files: Files | None = None,
    ) -> Reply:
        async with self._open(method, path, params=params, headers=headers, data=form, files=files) as response:
            return await self._read_body(response, path)

    @asynccontextmanager
    async def stream(self, path: str, params: Mapping[str, str]) -> AsyncIterator[httpx2.Response]:
        """Open a read whose body the caller reads, as far as it wants. Raises JenkinsRefused for an error status."""
        async with self._open("GET", path, params=params) as response:
            if response.status_code != 200:
                raise self._refusal(await self._read_body(response, path), path)
            yield response

    async def _read_body(self, response: httpx2.Response, path: str) -> Reply:
        body = await read_bounded(response, MAX_BYTES)
        if body is None:
            raise JenkinsUnreachable(f"the answer to {path} is larger than {MAX_BYTES} bytes", sent=True)
        return Reply(response.status_code, response.headers, body)

    @asynccontextmanager
    async def _open(self, method: str, path: str, **options: Any) -> AsyncIterator[httpx2.Response]:
        try:
            async with self._client().stream(method, f"{self.access.api_url}/{path}", **options) as response:
                yield response
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise JenkinsUnreachable(f"{self.access.api_url} can't be reached: {error}", sent=False) from error
        except httpx2.HTTPError as error:
            why = str(error) or type(error).__name__
            raise JenkinsUnreachable(f"{self.access.api_url} did not answer: {why}", sent=True) from error

    def _client(self) -> httpx2.AsyncClient:
        if self._http is None:
            basic = base64.b64encode(f"{self.access.username}:{self.access.api_token}".encode()).decode()
            self._http = httpx2.AsyncClient(
                headers={"Authorization": f"Basic {basic}"},
                verify=tls_context(),
                timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
                follow_redirects=False,
                trust_env=False,
            )
        return self._http

    def _refusal(self, reply: Reply, path: str) -> JenkinsRefused:
        """Describe an error status in a sentence with its next step."""
        user, status = self.access.username, reply.status
        if status == 401:
            message, hint = f"Jenkins refuses {user}: its API token is wrong or was revoked", "an admin renews it"
        elif status == 403:
            needed = reply.headers.get("X-Required-Permission", "")
            message = f"Jenkins forbids {user} to use {path}" + (f" (needs {needed})" if needed else "")
            hint = "an admin of Jenkins may give the permission"
        elif status == 404:
            message = f"Jenkins has no {path}, or {user} may not see it"
            hint = "list with jenkins_get_jobs; an item's own slash is written %2F"
        elif status == 503:
            message, hint = "Jenkins is starting or shutting down", "try again in a minute"
        elif status in _REDIRECTS:
            message, hint = f"Jenkins redirects {path}", "the address of the integration may not be that of Jenkins"
        else:
            message, hint = f"Jenkins answers {status}: {_first_words(reply)}", ""
        return JenkinsRefused(message, status=status, hint=hint)


def _first_words(reply: Reply) -> str:
    """Return the words of an error page, without its markup."""
    words = [part.rpartition(">")[2] for part in reply.text[: MAX_ERROR_CHARACTERS * 10].split("<")]
    return one_line(" ".join(" ".join(words).split()), MAX_ERROR_CHARACTERS)
