"""Simulated scans, patients and trials with known truth."""

from trialscan.phantom.deformation import Deformation
from trialscan.phantom.lesions import random_lesions
from trialscan.phantom.spec import Grid, LesionSpec, ScannerSpec, ThoraxSpec
from trialscan.phantom.thorax import LesionTruth, Phantom, simulate_thorax, whole_thorax

__all__ = [
    "Deformation",
    "Grid",
    "LesionSpec",
    "LesionTruth",
    "Phantom",
    "ScannerSpec",
    "ThoraxSpec",
    "random_lesions",
    "simulate_thorax",
    "whole_thorax",
]
