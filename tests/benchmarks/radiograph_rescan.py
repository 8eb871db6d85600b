"""Measurement error of opacities on chest radiographs by simulation: patients taken twice, outlined by the network.

    python tests/benchmarks/radiograph_rescan.py --out DIR [--patients 60] [--first 0]

Each simulated patient has one to six lesions and stands twice before a detector, in another breath and posture;
framing, exposure, processing and markers differ as they do from day to day, so that one scanner and two are not told
apart. The shipped network outlines lungs and opacities; these are found, measured, aligned and linked as in a run.
`pairs.csv` holds a row for each opacity that is one and whole in both pictures, in percent of the lung fields; the SD
of each class of size is printed at the end.
"""

import argparse
import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from trialscan.lesions import VisitFindings, find_lesions, track_patient
from trialscan.lesions.repeatability import common_share
from trialscan.phantom import Deformation, ThoraxSpec, project_radiograph, random_lesions, simulate_thorax
from trialscan.registration import register
from trialscan.segmentation import Segmenter, load_bundle, segment_scan
from trialscan.study import Protocol, find_protocol, load_protocol, resolve_model

PROTOCOL = "chest_xray"
COARSE_MM = (8.0, 8.0, 8.0)
PIXEL_MM = 2.0
SEED = 20261126
COLUMNS = ("patient", "lesion_id", "before_percent", "after_percent", "change")
FROM_PERCENT = (0.0, 1.0, 3.0, 10.0)


def pairs(number: int, protocol: Protocol, segmenter: Segmenter) -> Iterator[tuple[object, ...]]:
    """The rows of one patient."""
    rng = np.random.default_rng([SEED, number])
    spec = dataclasses.replace(ThoraxSpec.random(rng), arms_down=bool(rng.random() < 0.7), blood_hu=45.0)
    lesions = random_lesions(spec, rng, int(rng.integers(1, 7)), (10.0, 55.0))
    pictures, masks = [], []
    for visit in range(2):
        turn = tuple(rng.normal(0, (4.0, 2.5, 4.0)).tolist())
        pose = Deformation(float(rng.uniform(0.2, 0.9)), rotation_deg=turn)
        patient = simulate_thorax(number, COARSE_MM, lesions=lesions, spec=spec, deformation=pose)
        taken = project_radiograph(patient, 2 * number + visit, PIXEL_MM)
        pictures.append(taken.image)
        masks.append(
            segment_scan(
                taken.image, settings=protocol.segmentation, segmenter=segmenter, organ_mask=None, lesion_mask=None
            )
        )
    alignment = register(
        *pictures, fixed_mask=masks[0].organ, moving_mask=masks[1].organ, settings=protocol.registration
    )
    findings = [find_lesions(mask, picture, protocol.lesions) for mask, picture in zip(masks, pictures, strict=True)]
    visits = [
        VisitFindings("V0", 0, findings[0], None, is_baseline=True),
        VisitFindings("V1", 1, findings[1], alignment, is_baseline=False),
    ]
    history = track_patient(visits, protocol.lesions)
    before = {row.lesion_id: row for row in history.rows if row.visit == "V0"}
    for row in history.rows:
        single = row.visit == "V1" and row.predecessors == (row.lesion_id,) and row.label is not None
        if single and row.change not in {"split", "merged", "new"} and "cut" not in row.note:
            yield number, row.lesion_id, before[row.lesion_id].organ_percent, row.organ_percent, row.change


def print_table(path: Path) -> None:
    """SD of the natural log by geometric mean size, the pairs of each class, and the share a picture has in common."""
    rows = pd.read_csv(path)
    gaps = np.log(rows["after_percent"] / rows["before_percent"])
    sizes = np.sqrt(rows["after_percent"] * rows["before_percent"])
    place = np.searchsorted(FROM_PERCENT, sizes, side="right") - 1
    scaled = gaps.copy()
    for number, start in enumerate(FROM_PERCENT):
        some = gaps[place == number]
        sd = float(np.sqrt((some**2).mean() / 2))
        scaled[place == number] = some / sd
        print(f"from {start:g} %: SD {sd:.3f}, {len(some)} pairs")  # noqa: T201
    print(f"common share {common_share(zip(rows['patient'].astype(str), scaled, strict=True)):.2f}")  # noqa: T201


def main() -> None:
    """Write pairs.csv, a patient at a time, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    protocol, source = load_protocol(PROTOCOL), find_protocol(PROTOCOL)
    bundle = resolve_model(protocol, source)
    if bundle is None:
        parser.error(f"protocol {PROTOCOL} names no model")
    segmenter = load_bundle(bundle, "cpu", protocol.segmentation.weights_sha256)
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / "pairs.csv"
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(COLUMNS)
        for number in range(asked.first, asked.first + asked.patients):
            writer.writerows(pairs(number, protocol, segmenter))
            file.flush()
    print_table(path)


if __name__ == "__main__":
    main()
