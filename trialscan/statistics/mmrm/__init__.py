"""Mixed models for repeated measures (MMRM)."""

from trialscan.statistics.mmrm.fit import DF_METHODS, FALLBACK, fit_mmrm

__all__ = ["DF_METHODS", "FALLBACK", "fit_mmrm"]
