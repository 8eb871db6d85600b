"""Reports drawn from the tables of a finished run; nothing is computed here that a table does not hold."""

from trialscan.reports.figures import write_figures
from trialscan.reports.index import write_index
from trialscan.reports.panels import write_panels
from trialscan.reports.patient import write_patient_report
from trialscan.reports.slices import SlicePosition, choose_slice
from trialscan.reports.trial import write_trial_report

__all__ = [
    "SlicePosition",
    "choose_slice",
    "write_figures",
    "write_index",
    "write_panels",
    "write_patient_report",
    "write_trial_report",
]
