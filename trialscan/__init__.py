"""trialscan: from a manifest of scans to lesion trajectories, a comparison of arms and a report for every patient."""

from typing import Any

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "analyze",
    "describe_model",
    "evaluate",
    "models",
    "register",
    "repeatability",
    "report",
    "run",
    "segment",
    "simulate",
    "simulate_power",
    "track",
    "validate",
    "verify",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the API holds
    """Load the API on first use, so that importing one room does not load them all."""
    if name in __all__:
        from trialscan import api  # noqa: PLC0415 - that is the point

        return getattr(api, name)
    raise AttributeError(f"module 'trialscan' has no attribute {name!r}")
