import numpy as np
import pytest

from trialscan.errors import GeometryError
from trialscan.phantom import LesionSpec, ThoraxSpec, project_radiograph, simulate_radiograph, simulate_thorax

COARSE_MM = 4.0


@pytest.fixture(scope="module")
def picture():
    lesions = [LesionSpec(1, "consolidation", (80.0, 30.0, 0.0), 24.0)]
    phantom = simulate_thorax(3, (6.0, 6.0, 6.0), spec=ThoraxSpec(), lesions=lesions)
    return project_radiograph(phantom, seed=1, pixel_mm=COARSE_MM)


def test_pictures_are_planar_without_millimetres(picture):
    assert picture.image.is_planar
    assert picture.image.array.dtype == np.uint8
    assert picture.image.shape == picture.lungs.shape == picture.opacities.shape
    with pytest.raises(GeometryError):
        _ = picture.image.spacing_mm


def test_the_patients_left_is_on_the_right_of_the_picture(picture):
    left, right = (np.argwhere(picture.lungs.array[:, :, 0] == label).mean(axis=0) for label in (1, 2))
    assert left[0] > right[0] + 10
    assert np.argwhere(picture.opacities.array)[:, 0].mean() > picture.image.shape[0] / 2


def test_head_is_up(picture):
    lungs = picture.lungs.array[:, :, 0] > 0
    rows = np.flatnonzero(lungs.any(axis=0))
    width = lungs.sum(axis=0)
    assert width[rows[0] + 2] < width[(rows[0] + rows[-1]) // 2]
    assert width[rows[-1]] < width[rows[0] + 3 * len(rows) // 4]


def test_lungs_are_darker_than_what_lies_under_the_diaphragm():
    for seed in (1, 2, 3):
        shot = simulate_radiograph(seed, COARSE_MM)
        lungs, image = shot.lungs.array[:, :, 0] > 0, shot.image.array[:, :, 0].astype(float)
        columns = np.flatnonzero(lungs.any(axis=1))
        below = [image[c, np.flatnonzero(lungs[c])[-1] + 4 : np.flatnonzero(lungs[c])[-1] + 10] for c in columns]
        assert np.median(image[lungs]) < np.median(np.concatenate(below))


def test_opacities_lie_within_the_lungs_and_brighten_them(picture):
    assert (picture.lungs.array[picture.opacities.array > 0] > 0).all()
    assert set(np.unique(picture.opacities.array)) == {0, 2}


def test_a_healthy_patient_has_no_opacity():
    phantom = simulate_thorax(4, (8.0, 8.0, 8.0), lesions=())
    assert not project_radiograph(phantom, seed=2, pixel_mm=COARSE_MM).opacities.array.any()


def test_same_seed_gives_same_bytes():
    first, again, other = (simulate_radiograph(seed, COARSE_MM) for seed in (6, 6, 7))
    assert first.image.array.tobytes() == again.image.array.tobytes()
    assert first.lungs.array.tobytes() == again.lungs.array.tobytes()
    assert other.image.array.tobytes() != first.image.array.tobytes()
