from trialscan.phantom.truth import SeenLesion, name_lesions


def seen(label, voxels, seeds):
    return SeenLesion(frozenset(seeds), label, voxels, (0.0, 0.0, 0.0))


def story(scans):
    return [[(row.number, row.event, row.predecessors) for row in scan] for scan in name_lesions(scans)]


def test_numbers_start_with_the_largest_and_last():
    assert story([(seen(1, 10, (1,)), seen(2, 30, (2,))), (seen(1, 5, (2,)), seen(2, 9, (1,)))]) == [
        [(1, "baseline", ()), (2, "baseline", ())],
        [(1, "continued", (1,)), (2, "continued", (2,))],
    ]


def test_a_merged_lesion_keeps_the_largest_predecessors_number():
    assert story([(seen(1, 10, (1,)), seen(2, 30, (2,))), (seen(1, 50, (1, 2)),)])[1] == [(1, "merge", (1, 2))]


def test_the_largest_part_of_a_split_keeps_the_number():
    after = story([(seen(1, 50, (1, 2)),), (seen(1, 10, (1,)), seen(2, 30, (2,)))])[1]
    assert after == [(1, "split", (1,)), (2, "split", (1,))]


def test_new_and_resolved_lesions_are_told():
    after = story([(seen(1, 50, (1,)), seen(2, 20, (2,))), (seen(1, 50, (1,)), seen(2, 10, (3,)))])[1]
    assert after == [(1, "continued", (1,)), (2, "resolved", (2,)), (3, "new", ())]


def test_a_number_is_never_given_twice():
    scans = ((seen(1, 9, (1,)),), (seen(1, 9, (2,)),), (seen(1, 9, (3,)),))
    assert [scan[-1][0] for scan in story(scans)] == [1, 2, 3]
