"""What is remembered between two commands: the conversation that one was in, for each engine."""

import contextlib
import json
from pathlib import Path

from src.cli.files import read_object, state_folder, write_private
from src.cli.jsontypes import inner, text

__all__ = ["State"]

_MOST_SERVERS = 50


class State:
    """The file `state.json` in the folder of state (`XDG_STATE_HOME`). Losing it loses nothing of a conversation."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = (folder or state_folder()) / "state.json"

    def conversation(self, url: str) -> str | None:
        """The last one at this engine."""
        return text(inner(read_object(self._path), "conversations"), url) or None

    def remember(self, url: str, conversation_id: str) -> None:
        """Where the file can't be written, nothing is remembered."""
        known = inner(read_object(self._path), "conversations")
        if known.get(url) == conversation_id:
            return
        others = [(name, value) for name, value in known.items() if name != url][-_MOST_SERVERS:]
        with contextlib.suppress(OSError):
            write_private(self._path, json.dumps({"conversations": {**dict(others), url: conversation_id}}))
