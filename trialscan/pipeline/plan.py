"""From a study and its protocol to the tasks of a run, each after all that it needs."""

from trialscan.pipeline.setting import Setting
from trialscan.pipeline.stages.align import align_task
from trialscan.pipeline.stages.analyse import analyse_task
from trialscan.pipeline.stages.draw import patient_report_task, trial_report_tasks
from trialscan.pipeline.stages.picture import picture_task
from trialscan.pipeline.stages.segment import segment_task
from trialscan.pipeline.stages.tabulate import tabulate_task
from trialscan.pipeline.stages.track import track_task
from trialscan.pipeline.tasks import Task
from trialscan.study import Patient


def plan_patient(setting: Setting, patient: Patient, *, pictures: bool) -> list[Task]:
    """One patient up to the rows of the tables and, with `pictures`, what the reports show."""
    readable = [entry for entry in setting.entries(patient) if not entry.unreadable]
    segments = [segment_task(setting, entry) for entry in readable]
    baselines = [entry for entry in readable if entry.is_baseline]
    followups = [entry for entry in readable if not entry.is_baseline]
    aligns = [align_task(setting, baseline, entry) for baseline in baselines for entry in followups]
    needs = tuple(task.id for task in (*segments, *aligns))
    last = [track_task(setting, patient, needs)]
    if pictures:
        last.append(picture_task(setting, patient, needs))
    return [*segments, *aligns, *last]


def plan_trial(setting: Setting, *, reports: bool) -> list[Task]:
    """The whole run: every patient, the tables and, with `reports`, the comparison of the arms and all reports."""
    patients = setting.study.patients
    tasks = [task for patient in patients for task in plan_patient(setting, patient, pictures=reports)]
    tasks.append(tabulate_task(setting))
    if reports:
        tasks.append(analyse_task(setting))
        tasks += [patient_report_task(setting, patient) for patient in patients]
        tasks += trial_report_tasks(setting)
    return tasks
