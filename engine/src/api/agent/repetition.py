"""Notice a model that repeats its calls: the same one turn after turn, or a short cycle of them."""

from collections.abc import Iterable, Sequence

from src.api.schemas.records import Call

__all__ = ["LIMIT", "Signature", "Turn", "count_repetitions", "is_stuck", "turn_of"]

LIMIT = 3
"""How often equal calls run in a row. The next one is refused; if that does not help, the run ends."""

LONGEST_CYCLE = 3

Signature = tuple[str, str]
"""A call's tool and canonical arguments."""

Turn = frozenset[Signature]


def turn_of(calls: Iterable[Call]) -> Turn:
    """Return the calls of one turn as the model made them: without the versions that replaced them."""
    return frozenset((call.tool, call.args) for call in calls if call.version == 1)


def count_repetitions(call: Signature, turn: Turn, earlier: Sequence[Turn]) -> int:
    """Count how often in a row the call was made before `turn`, which holds it. `earlier` turns are newest first."""
    in_a_row = next((n for n, each in enumerate(earlier) if call not in each), len(earlier))
    turns = [turn, *earlier]
    return max(in_a_row, *(_count_cycles(turns, period) for period in range(2, LONGEST_CYCLE + 1)))


def is_stuck(turns: Sequence[Turn]) -> bool:
    """Return whether the newest turn consists of calls that were made again although they had been refused."""
    if not turns or not turns[0]:
        return False
    return all(count_repetitions(call, turns[0], turns[1:]) > LIMIT for call in turns[0])


def _count_cycles(turns: Sequence[Turn], period: int) -> int:
    """Count how often the newest turn repeats a cycle of so many turns."""
    equal = 0
    while equal + period < len(turns) and turns[equal] == turns[equal + period]:
        equal += 1
    return (equal + period - 1) // period
