"""A small design, changed as a test needs."""

import pytest

from trialscan.statistics.power import PowerDesign

FIELDS = {
    "seed": 11,
    "simulations": 20,
    "arms": {"control": {"patients": 10}, "treated": {"patients": 10, "effect": [0, 0, -0.2, -0.4, -0.6]}},
    "visits": {"V1": 14, "V2": 28, "V3": 42, "V4": 70, "V5": 84},
    "mean": [4.0, 3.9, 3.9, 3.8, 3.6],
    "covariance": {"structure": "ar1", "sd": 1.0, "correlation": 0.7},
    "drop_out": {"share": 0.22},
}


@pytest.fixture
def designed():
    """A function that gives the design with some fields replaced."""
    return lambda **fields: PowerDesign.model_validate(FIELDS | fields)
