"""A command is sent once, and what is known about its end is said."""

from collections.abc import AsyncIterator

import pytest
from exec_server import End, ExecServer, open_exec_server

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.effects import EffectTracker
from skyflo_tools.errors import Effect, ToolFailure
from skyflo_tools.kubernetes.client import ApiRequest
from skyflo_tools.kubernetes.exec_stream import CommandEnd, run_command
from skyflo_tools.output_tail import OutputTail

REQUEST = ApiRequest("GET", "/api/v1/namespaces/n/pods/p/exec?container=app&command=a+b", accept="*/*")
EXITED: JsonObject = {
    "status": "Failure",
    "reason": "NonZeroExitCode",
    "message": "command terminated with non-zero exit code",
    "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
}
NOT_STARTED: JsonObject = {"status": "Failure", "message": 'unable to start container process: exec: "x": not found'}
BROKEN: JsonObject = {"status": "Failure", "message": "error reading from the runtime"}


@pytest.fixture
async def server() -> AsyncIterator[ExecServer]:
    async with open_exec_server() as running:
        yield running


async def run(server: ExecServer, effects: EffectTracker, seconds: float = 30) -> CommandEnd:
    client = server.connect()
    try:
        return await effects.attempt(run_command(client, REQUEST, None, seconds))
    finally:
        await client.aclose()


@pytest.mark.parametrize(("status", "code"), [({"status": "Success"}, 0), (EXITED, 7)])
async def test_exit_code_and_output_arrive(server: ExecServer, status: JsonObject, code: int) -> None:
    server.status = status
    effects = EffectTracker(total=1)
    assert await run(server, effects) == CommandEnd(code, "hello\nwarning\n")
    assert effects.effect == "done"
    assert server.paths == [REQUEST.path]


@pytest.mark.promise("once", "unknown")
@pytest.mark.parametrize(
    ("end", "status", "code", "effect"),
    [
        ("refuse", {}, "forbidden", "none"),
        ("exit", NOT_STARTED, "command_not_started", "none"),
        ("exit", BROKEN, "command_failed", "unknown"),
        ("redirect", {}, "api_refused", "unknown"),
        ("break", {}, "api_refused", "unknown"),
        ("drop", {}, "api_unreachable", "unknown"),
        ("hang", {}, "command_timeout", "unknown"),
    ],
)
async def test_failed_command_is_never_sent_again(
    server: ExecServer, end: End, status: JsonObject, code: str, effect: Effect
) -> None:
    server.end, server.status = end, status
    effects = EffectTracker(total=1)
    with pytest.raises(ToolFailure) as failure:
        await run(server, effects, seconds=0.3 if end == "hang" else 30)
    assert (failure.value.code, effects.effect) == (code, effect)
    assert server.paths == [REQUEST.path]


async def test_unreachable_server_has_no_effect(server: ExecServer) -> None:
    effects = EffectTracker(total=1)
    client = ExecServer(port=1).connect()
    with pytest.raises(ToolFailure, match="can't be reached"):
        await effects.attempt(run_command(client, REQUEST, None, 5))
    assert effects.effect == "none"


@pytest.mark.promise("bounded")
def test_long_output_keeps_its_beginning_and_its_end() -> None:
    tail = OutputTail()
    for number in range(100_000):
        tail.add(f"line {number}\n".encode())
    text = tail.text()
    assert text.startswith("line 0\nline 1\n")
    assert text.endswith("line 99999\n")
    assert len(text) < 33 * 1024
    assert " bytes left out …\nline " in text
