"""Read what only adds to an answer, so that its failure becomes one line instead of an error."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Generic, TypeVar

from skyflo_tools.errors import DeadlineExceeded, ToolFailure

SIDE_SECONDS = 20.0
T = TypeVar("T")


@dataclass(frozen=True)
class SideRead(Generic[T]):
    """What was read, or the default, why it could not be read, and the code of that error."""

    value: T
    problem: str = ""
    code: str = ""


async def read_side(what: str, reading: Awaitable[T], default: T) -> SideRead[T]:
    """Await `reading` for at most 20 seconds; a failure becomes `<what> could not be read: <cause>`."""
    try:
        async with asyncio.timeout(SIDE_SECONDS):
            return SideRead(await reading)
    except ToolFailure as error:
        return SideRead(default, f"{what} could not be read: {error.message}", error.code)
    except TimeoutError:
        return SideRead(
            default, f"{what} could not be read: no response within {SIDE_SECONDS:.0f} s", DeadlineExceeded.code
        )
