"""Snapshots of public data, each described by another kind of source."""

from pathlib import Path

import numpy as np
import pytest

from trialscan.imaging import read_mask, read_volume
from trialscan.training.datasets import DatasetStore, Snapshot, read_description, take_snapshot

DESCRIPTIONS = Path(__file__).parent / "descriptions"


@pytest.fixture
def taken(real_data: Path, store: DatasetStore):
    def take(name: str) -> Snapshot:
        return take_snapshot(read_description(DESCRIPTIONS / f"{name}.yaml"), real_data / name, store).snapshot

    return take


def test_ct_slices(taken, store: DatasetStore) -> None:
    snapshot = taken("covid_ct_slices")
    assert len(snapshot.cases) == 50
    assert len(snapshot.files) == 100
    assert len({case.group for case in snapshot.cases}) == 7
    assert all(dict(case.masks[0].values) == {255: 1} for case in snapshot.cases)
    store.check(snapshot)


@pytest.mark.slow
def test_radiographs(taken) -> None:
    snapshot = taken("chest_xray")
    assert len(snapshot.cases) == 57
    assert len({case.patient_id for case in snapshot.cases}) == 44
    assert len(snapshot.held_out) == 9
    assert not {case.patient_id for case in snapshot.held_out_cases} & {
        case.patient_id for case in snapshot.training_cases
    }
    assert set(snapshot.cases[0].attributes) == {"sex", "age", "finding"}
    assert dict(snapshot.labels) == {0: "background", 1: "lung", 2: "opacity"}


def test_sarcomas(taken, store: DatasetStore) -> None:
    snapshot = taken("sarcoma")
    assert len(snapshot.cases) == 15
    assert len(snapshot.held_out) == 3
    image = read_volume(store.path_of(snapshot, snapshot.cases[0].images[0]))
    assert read_mask(store.path_of(snapshot, snapshot.cases[0].masks[0].path), image).array.any()


def test_a_tumour_drawn_on_a_dicom_series(taken, store: DatasetStore, real_data: Path) -> None:
    snapshot = taken("lung_tumour_ct")
    (case,) = snapshot.cases
    image = read_volume(store.path_of(snapshot, case.images[0]))
    mask = read_mask(store.path_of(snapshot, case.masks[0].path), image)
    assert mask.array.sum() * mask.voxel_ml == pytest.approx(359, abs=0.5)
    reference = read_mask(real_data / "lung_tumour_ct/ibsi_1_ct_radiomics_phantom/nifti/mask/mask.nii.gz")
    np.testing.assert_array_equal(np.argwhere(mask.array), np.argwhere(reference.array))
    assert len(snapshot.files) == 60 + 1 + 1
    assert store.record(snapshot).origins[case.masks[0].path].startswith("drawn from ibsi_1")
