"""`skyflo chat` and `skyflo stop`."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass

from rich.text import Text

from src.cli.client import Engine, engine_at, named
from src.cli.console import Terminal, write_json
from src.cli.conversation import MAX_MESSAGE, Chat, active_run, question
from src.cli.errors import DONE, CliError, WrongUse
from src.cli.following import Position
from src.cli.jsontypes import text
from src.cli.presenter import Screen
from src.cli.state import State

__all__ = ["Wanted", "chat", "screen_for", "stop"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    message: str | None = None
    conversation: str | None = None
    go_on: bool = False
    resume: bool = False
    as_json: bool = False
    server: str | None = None
    insecure: bool = False


def chat(wanted: Wanted) -> int:
    """Returns the exit code."""
    _check(wanted)
    terminal = Terminal(asks=not wanted.as_json)
    message = wanted.message
    if message is None and not wanted.resume and not terminal.interactive:
        message = _piped()
    with engine_at(wanted.server, wanted.insecure) as engine:
        state = State()
        conversation = _conversation(wanted, engine, state)
        talking = Chat(engine, terminal, None if wanted.as_json else screen_for(terminal), state)
        if wanted.resume:
            if conversation is None:
                raise WrongUse(_NO_CONVERSATION)
            position = active_run(engine, conversation)
            return talking.run(None, position)
        if message is None:
            return _loop(talking, conversation)
        return talking.run(question(_checked(message), conversation), Position())


def stop(run_id: str | None, server: str | None, insecure: bool, as_json: bool) -> int:
    """Stops this run, or that of the last conversation."""
    with engine_at(server, insecure) as engine:
        if run_id is None:
            conversation = State().conversation(engine.server.url)
            if conversation is None:
                raise WrongUse(f"{_NO_CONVERSATION} Name the run; see: skyflo runs")
            position = active_run(engine, conversation)
        else:
            found = engine.get(f"/agent/runs/{named(run_id)}")
            position = Position(text(found, "run_id"), text(found, "conversation_id"))
        answer = engine.post("/agent/stop", {"conversation_id": position.conversation_id, "run_id": position.run_id})
    if as_json:

        write_json(answer)
    else:
        Terminal().show(Text(f"Run {position.run_id} is stopped."))
    return DONE


_NO_CONVERSATION = "There is no last conversation at this engine yet."


def _check(wanted: Wanted) -> None:
    if wanted.go_on and wanted.conversation:
        raise WrongUse("--continue means the last conversation: leave out --conversation, or --continue.")
    if wanted.resume and wanted.message is not None:
        raise WrongUse("--resume goes on with a run, so it takes no message.")


def _conversation(wanted: Wanted, engine: Engine, state: State) -> str | None:
    if wanted.conversation is not None or not (wanted.go_on or wanted.resume):
        return wanted.conversation
    last = state.conversation(engine.server.url)
    if last is None:
        raise WrongUse(f"{_NO_CONVERSATION} Begin one with: skyflo chat")
    return last


def _piped() -> str:
    return sys.stdin.read(MAX_MESSAGE + 1)


def _checked(message: str) -> str:
    if not message.strip():
        raise WrongUse("The message is empty.")
    if len(message) > MAX_MESSAGE:
        raise WrongUse(f"The message is longer than {MAX_MESSAGE:,} characters.")
    return message.encode(errors="replace").decode()


def screen_for(terminal: Terminal) -> Screen:
    """The kind of screen that fits this terminal."""
    if terminal.moves:
        from src.cli.moving import MovingScreen

        return MovingScreen(terminal.out)
    from src.cli.plain import PlainScreen

    return PlainScreen(terminal)


def _loop(talking: Chat, conversation: str | None) -> int:
    """Questions one after the other, in one conversation, until Ctrl-D or Ctrl-C at the prompt."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - lines can be edited from now on

    talking.terminal.show(Text("Ask something. Ctrl-D leaves.", "dim"))
    code = DONE
    while True:
        try:
            message = input("skyflo> ")
        except (EOFError, KeyboardInterrupt):
            talking.terminal.show(Text(""))
            return code
        if not message.strip():
            continue
        position = Position()
        try:
            code = talking.run(question(_checked(message), conversation), position)
        except CliError as error:
            talking.terminal.note(Text(f"✗ {error}", "red"))
            code = error.code
        conversation = position.conversation_id or conversation
