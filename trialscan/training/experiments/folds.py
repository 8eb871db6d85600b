"""Who learns from whom: groups parted into folds that are alike, once for all variants and seeds."""

import csv
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from trialscan.errors import Fault, InputError
from trialscan.study.text_file import read_text
from trialscan.training.datasets import AnnotatedCase
from trialscan.training.experiments.sections import FoldSettings

NOWHERE = "absent"
FINAL = "fold-final"


@dataclass(frozen=True)
class Fold:
    """Cases by their position: `learn` and `watch` (the inner validation) are of one part, `predict` of the other.

    The fold after the last is the final one: it learns from all and predicts none.
    """

    number: int
    name: str
    learn: tuple[int, ...]
    watch: tuple[int, ...]
    predict: tuple[int, ...]


def strata(cases: Sequence[AnnotatedCase], sizes: Sequence[float], settings: FoldSettings) -> list[str]:
    """What each case is to be spread by. `sizes` is the share of the image that is foreground, or its volume.

    Raises
    ------
    InputError
        No case has the attribute named.
    """
    if settings.stratify == "none":
        return ["all"] * len(cases)
    if settings.stratify == "presence":
        return ["present" if size else NOWHERE for size in sizes]
    if settings.stratify == "foreground":
        return _bins(np.asarray(sizes), settings.bins)
    found = [case.attributes.get(settings.stratify, "") for case in cases]
    if not any(found):
        known = sorted({name for case in cases for name in case.attributes})
        message = f"no case has the attribute {settings.stratify!r}; expected foreground, presence, none"
        raise InputError([Fault("folds.stratify", ", ".join([message, *known]))])
    return found


def _bins(sizes: NDArray[np.float64], count: int) -> list[str]:
    """Sizes above 0 in bins of equal number, by rank; ties go by position."""
    present = np.flatnonzero(sizes > 0)
    order = present[np.argsort(sizes[present], kind="stable")]
    names = np.full(len(sizes), NOWHERE, dtype=object)
    for number, members in enumerate(np.array_split(order, count)):
        names[members] = f"size{number + 1}"
    return [str(name) for name in names]


def part(
    cases: Sequence[AnnotatedCase], stratum: Sequence[str], settings: FoldSettings, folder: Path
) -> tuple[int, ...]:
    """The fold of each case; with one fold 0 is the share that is predicted and 1 the rest.

    Groups are never parted: scikit-learn's StratifiedGroupKFold, from the configuration's seed.

    Raises
    ------
    InputError
        There are fewer groups than folds, a fold is empty, or the table of folds does not fit the cases.
    """
    if settings.table is not None:
        return _from_table(cases, folder / settings.table)
    groups = [case.group for case in cases]
    if settings.count == 1:
        chosen = _share(groups, stratum, settings.share, settings.seed)
        return tuple(0 if index in chosen else 1 for index in range(len(cases)))
    return tuple(_kfold(groups, stratum, settings.count, settings.seed).tolist())


def make_folds(
    cases: Sequence[AnnotatedCase], stratum: Sequence[str], of: Sequence[int], settings: FoldSettings, watched: float
) -> tuple[Fold, ...]:
    """The folds, each with `watched` of its learning part (by whole groups) as inner validation."""
    numbers = [0] if settings.count == 1 and settings.table is None else sorted(set(of))
    return tuple(_fold(number, cases, stratum, of, (settings.seed, watched)) for number in numbers)


def _fold(
    number: int,
    cases: Sequence[AnnotatedCase],
    stratum: Sequence[str],
    of: Sequence[int],
    watching: tuple[int, float],
) -> Fold:
    learn, watch = _learning(number, cases, stratum, of, watching)
    predict = [index for index, fold in enumerate(of) if fold == number]
    for name, members in (("nothing to learn from", learn), ("nothing to predict", predict)):
        if not members:
            raise InputError([Fault(f"fold {number}", f"empty split: {name}; take fewer folds or a smaller share")])
    return Fold(number, f"fold-{number}", tuple(learn), tuple(watch), tuple(predict))


def final_fold(
    cases: Sequence[AnnotatedCase], stratum: Sequence[str], number: int, settings: FoldSettings, watched: float
) -> Fold:
    """The fold that learns from every case but the inner validation, and predicts none."""
    whole = [number - 1] * len(cases)
    learn, watch = _learning(number, cases, stratum, whole, (settings.seed, watched))
    return Fold(number, FINAL, tuple(learn), tuple(watch), ())


def _learning(
    number: int,
    cases: Sequence[AnnotatedCase],
    stratum: Sequence[str],
    of: Sequence[int],
    watching: tuple[int, float],
) -> tuple[list[int], list[int]]:
    """What is learnt from and what is watched, of the cases of the other folds."""
    rest = [index for index, fold in enumerate(of) if fold != number]
    seed, watched = watching
    if not watched:
        return rest, []
    groups, kinds = [cases[index].group for index in rest], [stratum[index] for index in rest]
    watch = [rest[place] for place in sorted(_share(groups, kinds, watched, seed + 1 + number))]
    return [index for index in rest if index not in set(watch)], watch


def _share(groups: Sequence[str], stratum: Sequence[str], share: float, seed: int) -> set[int]:
    """Positions of one part, of whole groups, that is near to this share of the cases."""
    count = min(max(2, round(1 / share)), len(set(groups)))
    if count < 2:
        raise InputError([Fault("folds", "empty split: one group alone cannot be parted; expected two or more")])
    return set(np.flatnonzero(_kfold(groups, stratum, count, seed) == 0).tolist())


def _kfold(groups: Sequence[str], stratum: Sequence[str], count: int, seed: int) -> NDArray[np.int64]:
    if len(set(groups)) < count:
        message = f"empty split: {len(set(groups))} groups for {count} folds; take fewer folds"
        raise InputError([Fault("folds", message)])
    kinds = list(stratum) if max(Counter(stratum).values()) >= count else ["all"] * len(groups)
    folds = np.full(len(groups), -1)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # spread as far as it goes
        for number, (_, members) in enumerate(splitter.split(np.zeros(len(groups)), kinds, groups)):
            folds[members] = number
    if len(set(folds.tolist())) < count:
        raise InputError([Fault("folds", f"empty split: a fold of {count} has no case; take fewer folds")])
    return folds


def _from_table(cases: Sequence[AnnotatedCase], path: Path) -> tuple[int, ...]:
    rows = list(csv.DictReader(read_text(path, InputError).splitlines()))
    columns = list(rows[0]) if rows else []
    key = next((name for name in ("case_id", "group") if name in columns), None)
    if key is None or "fold" not in columns:
        found = ", ".join(columns) or "nothing"
        raise InputError([Fault(path.name, f"columns {found}; expected case_id (or group) and fold")])
    faults: list[Fault] = []
    told: dict[str, int] = {}
    for line, row in enumerate(rows, start=2):
        name, fold = row[key], row["fold"] or ""
        if not fold.isdecimal():
            faults.append(Fault(f"{path.name}:{line}: fold", f"found {fold!r}; expected a whole number from 0 on"))
        elif told.setdefault(name, int(fold)) != int(fold):
            faults.append(Fault(f"{path.name}:{line}: {key}", f"{name} is in two folds, {told[name]} and {fold}"))
    names = [case.case_id if key == "case_id" else case.group for case in cases]
    faults += [Fault(path.name, f"{key} {name} has no fold") for name in sorted(set(names) - set(told))]
    faults += [Fault(path.name, f"{key} {name} is not in the snapshot") for name in sorted(set(told) - set(names))]
    if faults:
        raise InputError(faults)
    folds = tuple(told[name] for name in names)
    if faults := [*_parted(cases, folds, path.name)]:
        raise InputError(faults)
    if len(set(folds)) < 2:
        raise InputError([Fault(path.name, "empty split: every case is in one fold; expected two or more")])
    return folds


def _parted(cases: Sequence[AnnotatedCase], folds: Sequence[int], where: str) -> Iterator[Fault]:
    for noun in ("patient", "group"):
        places: dict[str, set[int]] = {}
        for case, fold in zip(cases, folds, strict=True):
            places.setdefault(case.patient_id if noun == "patient" else case.group, set()).add(fold)
        for name, found in sorted(places.items()):
            if len(found) > 1:
                yield Fault(where, f"{noun} {name} is in folds {', '.join(map(str, sorted(found)))}; expected one")


def fold_rows(
    cases: Sequence[AnnotatedCase], stratum: Sequence[str], of: Sequence[int], folds: Mapping[int, Fold]
) -> Iterator[dict[str, object]]:
    """`folds.csv`: a row a case, with the folds in whose inner validation it is."""
    for index, case in enumerate(cases):
        watched = [str(number) for number, fold in sorted(folds.items()) if index in fold.watch]
        yield {
            "case_id": case.case_id,
            "patient_id": case.patient_id,
            "group": case.group,
            "stratum": stratum[index],
            "fold": of[index],
            "validation_in": ";".join(watched),
        }
