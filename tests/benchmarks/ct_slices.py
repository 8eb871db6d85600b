"""The shipped model of CT slices on real ones: `python -m tests.benchmarks.ct_slices [--data FOLDER]`.

The folder holds `images/*.jpg` and `lesion_masks/*.png` of 50 axial slices of patients with COVID-19 (COVID-SemiSeg,
for non-commercial use), windowed 8-bit pictures that no model of the project was trained on. Beside it stand a plain
threshold of grey levels in the whole picture, and one within the lungs that the model finds. Both limits of each were
chosen on these very slices with the readers' masks in view, so that the thresholds are as good as they can be.
"""

import argparse
import itertools
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.conftest import real_data_folder
from trialscan.imaging import Units, Volume, read_mask, read_volume
from trialscan.segmentation import Segmenter, load_bundle
from trialscan.study.shipped import shipped_folder

GREY_STEP = 10
Mask = NDArray[np.bool_]


def main() -> None:
    """Print mean and median Dice of the model and of both thresholds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=real_data_folder() / "covid_ct_slices")
    slices = list(read_slices(parser.parse_args().data))
    segmenter = load_bundle(shipped_folder() / "models" / "ct_slice", "cpu")
    found = [segmenter(image).labels.array for image, _ in slices]
    grey = [image.array for image, _ in slices]
    truth = [mask for _, mask in slices]
    everywhere = [np.ones(mask.shape, dtype=bool) for mask in truth]
    say("model", model_dice(segmenter, slices))
    for name, where in (("threshold", everywhere), ("threshold in the model's lungs", [one >= 1 for one in found])):
        (low, high), dice = best_threshold(grey, where, truth)
        say(f"{name}, {low} to {high} of 255", dice)


def read_slices(folder: Path) -> Iterable[tuple[Volume, Mask]]:
    """Each picture and the readers' mask of it."""
    for path in sorted((folder / "images").glob("*.jpg")):
        image = read_volume(path, Units.INTENSITY)
        yield image, read_mask(folder / "lesion_masks" / f"{path.stem}.png", like=image).array > 0


def model_dice(segmenter: Segmenter, slices: Iterable[tuple[Volume, Mask]]) -> NDArray[np.float64]:
    """Dice of ground glass and consolidation together, a number a slice."""
    return np.array([dice(segmenter(image).labels.array >= 2, mask) for image, mask in slices])


def best_threshold(
    grey: list[NDArray[np.generic]], where: list[Mask], truth: list[Mask]
) -> tuple[tuple[int, int], NDArray[np.float64]]:
    """The limits of grey with the highest mean Dice, and the Dice of each slice with them."""
    limits = itertools.combinations(range(0, 256 + GREY_STEP, GREY_STEP), 2)
    tried = {
        (low, high): np.array(
            [dice((g >= low) & (g < high) & w, t) for g, w, t in zip(grey, where, truth, strict=True)]
        )
        for low, high in limits
    }
    best = max(tried, key=lambda pair: float(tried[pair].mean()))
    return best, tried[best]


def dice(first: Mask, second: Mask) -> float:
    """Overlap of two masks; 1 where both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else 1.0


def say(name: str, each: NDArray[np.float64]) -> None:
    """Print a line."""
    sys.stdout.write(
        f"{name}: mean Dice {each.mean():.3f}, median {np.median(each):.3f}, {each.min():.2f} to {each.max():.2f}, "
        f"{int((each < 0.5).sum())} of {each.size} below 0.5\n"
    )


if __name__ == "__main__":
    main()
