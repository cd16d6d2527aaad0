"""Remember the last conversation of each engine between two commands."""

import contextlib
import json
from pathlib import Path

from src.cli.files import read_object, state_folder, write_private
from src.cli.jsontypes import inner, text

__all__ = ["SavedState"]

_MOST_SERVERS = 50


class SavedState:
    """The file `state.json` in the state folder (`XDG_STATE_HOME`). Conversations themselves don't depend on it."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = (folder or state_folder()) / "state.json"

    def conversation(self, url: str) -> str | None:
        """Return the last conversation at this engine."""
        return text(inner(read_object(self._path), "conversations"), url) or None

    def remember(self, url: str, conversation_id: str) -> None:
        """Save the last conversation; do nothing if the file can't be written."""
        known = inner(read_object(self._path), "conversations")
        if known.get(url) == conversation_id:
            return
        others = [(name, value) for name, value in known.items() if name != url][-_MOST_SERVERS:]
        with contextlib.suppress(OSError):
            write_private(self._path, json.dumps({"conversations": {**dict(others), url: conversation_id}}))
