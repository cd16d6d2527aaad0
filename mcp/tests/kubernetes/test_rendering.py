"""Rendered text is bounded."""

import pytest

from skyflo_tools.kubernetes.rendering import limit_lines


@pytest.mark.promise("bounded")
def test_lines_are_bounded() -> None:
    lines = limit_lines([f"line {number}" for number in range(1000)], 100, "pods", "narrow with a selector")
    assert lines.splitlines()[-1] == "… 987 more pods, narrow with a selector"
    assert limit_lines(["x" * 500], 100, "lines").endswith("x… 400 more bytes")
