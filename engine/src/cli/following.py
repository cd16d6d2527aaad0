"""A run's events from wherever it is followed, over cut connections and restarts of the engine."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from src.cli.client import Engine
from src.cli.errors import CliError, Cut, Unreachable
from src.cli.jsontypes import JsonObject, number, text

__all__ = ["Follower", "Opening", "Position"]

PATIENCE_SECONDS = 60.0
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 5.0
TERMINAL = ("workflow_complete", "workflow_error")
RESTING = ("awaiting_approval", "completed", "failed", "stopped")
_OF_THE_STREAM = ("ready", "heartbeat", "ttft", "tool.progress")

Notice = Callable[[str], None]
Sleep = Callable[[float], None]


@dataclass(slots=True)
class Position:
    """How far a run has been followed: after its event number `seq`."""

    run_id: str = ""
    conversation_id: str = ""
    seq: int = 0

    def take(self, event: JsonObject) -> bool:
        """Moves on to this event. False for one that was seen before."""
        self.run_id = text(event, "run_id") or self.run_id
        self.conversation_id = text(event, "conversation_id") or self.conversation_id
        seq = number(event, "seq")
        if seq == 0:
            return True
        is_new = seq > self.seq
        self.seq = max(self.seq, seq)
        return is_new


@dataclass(frozen=True, slots=True)
class Opening:
    """The request that begins a stream: one that may be repeated until it is answered, for it acts once."""

    path: str
    body: JsonObject
    headers: dict[str, str] = field(default_factory=dict)


class Follower:
    """Follows runs of one engine. `notice` is told "reconnecting" and "reconnected"."""

    def __init__(self, engine: Engine, notice: Notice, sleep: Sleep = time.sleep) -> None:
        self._engine = engine
        self._notice = notice
        self._sleep = sleep
        self._pause = _FIRST_WAIT
        self._left = PATIENCE_SECONDS
        self._begun = False
        self._lost = False

    def events(self, position: Position, opening: Opening | None = None) -> Iterator[JsonObject]:
        """Every event once, until the run rests. Without an `opening` the run at `position` is followed from there on.

        Raises what the engine refuses, `Unreachable` if nobody answers at all, `Cut` if it stays away for a minute.
        """
        self._alive()
        self._begun = opening is None
        while True:
            try:
                rests = yield from self._once(position, opening)
                if rests:
                    return
                raise Cut(f"{self._engine.server.url} ended the stream before the run did.")
            except CliError as error:
                self._again(error, position)

    def _once(self, position: Position, opening: Opening | None) -> Generator[JsonObject, None, bool]:
        """One connection. Returns whether the run rests, now that the engine has ended the stream."""
        last = ""
        with self._opened(position, opening) as events:
            for event in events:
                self._alive()
                if position.take(event):
                    kind = text(event, "type")
                    last = last if kind in _OF_THE_STREAM else kind
                    yield event
        if last in TERMINAL:
            return True
        return text(self._engine.get(f"/agent/runs/{position.run_id}"), "state") in RESTING

    def _opened(self, position: Position, opening: Opening | None) -> AbstractContextManager[Iterator[JsonObject]]:
        if position.run_id and (opening is None or position.seq):
            seen = {"Last-Event-ID": f"{position.run_id}:{position.seq}"} if position.seq else {}
            return self._engine.stream("GET", f"/agent/runs/{position.run_id}/events", headers=seen)
        assert opening is not None  # noqa: S101 - either there is a run to follow, or a request that begins one
        return self._engine.stream("POST", opening.path, opening.body, opening.headers)

    def _alive(self) -> None:
        self._begun = True
        self._pause, self._left = _FIRST_WAIT, PATIENCE_SECONDS
        if self._lost:
            self._lost = False
            self._notice("reconnected")

    def _again(self, why: CliError, position: Position) -> None:
        """Waits a while, or raises what can't be waited out."""
        if not why.passing or (isinstance(why, Unreachable) and not self._begun):
            raise why
        self._begun = True
        if self._left <= 0:
            raise self._given_up(why, position)
        if not self._lost:
            self._lost = True
            self._notice("reconnecting")
        self._sleep(self._pause)
        self._left -= self._pause
        self._pause = min(self._pause * 2, _LONGEST_WAIT)

    def _given_up(self, why: CliError, position: Position) -> CliError:
        if not position.run_id:
            return why
        return Cut(
            f"{self._engine.server.url} has not answered for a minute. The run goes on there; come back to it with: "
            "skyflo chat --resume"
        )
