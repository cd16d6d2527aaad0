"""Open a client for the controller of a call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from skyflo_tools.errors import ToolFailure
from skyflo_tools.jenkins.access import HINT
from skyflo_tools.jenkins.client import JenkinsClient
from skyflo_tools.tool import CallContext


@asynccontextmanager
async def open_jenkins(call: CallContext) -> AsyncIterator[JenkinsClient]:
    """Yield a client with cookies of its own, so that no session is shared between calls. Raises ToolFailure."""
    if call.jenkins is None:
        raise ToolFailure("no Jenkins is connected", code="not_configured", hint=HINT)
    client = JenkinsClient(call.jenkins)
    try:
        yield client
    finally:
        await client.aclose()
