"""Power, type I error and coverage of a trial design, by simulating it and analysing it as the trial will be."""

from trialscan.statistics.power.analysis import TrialAnalysis
from trialscan.statistics.power.design import PowerDesign
from trialscan.statistics.power.simulate import Scenario, TrialRow, scenarios, simulate_trials
from trialscan.statistics.power.summary import summarise

__all__ = [
    "PowerDesign",
    "Scenario",
    "TrialAnalysis",
    "TrialRow",
    "scenarios",
    "simulate_trials",
    "summarise",
]
