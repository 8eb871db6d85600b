"""Reports drawn from the tables of a finished run; nothing is computed here that a table does not hold."""

from trialscan.reports.figures import write_figures
from trialscan.reports.index import write_index
from trialscan.reports.patient import write_patient_report
from trialscan.reports.trial import write_trial_report

__all__ = ["write_figures", "write_index", "write_patient_report", "write_trial_report"]
