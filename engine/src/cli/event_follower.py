"""Follow a run's events across lost connections and restarts of the engine."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from src.cli.client import EngineClient
from src.cli.errors import CliError, ConnectionLost, Unreachable
from src.cli.jsontypes import JsonObject, number, text

__all__ = ["EventFollower", "StreamPosition", "StreamRequest"]

RECONNECT_SECONDS = 60.0
_MIN_WAIT = 0.5
_MAX_WAIT = 5.0
FINAL_EVENTS = ("workflow_complete", "workflow_error")
RESTING = ("awaiting_approval", "completed", "failed", "stopped")
_STREAM_ONLY = ("ready", "heartbeat", "error", "ttft", "tool.progress")

Notice = Callable[[str], None]
Sleep = Callable[[float], None]


@dataclass(slots=True)
class StreamPosition:
    """How far a run has been followed: up to the event number `seq`."""

    run_id: str = ""
    conversation_id: str = ""
    seq: int = 0

    def advance(self, event: JsonObject) -> bool:
        """Move on to this event. Returns False for one that was already seen."""
        self.run_id = text(event, "run_id") or self.run_id
        self.conversation_id = text(event, "conversation_id") or self.conversation_id
        seq = number(event, "seq")
        if seq == 0:
            return True
        is_new = seq > self.seq
        self.seq = max(self.seq, seq)
        return is_new


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """The request that opens a stream. It is idempotent, so it is repeated until it is answered."""

    path: str
    body: JsonObject
    headers: dict[str, str] = field(default_factory=dict)


class EventFollower:
    """Follows runs of one engine. `notice` is called with "reconnecting" and "reconnected"."""

    def __init__(self, engine: EngineClient, notice: Notice, sleep: Sleep = time.sleep) -> None:
        self._engine = engine
        self._notice = notice
        self._sleep = sleep
        self._next_wait = _MIN_WAIT
        self._seconds_left = RECONNECT_SECONDS
        self._may_wait = False
        self._is_reconnecting = False

    def events(self, position: StreamPosition, request: StreamRequest | None = None) -> Iterator[JsonObject]:
        """Yield every event once until the run rests. Without a `request`, follow the run at `position` from there.

        Raises `EngineError` if the engine rejects the request, `Unreachable` if no engine answers at first, and
        `ConnectionLost` if it stays away for a minute.
        """
        self._reset_retries()
        self._may_wait = request is None
        while True:
            try:
                is_resting = yield from self._follow_connection(position, request)
                if is_resting:
                    return
                raise ConnectionLost(f"{self._engine.server.url} ended the stream before the run did.")
            except CliError as error:
                self._wait_or_raise(error, position)

    def _follow_connection(
        self, position: StreamPosition, request: StreamRequest | None
    ) -> Generator[JsonObject, None, bool]:
        """Follow one connection to its end. Returns whether the run rests then."""
        last = ""
        with self._open_stream(position, request) as events:
            for event in events:
                self._reset_retries()
                if position.advance(event):
                    kind = text(event, "type")
                    last = last if kind in _STREAM_ONLY else kind
                    yield event
        if last in FINAL_EVENTS:
            return True
        return text(self._engine.get(f"/agent/runs/{position.run_id}"), "state") in RESTING

    def _open_stream(
        self, position: StreamPosition, request: StreamRequest | None
    ) -> AbstractContextManager[Iterator[JsonObject]]:
        if position.run_id and (request is None or position.seq):
            seen = {"Last-Event-ID": f"{position.run_id}:{position.seq}"} if position.seq else {}
            return self._engine.stream("GET", f"/agent/runs/{position.run_id}/events", headers=seen)
        assert request is not None  # noqa: S101 - without a run to follow there is a request that starts one
        return self._engine.stream("POST", request.path, request.body, request.headers)

    def _reset_retries(self) -> None:
        self._may_wait = True
        self._next_wait, self._seconds_left = _MIN_WAIT, RECONNECT_SECONDS
        if self._is_reconnecting:
            self._is_reconnecting = False
            self._notice("reconnected")

    def _wait_or_raise(self, error: CliError, position: StreamPosition) -> None:
        """Wait before the next attempt, or raise an error that waiting does not solve."""
        if not error.is_temporary or (isinstance(error, Unreachable) and not self._may_wait):
            raise error
        self._may_wait = True
        if self._seconds_left <= 0:
            raise self._explain_giving_up(error, position)
        if not self._is_reconnecting:
            self._is_reconnecting = True
            self._notice("reconnecting")
        self._sleep(self._next_wait)
        self._seconds_left -= self._next_wait
        self._next_wait = min(self._next_wait * 2, _MAX_WAIT)

    def _explain_giving_up(self, error: CliError, position: StreamPosition) -> CliError:
        if not position.run_id:
            return error
        return ConnectionLost(
            f"{self._engine.server.url} has not answered for a minute. The run continues there; follow it with: "
            "skyflo chat --resume"
        )
