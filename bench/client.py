"""A client that notes when each piece of an answer came."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

__all__ = ["Client", "Timed"]

PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Timed:
    """An answer's body, the moments (s after the request) at which so many bytes of it had come, and its end."""

    body: bytes
    came: Sequence[tuple[float, int]]
    seconds: float

    def until(self, mark: bytes) -> float:
        """Seconds after which the mark's first byte was there. Raises `RuntimeError` where it never came."""
        place = self.body.find(mark)
        if place < 0:
            raise RuntimeError(f"{mark!r} never came: {self.body[-500:]!r}")
        return next(moment for moment, size in self.came if size > place)

    def between(self, first: bytes, last: bytes) -> float:
        """Seconds from the first of one mark to the last of another."""
        place = self.body.rfind(last)
        if place < 0:
            raise RuntimeError(f"{last!r} never came: {self.body[-500:]!r}")
        return next(moment for moment, size in self.came if size > place) - self.until(first)

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = self.body.decode().splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]

    def whole(self) -> Any:
        """The body as one JSON value."""
        return json.loads(self.body)


class Client:
    """Asks on one connection that is kept open. Used as a context."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def chat(self, path: str, text: str) -> Timed:
        """Asks the engine, or at a path that ends in `completions` the model."""
        model = {"model": "scripted", "stream": True} if path.endswith("completions") else {}
        return self.post(path, {**model, "messages": [{"role": "user", "content": text}]})

    def post(self, path: str, body: object) -> Timed:
        return self._timed("POST", path, body)

    def get(self, path: str) -> Timed:
        return self._timed("GET", path, None)

    def _timed(self, method: str, path: str, body: object) -> Timed:
        came: list[tuple[float, int]] = []
        whole = bytearray()
        began = time.perf_counter()
        try:
            with self._client.stream(method, path, json=body) as response:
                for piece in response.iter_raw():
                    whole += piece
                    came.append((time.perf_counter() - began, len(whole)))
        except httpx.TransportError as error:
            raise RuntimeError(f"{path} broke off ({error}) after: {bytes(whole[-300:])!r}") from error
        if response.status_code != 200:
            raise RuntimeError(f"{response.status_code} at {path}: {bytes(whole[:500])!r}")
        return Timed(bytes(whole), came, time.perf_counter() - began)
