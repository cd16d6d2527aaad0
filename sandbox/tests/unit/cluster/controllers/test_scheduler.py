"""Resource quantities of the scheduler."""

from decimal import Decimal

import pytest

from skyflo_sandbox.cluster.controllers.scheduler import quantity_or_zero


@pytest.mark.parametrize(
    ("text", "number"), [("250m", "0.25"), ("2", "2"), ("1Gi", "1073741824"), ("5k", "5000"), ("x", "0"), ("NaN", "0")]
)
def test_quantities_are_parsed(text: str, number: str) -> None:
    assert quantity_or_zero(text) == Decimal(number)
