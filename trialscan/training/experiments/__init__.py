"""Experiments on snapshots: from annotated cases to networks, and to how well each does on what it did not learn."""

from trialscan.training.experiments.cases import SnapshotStore
from trialscan.training.experiments.fit import Watch
from trialscan.training.experiments.reading import Experiment, load_experiment
from trialscan.training.experiments.run import TrainOutcome, TrainRequest, train_experiment

__all__ = [
    "Experiment",
    "SnapshotStore",
    "TrainOutcome",
    "TrainRequest",
    "Watch",
    "load_experiment",
    "train_experiment",
]
