"""What the routes' signatures promise about all requests."""

import inspect
from typing import Any

from fastapi.routing import iter_route_contexts

from tests.support.engine_warmth import analyse_routes


def test_no_request_waits_for_a_thread() -> None:
    """FastAPI runs plain functions in threads, which takes longer than the functions that we have."""
    waiting = [context.dependant for context in iter_route_contexts(analyse_routes())]
    functions: set[Any] = set()
    while waiting:
        dependant = waiting.pop()
        functions.add(dependant.call)
        waiting += dependant.dependencies
    ours = [call for call in functions if getattr(call, "__module__", "").startswith("src.")]
    assert len(ours) > 60
    assert [call.__qualname__ for call in ours if not inspect.iscoroutinefunction(call)] == []
