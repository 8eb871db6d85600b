"""Held-out groups: the share asked for in every stratum, the same for the same seed, and never moved as data arrive."""

from collections import Counter
from dataclasses import replace

import pytest

from trialscan.errors import InputError
from trialscan.training.datasets import AnnotatedCase, CaseMask, Snapshot, SnapshotFile
from trialscan.training.datasets.description import HeldOut
from trialscan.training.datasets.draft import DraftCase
from trialscan.training.datasets.held_out import choose_held_out


def cases(count: int, first: int = 0) -> list[DraftCase]:
    """Patients with two cases each; one in four from site B."""
    return [
        DraftCase("row", f"p{n}_{visit}", f"p{n}", f"p{n}", (), (), {"site": "B" if n % 4 == 0 else "A"})
        for n in range(first, first + count)
        for visit in range(2)
    ]


def snapshot_of(drafts: list[DraftCase], held_out: tuple[str, ...]) -> Snapshot:
    file = SnapshotFile("a.png", "0" * 64, 1)
    annotated = tuple(
        AnnotatedCase(draft.case_id, draft.patient_id, draft.group, ("a.png",), (CaseMask("a.png", {}),))
        for draft in drafts
    )
    return Snapshot("s", "l", "s", {0: "background"}, (file,), annotated, held_out)


@pytest.mark.parametrize("seed", range(5))
def test_the_share_holds_in_all_and_in_each_stratum(seed: int) -> None:
    chosen = choose_held_out(cases(40), HeldOut(share=0.25, seed=seed, stratified_by="site"), None)
    assert len(chosen) == 10
    assert Counter("B" if int(group[1:]) % 4 == 0 else "A" for group in chosen) == {"A": 8, "B": 2}
    assert choose_held_out(cases(40)[::-1], HeldOut(share=0.25, seed=seed, stratified_by="site"), None) == chosen


def test_seeds_differ_and_chance_is_fair() -> None:
    times = Counter(
        group for seed in range(400) for group in choose_held_out(cases(10), HeldOut(share=0.3, seed=seed), None)
    )
    assert min(times.values()) > 80
    assert max(times.values()) < 165


def test_the_share_is_met_though_no_stratum_has_a_whole_part() -> None:
    chosen = choose_held_out(cases(6), HeldOut(share=0.5, stratified_by="site"), None)
    assert len(chosen) == 3


@pytest.mark.parametrize("seed", range(5))
def test_nobody_changes_sides_as_data_arrive(seed: int) -> None:
    rule = HeldOut(share=0.25, seed=seed, stratified_by="site")
    first = choose_held_out(cases(20), rule, None)
    before = snapshot_of(cases(20), first)
    second = choose_held_out(cases(40), rule, before)
    assert {group for group in second if int(group[1:]) < 20} == set(first)
    assert len(second) == 10


def test_an_earlier_choice_by_another_seed_stands() -> None:
    before = snapshot_of(cases(20), ("p3", "p4"))
    chosen = choose_held_out(cases(20), HeldOut(share=0.1, seed=9), before)
    assert chosen == ("p3", "p4")


def test_listed_groups_are_taken_as_they_are() -> None:
    assert choose_held_out(cases(4), HeldOut(groups=("p2", "p1")), None) == ("p1", "p2")
    assert choose_held_out(cases(4), None, None) == ()


def test_empty_splits_and_missing_attributes_are_refused() -> None:
    with pytest.raises(InputError, match="held-out split is empty"):
        choose_held_out(cases(4), HeldOut(share=0.01), None)
    with pytest.raises(InputError, match="training split is empty"):
        choose_held_out(cases(2), HeldOut(groups=("p0", "p1")), None)
    odd = [*cases(4), replace(cases(1)[0], case_id="x", attributes={})]
    with pytest.raises(InputError, match="no attribute 'site' to stratify by"):
        choose_held_out(odd, HeldOut(share=0.5, stratified_by="site"), None)
