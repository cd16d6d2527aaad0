"""How many examples the property tests try."""

from hypothesis import settings

__all__ = ["load_fast_profile", "up_to"]

FAST = 25


def load_fast_profile() -> None:
    """Make property tests try at most `FAST` examples each, for the inner loop."""
    settings.register_profile("fast", settings.default, max_examples=FAST)
    settings.load_profile("fast")


def up_to(count: int) -> int:
    """Return `count`, or fewer with `--fast`: for `settings(max_examples=...)` of a test that no service slows down."""
    return min(count, FAST) if settings.get_current_profile_name() == "fast" else count
