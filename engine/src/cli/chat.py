"""Run `skyflo chat` and `skyflo stop`."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass

from rich.text import Text

from src.cli.chat_session import MAX_MESSAGE, ChatSession, build_chat_request, find_active_run
from src.cli.client import EngineClient, open_engine, quote_id
from src.cli.console import Terminal, write_json
from src.cli.errors import DONE, CliError, UsageError
from src.cli.event_follower import StreamPosition
from src.cli.jsontypes import text
from src.cli.presenter import Screen
from src.cli.state import SavedState

__all__ = ["ChatOptions", "chat", "choose_screen", "stop"]


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """The arguments of `skyflo chat`."""

    message: str | None = None
    conversation: str | None = None
    continue_last: bool = False
    resume: bool = False
    as_json: bool = False
    server: str | None = None
    insecure: bool = False


def chat(options: ChatOptions) -> int:
    """Run `skyflo chat` and return its exit code."""
    _check_options(options)
    terminal = Terminal(may_prompt=not options.as_json)
    message = options.message
    if message is None and not options.resume and not terminal.interactive:
        message = _read_piped_message()
    with open_engine(options.server, options.insecure) as engine:
        state = SavedState()
        conversation = _choose_conversation(options, engine, state)
        session = ChatSession(engine, terminal, None if options.as_json else choose_screen(terminal), state)
        if options.resume:
            if conversation is None:
                raise UsageError(_NO_CONVERSATION)
            position = find_active_run(engine, conversation)
            return session.follow(None, position)
        if message is None:
            return _prompt_loop(session, conversation)
        return session.follow(build_chat_request(_check_message(message), conversation), StreamPosition())


def stop(run_id: str | None, server: str | None, insecure: bool, as_json: bool) -> int:
    """Stop the given run, or the active run of the last conversation."""
    with open_engine(server, insecure) as engine:
        if run_id is None:
            conversation = SavedState().conversation(engine.server.url)
            if conversation is None:
                raise UsageError(f"{_NO_CONVERSATION} Name the run; see: skyflo runs")
            position = find_active_run(engine, conversation)
        else:
            run = engine.get(f"/agent/runs/{quote_id(run_id)}")
            position = StreamPosition(text(run, "run_id"), text(run, "conversation_id"))
        answer = engine.post("/agent/stop", {"conversation_id": position.conversation_id, "run_id": position.run_id})
    if as_json:
        write_json(answer)
    else:
        Terminal().show(Text(f"Run {position.run_id} is stopped."))
    return DONE


_NO_CONVERSATION = "This engine has no last conversation yet."


def _check_options(options: ChatOptions) -> None:
    if options.continue_last and options.conversation:
        raise UsageError("--continue and --conversation exclude each other: leave one out.")
    if options.resume and options.message is not None:
        raise UsageError("--resume takes no message, because it continues a run.")


def _choose_conversation(options: ChatOptions, engine: EngineClient, state: SavedState) -> str | None:
    if options.conversation is not None or not (options.continue_last or options.resume):
        return options.conversation
    last = state.conversation(engine.server.url)
    if last is None:
        raise UsageError(f"{_NO_CONVERSATION} Start one with: skyflo chat")
    return last


def _read_piped_message() -> str:
    return sys.stdin.read(MAX_MESSAGE + 1)


def _check_message(message: str) -> str:
    if not message.strip():
        raise UsageError("The message is empty.")
    if len(message) > MAX_MESSAGE:
        raise UsageError(f"The message is longer than {MAX_MESSAGE:,} characters.")
    return message.encode(errors="replace").decode()


def choose_screen(terminal: Terminal) -> Screen:
    """Return a live screen if the terminal supports it, otherwise a plain one."""
    if terminal.can_redraw:
        from src.cli.live_screen import LiveScreen

        return LiveScreen(terminal.out)
    from src.cli.plain_screen import PlainScreen

    return PlainScreen(terminal)


def _prompt_loop(session: ChatSession, conversation: str | None) -> int:
    """Prompt for messages in one conversation until Ctrl-D or Ctrl-C at the prompt."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - enables line editing

    session.terminal.show(Text("Ask a question. Ctrl-D exits.", "dim"))
    code = DONE
    while True:
        try:
            message = input("skyflo> ")
        except (EOFError, KeyboardInterrupt):
            session.terminal.show(Text(""))
            return code
        if not message.strip():
            continue
        position = StreamPosition()
        try:
            code = session.follow(build_chat_request(_check_message(message), conversation), position)
        except CliError as error:
            session.terminal.note(Text(f"✗ {error}", "red"))
            code = error.code
        conversation = position.conversation_id or conversation
