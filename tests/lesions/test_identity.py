import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trialscan.lesions.correspondence import Link
from trialscan.lesions.identity import families, heirs, steps

graphs = st.sets(st.builds(Link, st.integers(0, 5), st.integers(0, 6))).map(sorted)
sizes = st.lists(st.floats(0.1, 100), min_size=7, max_size=7)


def test_the_largest_predecessor_and_the_largest_fragment_keep_the_name():
    merge = [Link(0, 0), Link(1, 0)]
    assert heirs(merge, [1.0, 5.0], [6.0]) == {0: 1}
    split = [Link(0, 0), Link(0, 1)]
    assert heirs(split, [5.0], [2.0, 3.0]) == {1: 0}
    assert heirs(split, [5.0], [2.0, 2.0]) == {0: 0}
    assert heirs([], [5.0], [2.0]) == {}


def test_a_lesion_that_loses_its_main_predecessor_takes_a_new_name():
    assert heirs([Link(0, 0), Link(0, 1), Link(1, 1)], [5.0, 1.0], [4.0, 2.0]) == {0: 0}


@settings(deadline=None)
@given(graphs, sizes, sizes)
def test_a_name_is_kept_once_and_only_along_a_link(links, earlier, later):
    kept = heirs(links, earlier, later)
    assert len(set(kept.values())) == len(kept)
    assert all(Link(before, after) in links for after, before in kept.items())
    for before in {link.earlier for link in links}:
        largest_of_someone = [a for a in {x.later for x in links} if _main(links, earlier, a) == before]
        assert (before in kept.values()) == bool(largest_of_someone)


def _main(links, earlier, later):
    return max(sorted(x.earlier for x in links if x.later == later), key=lambda a: earlier[a])


@settings(deadline=None)
@given(graphs)
def test_steps_hold_every_lesion_once_and_every_link_inside(links):
    parts = steps(links, 6, 7)
    assert sorted(a for part in parts for a in part.earlier) == list(range(6))
    assert sorted(b for part in parts for b in part.later) == list(range(7))
    for link in links:
        assert sum(link.earlier in part.earlier and link.later in part.later for part in parts) == 1


def test_families_are_named_in_order_and_join_over_generations():
    ids = ["L01", "L02", "L03", "L04", "L05"]
    named = families(ids, [("L04", "L03"), ("L05", "L04"), ("L01", "L01"), ("L05", "L02")])
    assert named == {"L01": "F01", "L02": "F02", "L03": "F02", "L04": "F02", "L05": "F02"}
    assert families([], []) == {}


def test_steps_of_nothing():
    assert steps([], 0, 0) == ()
    assert np.size(steps([], 1, 1)) == 2
