"""What a snapshot of many files costs, step by step: `python -m tests.benchmarks.dataset_store [--cases N]`.

Every case is a grey picture and a mask. Seconds are of the wall and of the processor; on a busy machine the latter is
nearer to what an idle one takes. Figures stand in docs/datasets.md.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from trialscan.errors import InputError
from trialscan.training.datasets import DatasetStore, clone_snapshot, cloning, read_description, take_snapshot

YAML = """\
name: many
licence: CC0
source: made by tests.benchmarks.dataset_store
labels: {1: lesion}
sources:
  - pattern:
      images: ['images/{case}.png']
      masks:
        - {path: 'masks/{case}.png', values: {1: lesion}}
"""


@dataclass
class Laps:
    """Wall and processor seconds by step."""

    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = (time.perf_counter() - wall, time.process_time() - cpu)


def write_cases(folder: Path, cases: int, edge: int) -> None:
    """Pictures of random levels, which PNG cannot make smaller, and masks of one square."""
    random = np.random.default_rng(1)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    mask = np.zeros((edge, edge), dtype=np.uint8)
    mask[edge // 4 : edge // 2, edge // 4 : edge // 2] = 1
    for case in range(cases):
        levels = random.integers(0, 255, (edge, edge), dtype=np.uint8)
        Image.fromarray(levels).save(folder / "images" / f"{case:05d}.png", compress_level=1)
        mask[0] = random.integers(0, 2, edge)
        Image.fromarray(mask).save(folder / "masks" / f"{case:05d}.png")
    (folder / "dataset.yaml").write_text(YAML)


def with_links(work: Callable[[], object]) -> None:
    """As another user than root would be served."""
    real = os.geteuid
    os.geteuid = lambda: 1000
    try:
        work()
    finally:
        os.geteuid = real


def measure(root: Path, cases: int, edge: int) -> dict[str, object]:
    """All steps on a new folder of cases."""
    laps = Laps()
    folder, store = root / "data", DatasetStore(root / "store")
    with laps.lap("write the data"):
        write_cases(folder, cases, edge)
    with laps.lap("snapshot"):
        taken = take_snapshot(read_description(folder / "dataset.yaml"), folder, store)
    with laps.lap("snapshot again, unchanged"):
        take_snapshot(read_description(folder / "dataset.yaml"), folder, store)
    with laps.lap("find"):
        snapshot = store.find("many")
    with laps.lap("path of every file"):
        for file in snapshot.files:
            store.path_of(snapshot, file.path)
    with laps.lap("check"):
        store.check(snapshot)
    with laps.lap("clone"):
        made = clone_snapshot(store, snapshot, root / "clone")
    with laps.lap("clone --link-images"):
        with_links(lambda: clone_snapshot(store, snapshot, root / "linked", link_images=True))
    held = store.objects.place(snapshot.files[len(snapshot.files) // 3])
    content = bytearray(held.read_bytes())
    content[len(content) // 2] ^= 1
    held.chmod(0o644)
    held.write_bytes(bytes(content))
    try:
        store.check(snapshot)
        found = "nothing"
    except InputError as error:
        found = str(error)
    return {
        "files": len(snapshot.files),
        "megabytes": sum(file.size for file in snapshot.files) / 1e6,
        "kept": {kind.value: count for kind, count in taken.kept.items()},
        "clone": {kind.value: count for kind, count in made.ways.items()},
        "reflinks": cloning.Kept.REFLINK in made.ways,
        "wall_and_cpu_seconds": {name: [round(each, 3) for each in pair] for name, pair in laps.seconds.items()},
        "wall_seconds_of_the_snapshot": {name: round(each, 3) for name, each in taken.seconds.items()},
        "cpu_seconds_of_the_snapshot": {name: round(each, 3) for name, each in taken.cpu_seconds.items()},
        "flipped_byte": found,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--edge", type=int, default=128, help="pixels along an image's edge")
    parser.add_argument("--out", type=Path, help="where to work: the file system decides on reflinks and links")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.out) as folder:
        print(json.dumps(measure(Path(folder), given.cases, given.edge), indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
