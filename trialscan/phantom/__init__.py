"""Simulated scans, patients and trials with known truth."""

from trialscan.phantom.deformation import Deformation
from trialscan.phantom.design import TrialDesign, load_design
from trialscan.phantom.lesions import random_lesions
from trialscan.phantom.radiograph import Radiograph, project_radiograph, simulate_radiograph
from trialscan.phantom.spec import Grid, LesionSpec, ScannerSpec, ThoraxSpec
from trialscan.phantom.thorax import LesionTruth, Phantom, random_grid, simulate_thorax, whole_thorax
from trialscan.phantom.trial import simulate_trial

__all__ = [
    "Deformation",
    "Grid",
    "LesionSpec",
    "LesionTruth",
    "Phantom",
    "Radiograph",
    "ScannerSpec",
    "ThoraxSpec",
    "TrialDesign",
    "load_design",
    "project_radiograph",
    "random_grid",
    "random_lesions",
    "simulate_radiograph",
    "simulate_thorax",
    "simulate_trial",
    "whole_thorax",
]
