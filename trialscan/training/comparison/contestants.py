"""What is compared: variants of experiments, each with its figures on the same cases that it did not learn from."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from ruamel.yaml import YAML

from trialscan.errors import Fault, InputError
from trialscan.training.experiments.record import CASES, LOCK

Metric = Literal["dice", "surface_dice_2mm", "hd95_mm"]
LESS_IS_BETTER: frozenset[Metric] = frozenset({"hd95_mm"})
ATTRIBUTE = "attribute_"


@dataclass(frozen=True)
class Contestant:
    """One variant of an experiment: `name` is `experiment/variant`, `snapshot` the digest of what it learnt from."""

    name: str
    snapshot: str
    start: str


@dataclass(frozen=True, eq=False)
class Contest:
    """Figures of contestants on the same cases.

    table : a row a contestant, case and label: contestant, case_id, patient_id, group, label, score (the mean over
        seeds), reference_size, size_unit, and the cases' attributes as `attribute_<name>`.
    """

    metric: Metric
    contestants: tuple[Contestant, ...]
    table: pd.DataFrame

    @property
    def labels(self) -> tuple[str, ...]:
        """What was segmented."""
        return tuple(dict.fromkeys(self.table["label"]))

    @property
    def attributes(self) -> tuple[str, ...]:
        """What is known of the cases."""
        return tuple(
            name.removeprefix(ATTRIBUTE) for name in map(str, self.table.columns) if name.startswith(ATTRIBUTE)
        )

    @property
    def lower_wins(self) -> bool:
        """Whether less is better."""
        return self.metric in LESS_IS_BETTER

    def scores(self, label: str) -> pd.DataFrame:
        """(cases × contestants) of the label, contestants by name in the order given; cases that all have."""
        of_label = self.table[self.table["label"] == label]
        wide = of_label.pivot_table(index="case_id", columns="contestant", values="score", aggfunc="first")
        return wide.reindex(columns=[contestant.name for contestant in self.contestants]).dropna()

    def facts(self, label: str) -> pd.DataFrame:
        """One row a case, by case_id: what does not depend on the contestant."""
        of_label = self.table[self.table["label"] == label]
        return of_label.drop(columns=["contestant", "score"]).drop_duplicates("case_id").set_index("case_id")


def read_contest(folders: Sequence[Path], metric: Metric = "dice") -> Contest:
    """Every variant of the experiments in `folders`, out of fold.

    Raises
    ------
    InputError
        A folder is no finished experiment, two contestants have one name, or they were not judged on the same cases
        of one snapshot: every fault is told.
    """
    contestants: list[Contestant] = []
    tables: list[pd.DataFrame] = []
    for folder in folders:
        experiment, lock = _lock(folder)
        cases = pd.read_csv(
            _file(folder, CASES),
            keep_default_na=False,
            na_values=[""],
            dtype=_text_columns(folder),
            float_precision="round_trip",
        )
        for variant, rows in cases.groupby("variant", sort=False):
            name = f"{experiment}/{variant}"
            contestants.append(Contestant(name, str(lock["snapshot_sha256"]), str(lock["start_sha256"][variant])))
            tables.append(_scores(rows, metric).assign(contestant=name))
    if faults := tuple(_faults(contestants, tables)):
        raise InputError(faults)
    return Contest(metric, tuple(contestants), pd.concat(tables, ignore_index=True))


def _scores(rows: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """A row a case and label; of several seeds the mean score."""
    keys = ["case_id", "label"]
    attributes = [name for name in map(str, rows.columns) if name.startswith(ATTRIBUTE)]
    kept = ["patient_id", "group", "reference_size", "size_unit", *attributes]
    found = rows.groupby(keys, sort=True)[metric].mean().rename("score").reset_index()
    return found.merge(rows.drop_duplicates(keys)[[*keys, *kept]], on=keys, validate="one_to_one")


def _faults(contestants: Sequence[Contestant], tables: Sequence[pd.DataFrame]) -> Iterator[Fault]:
    names = [contestant.name for contestant in contestants]
    twice = [name for name, count in Counter(names).items() if count > 1]
    yield from (Fault(name, "two experiments of one name; rename one") for name in twice)
    first, expected = contestants[0], _judged(tables[0])
    for contestant, table in zip(contestants[1:], tables[1:], strict=True):
        if contestant.snapshot != first.snapshot:
            yield Fault(
                contestant.name,
                f"learnt from snapshot {contestant.snapshot[:12]}, {first.name} from {first.snapshot[:12]}; "
                "expected one snapshot, or the cases are not the same",
            )
        elif (other := _judged(table)) != expected:
            example = sorted(other ^ expected)[0]
            yield Fault(
                contestant.name,
                f"judged on {len(other)} cases and labels, {first.name} on {len(expected)}; they differ in "
                f"{' '.join(example)}",
            )


def _judged(table: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(table["case_id"], table["label"], strict=True))


def _lock(folder: Path) -> tuple[str, Mapping[str, Any]]:
    content = YAML(typ="safe").load(_file(folder, LOCK).read_text(encoding="utf-8"))
    return str(content["name"]), content


def _file(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        message = f"no {name}; expected the folder of a finished experiment (trialscan train … --out)"
        raise InputError([Fault(str(folder), message)])
    return folder / name


def _text_columns(folder: Path) -> dict[str, str]:
    names = map(str, pd.read_csv(folder / CASES, nrows=0).columns)
    text = ("variant", "case_id", "patient_id", "group", "label", "size_unit")
    return {name: "str" for name in names if name in text or name.startswith(ATTRIBUTE)}
