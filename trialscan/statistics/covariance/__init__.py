"""Covariance of repeated visits: structures, their natural parameters and exact derivatives."""

from trialscan.statistics.covariance.structures import STRUCTURES, Derivatives, Structure, structure_named

__all__ = ["STRUCTURES", "Derivatives", "Structure", "structure_named"]
