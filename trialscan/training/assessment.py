"""How a model does on simulated scans that it never saw: the figures of its card."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trialscan.imaging import Units, Volume
from trialscan.phantom import Phantom, ScannerSpec, ThoraxSpec, random_grid, simulate_radiograph, simulate_thorax
from trialscan.segmentation import Segmenter, compare_masks

SIZE_BANDS_ML = (0.0, 1.0, 5.0, 20.0, np.inf)
NOISE_BANDS_HU = (0.0, 12.0, 25.0, np.inf)


@dataclass(frozen=True)
class Assessment:
    """`scans`: a row a seed. `lesions`: a row a simulated lesion with the share of its voxels found."""

    scans: pd.DataFrame
    lesions: pd.DataFrame

    def by_size(self) -> pd.DataFrame:
        """Lesions by volume: how many, how many with at least half of their voxels found, and the mean share found."""
        bands = pd.cut(self.lesions["volume_ml"], SIZE_BANDS_ML)
        table = self.lesions.assign(found=self.lesions["found_share"] >= 0.5)
        return table.groupby(bands, observed=True).agg(
            lesions=("found", "size"), found=("found", "sum"), mean_share=("found_share", "mean")
        )

    def by_noise(self) -> pd.DataFrame:
        """Scans by the noise of the scanner: how many, and mean Dice."""
        bands = pd.cut(self.scans["noise_hu"], NOISE_BANDS_HU)
        return self.scans.groupby(bands, observed=True).agg(
            scans=("seed", "size"), lesion_dice=("lesion_dice", "mean"), lung_dice=("lung_dice", "mean")
        )


def assess_volume(segmenter: Segmenter, seeds: Iterable[int]) -> Assessment:
    """Segment one simulated CT a seed: all noise levels, kernels and slice thicknesses, whole and cropped fields."""
    scans: list[dict[str, float | str | None]] = []
    lesions: list[dict[str, float | str]] = []
    for seed in seeds:
        phantom, scanner = fresh_scan(seed)
        labels = segmenter(phantom.image).labels
        scans.append({"seed": seed, **_scanner_facts(phantom, scanner), **_agreement(labels, phantom)})
        lesions.extend({"seed": seed, **row} for row in _lesion_rows(labels, phantom))
    return Assessment(pd.DataFrame(scans), pd.DataFrame(lesions, columns=["seed", "kind", "volume_ml", "found_share"]))


def assess_planar(segmenter: Segmenter, seeds: Iterable[int]) -> pd.DataFrame:
    """Segment one simulated radiograph a seed; a row each."""
    rows = []
    for seed in seeds:
        picture = simulate_radiograph(seed)
        labels = segmenter(picture.image).labels
        lung = compare_masks(_at_least(labels, 1), _at_least(picture.lungs, 1))
        opacity = compare_masks(_at_least(labels, 2), _at_least(picture.opacities, 1))
        rows.append({"seed": seed, "lung_dice": lung["dice"], "opacity_dice": opacity["dice"]})
    return pd.DataFrame(rows)


def fresh_scan(seed: int) -> tuple[Phantom, ScannerSpec]:
    """A simulated CT by seed: its own grid, a random spacing or a random field of view in turn."""
    rng = np.random.default_rng([seed, 5])
    spec, scanner = ThoraxSpec.random(rng), ScannerSpec.random(rng)
    in_plane = float(rng.uniform(1.2, 2.5))
    spacing = (in_plane, in_plane, float(rng.uniform(1.5, 5.0)))
    breathing = float(rng.uniform(-0.5, 0.5))
    grid = random_grid(spec, spacing, rng) if seed % 3 == 2 else None
    own_or_random = (2.5, 2.5, 2.5) if seed % 3 == 0 else spacing
    return simulate_thorax(seed, own_or_random, breathing=breathing, spec=spec, scanner=scanner, grid=grid), scanner


def _scanner_facts(phantom: Phantom, scanner: ScannerSpec) -> dict[str, float | str]:
    return {
        "spacing_mm": " × ".join(f"{s:.2f}" for s in phantom.image.spacing_mm),
        "noise_hu": scanner.noise_hu,
        "slice_thickness_mm": float(scanner.slice_thickness_mm),
    }


def _agreement(labels: Volume, phantom: Phantom) -> dict[str, float | None]:
    lung = compare_masks(_at_least(labels, 1), _at_least(phantom.organ, 1))
    lesion = compare_masks(_at_least(labels, 2), _at_least(phantom.lesions, 1))
    return {
        "lung_dice": lung["dice"],
        "lesion_ml": lesion["reference_ml"],
        "predicted_ml": lesion["predicted_ml"],
        "lesion_dice": lesion["dice"],
        "burden_error_percent": lesion["difference_percent"],
    }


def _lesion_rows(labels: Volume, phantom: Phantom) -> Iterator[dict[str, float | str]]:
    for truth in phantom.truth:
        inside = phantom.instances.array == truth.lesion_id
        yield {
            "kind": truth.kind,
            "volume_ml": truth.volume_ml,
            "found_share": float((labels.array[inside] >= 2).mean()),
        }


def _at_least(mask: Volume, label: int) -> Volume:
    return mask.with_array((mask.array >= label).astype(np.uint8), Units.LABEL)
