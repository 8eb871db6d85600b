"""The shipped table on simulated repeated scans: how often no change is called a change, and how often growth is seen.

`scan_rescan_pairs.csv` holds volumes that the shipped network outlined in phantoms scanned again (`rescan`), on another
scanner (`scanner`), and with every lesion 30 % larger (`growth`); tests/benchmarks/scan_rescan.py makes it anew.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trialscan.lesions import Change, Lesion
from trialscan.lesions.change import judge
from trialscan.lesions.error import Measured, ScanFacts
from trialscan.study import load_protocol

PAIRS = Path(__file__).with_name("scan_rescan_pairs.csv")
RADIOGRAPHS = Path(__file__).with_name("radiograph_pairs.csv")


def lesion(volume_ml):
    return Lesion(
        number=1,
        class_name="lesion",
        voxel_count=1000,
        class_voxels={"lesion": 1000},
        volume_ml=volume_ml,
        class_ml={"lesion": volume_ml},
        area_mm2=None,
        organ_percent=None,
        longest_diameter_mm=None,
        slice_diameter_mm=None,
        slice_perpendicular_mm=None,
        mean_intensity=None,
        sd_intensity=None,
        centroid=(0.0, 0.0, 0.0),
        centroid_unit="mm",
        bounding_box=((0, 1), (0, 1), (0, 1)),
        touches_border=False,
    )


@pytest.fixture(scope="module")
def called():
    rows, settings = pd.read_csv(PAIRS), load_protocol("covid_lung_ct").lesions
    changes = []
    for row in rows.itertuples():
        scanners = ("A", "B" if row.pair == "scanner" else "A")
        sides = [
            [Measured(lesion(volume), ScanFacts(row.slice_mm, scanner))]
            for volume, scanner in zip((row.before_ml, row.after_ml), scanners, strict=True)
        ]
        changes.append(judge(*sides, settings).change)
    return rows.assign(change=changes)


@pytest.mark.parametrize("pair", ["rescan", "scanner"])
def test_no_change_is_called_a_change_in_five_of_a_hundred(called, pair):
    some = called[called["pair"] == pair]
    wrong = some["change"].isin([Change.GROWING, Change.SHRINKING])
    assert len(some) > 400
    assert 0.02 <= wrong.mean() <= 0.06
    for _, group in wrong.groupby(some["slice_mm"]):
        assert group.mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(group))


def test_growth_by_thirty_percent_is_seen_in_most_lesions_from_three_ml(called):
    grown = called[(called["pair"] == "growth") & (called["before_ml"] >= 1)]
    seen = grown["change"] == Change.GROWING
    assert not (grown["change"] == Change.SHRINKING).mean() > 0.025
    large = grown["before_ml"] >= 3
    assert seen[large].mean() >= 0.8
    assert 0.2 <= seen[~large].mean() <= 0.8
    power = seen[~large].groupby(grown["slice_mm"]).mean()
    assert power[1.5] > power[5.0]


def test_what_is_too_small_to_tell_is_not_called_stable(called):
    small = called[(called["pair"] == "rescan") & (called["before_ml"] < 0.3) & (called["after_ml"] < 0.3)]
    assert len(small) > 10
    assert (small["change"] == Change.STABLE).sum() == 0


def test_opacities_that_did_not_change_are_seldom_called_on_radiographs():
    """73 pairs of tests/benchmarks/radiograph_rescan.py; the table is theirs, its limits take them as normal."""
    rows, settings = pd.read_csv(RADIOGRAPHS), load_protocol("chest_xray").lesions
    changes = []
    for row in rows.itertuples():
        sides = [
            [Measured(replace(lesion(None), organ_percent=percent), ScanFacts())]
            for percent in (row.before_percent, row.after_percent)
        ]
        changes.append(judge(*sides, settings).change)
    wrong = np.isin(changes, [Change.GROWING, Change.SHRINKING]).mean()
    assert wrong <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(rows))
    sizes = np.sqrt(rows["before_percent"] * rows["after_percent"])
    gaps = np.log(rows["after_percent"] / rows["before_percent"])
    small, large = settings.repeatability
    for band, some in ((small, gaps[sizes < large.from_percent]), (large, gaps[sizes >= large.from_percent])):
        assert band.sd_log == pytest.approx(np.sqrt((some**2).mean() / 2), abs=0.001)
