"""Resource quantities."""

import pytest

from skyflo_sandbox.cluster.quantities import canonical_quantity, parse_quantity


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("0.5Gi", "512Mi"),
        ("1500Mi", "1500Mi"),
        ("0", "0"),
        ("1e3", "1e3"),
        ("100", "100"),
        ("2000", "2k"),
        ("-1.5", "-1500m"),
        ("512", "512"),
        ("much", "much"),
    ],
)
def test_quantities_are_stored_in_canonical_form(given: str, kept: str) -> None:
    assert canonical_quantity(given) == kept
    assert parse_quantity(given) == parse_quantity(kept)
