"""How many examples the property tests try."""

from hypothesis import settings

__all__ = ["load_profile", "up_to"]

FAST = 25


def load_profile(*, fast: bool) -> None:
    """Let no example fail for its time, which a loaded machine decides; `fast` tries at most `FAST` examples each."""
    name, examples = ("fast", FAST) if fast else ("patient", settings().max_examples)
    settings.register_profile(name, settings.default, max_examples=examples, deadline=None)
    settings.load_profile(name)


def up_to(count: int) -> int:
    """Return `count`, or fewer with `--fast`: for `settings(max_examples=...)` of a test that no service slows down."""
    return min(count, FAST) if settings.get_current_profile_name() == "fast" else count
