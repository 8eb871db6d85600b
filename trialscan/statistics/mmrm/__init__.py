"""Mixed models for repeated measures (MMRM)."""

from trialscan.statistics.mmrm.fit import FALLBACK, fit_mmrm

__all__ = ["FALLBACK", "fit_mmrm"]
