"""What differs is told, and nothing else; a lineage is a tree."""

from dataclasses import replace

from trialscan.training.datasets import AnnotatedCase, CaseMask, Snapshot, SnapshotFile, compare, lineage


def a_snapshot() -> Snapshot:
    files = tuple(SnapshotFile(f"{kind}/{n}.png", f"{n}" * 64, 10) for n in (1, 2, 3) for kind in ("images", "masks"))
    cases = tuple(
        AnnotatedCase(f"c{n}", f"p{n}", f"p{n}", (f"images/{n}.png",), (CaseMask(f"masks/{n}.png", {255: 1}),))
        for n in (1, 2, 3)
    )
    return Snapshot("set", "CC0", "somewhere", {0: "background", 1: "lesion"}, files, cases, ("p2",))


def test_no_difference() -> None:
    found = compare(a_snapshot(), replace(a_snapshot(), parent="0" * 64))
    assert not any(vars(found).values())


def test_each_difference_is_told() -> None:
    before = a_snapshot()
    first, second, _ = before.cases
    files = [file for file in before.files if "/3" not in file.path and file.path != "masks/1.png"]
    files += [SnapshotFile("masks/1.png", "a" * 64, 10), SnapshotFile("images/4.png", "b" * 64, 10)]
    new = AnnotatedCase("c4", "p4", "p4", ("images/4.png",), (CaseMask("masks/2.png", {255: 2}),))
    after = replace(
        before,
        files=tuple(files),
        cases=(first, replace(second, attributes={"sex": "F"}), new),
        labels={0: "background", 1: "tumour", 2: "node"},
        held_out=("p4",),
        licence="CC BY 4.0",
    )
    found = compare(before, after)
    assert found.added_files == ("images/4.png",)
    assert found.removed_files == ("images/3.png", "masks/3.png")
    assert found.changed_files == ("masks/1.png",)
    assert (found.added_cases, found.removed_cases, found.changed_cases) == (("c4",), ("c3",), ("c1", "c2"))
    assert (found.newly_held_out, found.no_longer_held_out) == (("p4",), ("p2",))
    assert found.labels == {1: ("lesion", "tumour"), 2: (None, "node")}
    assert found.facts == {"licence": ("CC0", "CC BY 4.0")}


def test_a_lineage_is_a_tree() -> None:
    root = a_snapshot()
    child = replace(root, parent=root.digest)
    grandchild = replace(root, parent=child.digest)
    brother = replace(root, parent=root.digest, licence="other")
    other = replace(root, name="another")
    orphan = replace(root, name="zz", parent="f" * 64)
    found = [(depth, one.digest) for depth, one in lineage((grandchild, other, child, orphan, brother, root))]
    assert found[0] == (0, other.digest)
    assert found[1] == (0, root.digest)
    assert found[-1] == (0, orphan.digest)
    assert (2, grandchild.digest) == found[found.index((1, child.digest)) + 1]
    assert (1, brother.digest) in found
    assert len(found) == 6
