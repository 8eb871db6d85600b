"""Who is kept from every training, so that models can be compared on patients that none of them has seen."""

import hashlib
from collections.abc import Iterable, Mapping
from fractions import Fraction

from trialscan.errors import Fault, InputError
from trialscan.training.datasets.description import HeldOut
from trialscan.training.datasets.draft import DraftCase
from trialscan.training.datasets.snapshot import Snapshot


def choose_held_out(cases: Iterable[DraftCase], rule: HeldOut | None, before: Snapshot | None) -> tuple[str, ...]:
    """The groups held out: those listed, or a share of them within each value of the rule's attribute.

    Groups of the snapshot `before` stay where they are, so that a patient once trained on is never tested on, nor the
    other way round; only new ones are drawn, until each stratum has its share. The draw depends on the seed and the
    names of the groups alone.

    Raises
    ------
    InputError
        Nobody would be held out, or nobody left for training; a group has no value of the attribute.
    """
    if rule is None:
        return ()
    strata = _strata(cases, rule.stratified_by)
    if rule.groups:
        chosen = set(rule.groups)
    else:
        share = Fraction(str(rule.share))
        kept = set(before.held_out) if before else set()
        old = {case.group for case in before.cases} if before else set()
        chosen = _draw(strata, share, rule.seed, kept, old)
    everyone = {group for groups in strata.values() for group in groups}
    if not chosen or chosen >= everyone:
        empty = "held-out" if not chosen else "training"
        raise InputError([Fault("held_out", f"the {empty} split is empty ({len(everyone)} groups); change the share")])
    return tuple(sorted(chosen))


def _strata(cases: Iterable[DraftCase], attribute: str | None) -> Mapping[str, list[str]]:
    """Groups by the value of the attribute that their first case has; each list sorted."""
    value_of: dict[str, str] = {}
    faults = []
    for case in sorted(cases, key=lambda case: case.case_id):
        value = case.attributes.get(attribute, "") if attribute else "all"
        if attribute and attribute not in case.attributes:
            faults.append(Fault(case.where, f"no attribute {attribute!r} to stratify by"))
        value_of.setdefault(case.group, value)
    if faults:
        raise InputError(faults)
    strata: dict[str, list[str]] = {}
    for group, value in sorted(value_of.items()):
        strata.setdefault(value, []).append(group)
    return strata


def _draw(strata: Mapping[str, list[str]], share: Fraction, seed: int, kept: set[str], old: set[str]) -> set[str]:
    """Largest remainders: every stratum gets the whole part of its share, then those that lost most get one more."""
    total = sum(len(groups) for groups in strata.values())
    exact = {value: share * len(groups) for value, groups in strata.items()}
    wanted = {value: int(amount) for value, amount in exact.items()}
    left = round(share * total) - sum(wanted.values())
    by_loss = sorted(strata, key=lambda value: (wanted[value] - exact[value], value))
    for value in by_loss[:left]:
        wanted[value] += 1
    chosen = set()
    for value, groups in strata.items():
        stay = [group for group in groups if group in kept]
        new = sorted((group for group in groups if group not in old), key=lambda group: _lot(seed, group))
        chosen |= {*stay, *new[: max(wanted[value] - len(stay), 0)]}
    return chosen


def _lot(seed: int, group: str) -> str:
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()
