"""No text in a manifest leads out of its folder."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trialscan.study.paths import PathError, inside


@pytest.fixture(scope="module")
def maze(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ways out: links up, to itself, to a file outside, and in a circle; siblings share its prefix."""
    base = tmp_path_factory.mktemp("maze")
    (base / "trial" / "sub").mkdir(parents=True)
    (base / "trial2").mkdir()
    for file in ("secret", "trial2/secret", "trial/scan", "trial/sub/scan"):
        (base / file).touch()
    links = {"up": "..", "self": ".", "out": "../secret", "in": "sub/scan", "circle": "circle", "sub/up": "../.."}
    for name, target in links.items():
        (base / "trial" / name).symlink_to(target)
    return base / "trial"


STEPS = st.sampled_from(
    ["..", ".", "", "up", "self", "out", "in", "circle", "sub", "scan", "secret", "trial", "trial2"]
)


@settings(deadline=None, derandomize=True, database=None, max_examples=500)
@given(steps=st.lists(STEPS, max_size=8), absolute=st.booleans(), rest=st.just("") | st.text(max_size=5))
def test_what_is_accepted_lies_inside(maze: Path, steps: list[str], absolute: bool, rest: str):
    text = "/".join([*([str(maze)] if absolute else []), *steps, rest])
    try:
        path = inside(maze, text)
    except PathError:
        return
    assert path.is_absolute()
    assert ".." not in path.parts
    assert path.is_relative_to(maze)
    assert path.resolve(strict=True).is_relative_to(maze.resolve())


@pytest.mark.parametrize(
    ("text", "expected"),
    [("scan", "scan"), ("./sub/scan", "sub/scan"), ("sub/../scan", "scan"), ("sub", "sub"), ("in", "in")],
)
def test_paths_inside_are_accepted(maze: Path, text: str, expected: str):
    assert inside(maze, text) == maze / expected
    assert inside(maze, str(maze / text)) == maze / expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("../secret", "leaves the manifest's folder; keep data"),
        ("sub/../../secret", "leaves the manifest's folder; keep data"),
        ("../trial2/secret", "leaves the manifest's folder; keep data"),
        ("/", "leaves the manifest's folder; keep data"),
        ("out", "leaves the manifest's folder through a symbolic link"),
        ("up", "leaves the manifest's folder through a symbolic link"),
        ("sub/up/secret", "leaves the manifest's folder through a symbolic link"),
        ("circle", "cannot be followed"),
        ("scan/deeper", "cannot be followed: Not a directory"),
        ("absent", "does not exist"),
    ],
)
def test_other_paths_are_refused_with_the_reason(maze: Path, text: str, reason: str):
    with pytest.raises(PathError, match=reason):
        inside(maze, text)


def test_a_folder_reached_through_a_link_is_still_the_folder(maze: Path, tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to(maze)
    assert inside(link, "sub/scan") == link / "sub" / "scan"
