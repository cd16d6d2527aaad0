"""An HTTP client that records when each piece of a response arrives."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from json import loads
from typing import Any, Self

import httpx

__all__ = ["Client", "TimedResponse"]

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class TimedResponse:
    """A response with the time (seconds after the request) at which each size of its body was reached."""

    body: bytes
    arrivals: Sequence[tuple[float, int]]
    seconds: float

    def seconds_until(self, mark: bytes) -> float:
        """Return the seconds until the first byte of `mark` arrived. Raises `RuntimeError` if it never did."""
        place = self.body.find(mark)
        if place < 0:
            raise RuntimeError(f"{mark!r} never came: {self.body[-500:]!r}")
        return next(moment for moment, size in self.arrivals if size > place)

    def seconds_between(self, first: bytes, last: bytes) -> float:
        """Return the seconds from the first occurrence of one mark to the last of another."""
        place = self.body.rfind(last)
        if place < 0:
            raise RuntimeError(f"{last!r} never came: {self.body[-500:]!r}")
        return next(moment for moment, size in self.arrivals if size > place) - self.seconds_until(first)

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = self.body.decode().splitlines()
        return [loads(line[6:]) for line in lines if line.startswith("data: {")]

    def json(self) -> Any:
        """Parse the body as one JSON value."""
        return loads(self.body)


class Client:
    """Sends requests on one persistent connection. Use as a context manager."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def chat(self, path: str, text: str) -> TimedResponse:
        """Send a message to the engine, or to the model if the path ends in `completions`."""
        model = {"model": "scripted", "stream": True} if path.endswith("completions") else {}
        return self.post(path, {**model, "messages": [{"role": "user", "content": text}]})

    def post(self, path: str, body: object) -> TimedResponse:
        return self._request("POST", path, body)

    def get(self, path: str) -> TimedResponse:
        return self._request("GET", path, None)

    def _request(self, method: str, path: str, body: object) -> TimedResponse:
        arrivals: list[tuple[float, int]] = []
        body_bytes = bytearray()
        began = time.perf_counter()
        try:
            with self._client.stream(method, path, json=body) as response:
                for piece in response.iter_raw():
                    body_bytes += piece
                    arrivals.append((time.perf_counter() - began, len(body_bytes)))
        except httpx.TransportError as error:
            raise RuntimeError(f"{path} broke off ({error}) after: {bytes(body_bytes[-300:])!r}") from error
        if response.status_code != 200:
            raise RuntimeError(f"{response.status_code} at {path}: {bytes(body_bytes[:500])!r}")
        return TimedResponse(bytes(body_bytes), arrivals, time.perf_counter() - began)
