import dataclasses
import pickle

import numpy as np
import pytest

from trialscan.errors import UsageError
from trialscan.imaging import Units
from trialscan.phantom import (
    Deformation,
    Grid,
    LesionSpec,
    Phantom,
    ScannerSpec,
    ThoraxSpec,
    random_grid,
    simulate_thorax,
)
from trialscan.phantom.lung import plumbing
from trialscan.phantom.thorax import whole_thorax


def centroid(phantom: Phantom, label: int):
    voxels = np.argwhere(phantom.organ.array == label).mean(axis=0, keepdims=True)
    return phantom.organ.to_world(voxels)[0]


def test_lungs_have_the_volume_of_an_adults(healthy):
    for phantom in healthy:
        volume_ml = np.count_nonzero(phantom.organ.array) * phantom.organ.voxel_ml
        assert 2000 < volume_ml < 8500


def test_lungs_of_an_average_adult_hold_four_to_seven_litres():
    phantom = simulate_thorax(0, (4.0, 4.0, 4.0), lesions=(), spec=ThoraxSpec())
    assert 4000 < np.count_nonzero(phantom.organ.array) * phantom.organ.voxel_ml < 7000


def test_left_lung_is_label_one_on_the_side_of_positive_x(healthy):
    for phantom in healthy:
        assert centroid(phantom, 1)[0] > 30
        assert centroid(phantom, 2)[0] < -30


def test_right_lung_is_the_larger_because_the_heart_lies_left(healthy):
    for phantom in healthy:
        left, right = (np.count_nonzero(phantom.organ.array == label) for label in (1, 2))
        assert left < right


def test_liver_lies_right_and_gas_left_under_the_diaphragm():
    phantom = simulate_thorax(8, (4.0, 4.0, 4.0), lesions=(), spec=ThoraxSpec(), scanner=ScannerSpec(noise_hu=1))
    under = phantom.image.to_index(np.array([[-70.0, -10.0, -85.0], [60.0, 0.0, -92.0]])).round().astype(int)
    liver, left = (phantom.image.array[tuple(index)] for index in under)
    assert 20 < liver < 90
    assert left < liver


def test_radiodensity_is_that_of_a_thorax(healthy):
    for phantom in healthy:
        inside = phantom.image.array[phantom.organ.array > 0]
        assert -990 < np.median(inside) < -700
        assert phantom.image.array[phantom.image.array > -2000].min() < -940
        assert phantom.image.array.max() > 200
        assert phantom.image.units is Units.HU


def test_trachea_and_main_bronchi_are_dark_and_not_lung():
    spec, scanner = ThoraxSpec(), ScannerSpec(noise_hu=1, blur_mm=0.2)
    phantom = simulate_thorax(0, (3.0, 3.0, 3.0), lesions=(), spec=spec, scanner=scanner)
    path = plumbing(spec).airway.start
    index = phantom.image.to_index(path[path[:, 2] < spec.apex_z]).round().astype(int).T
    assert np.median(phantom.image.array[tuple(index)]) < -850
    assert not phantom.organ.array[tuple(index)].any()


def test_masks_agree_with_one_another(diseased):
    classes, instances, organ = diseased.lesions.array, diseased.instances.array, diseased.organ.array
    assert np.array_equal(classes > 0, instances > 0)
    assert (organ[classes > 0] > 0).all()
    assert set(np.unique(organ)) == {0, 1, 2}
    assert diseased.image.same_grid(diseased.lesions)


def test_truth_counts_the_voxels_of_each_lesion(diseased):
    assert [truth.lesion_id for truth in diseased.truth] == [3, 5, 9]
    for truth in diseased.truth:
        voxels = np.argwhere(diseased.instances.array == truth.lesion_id)
        assert truth.volume_ml == pytest.approx(len(voxels) * 3.5**3 / 1000)
        assert truth.center_mm == pytest.approx(diseased.image.to_world(voxels.mean(axis=0)[None])[0])


def test_kinds_have_their_classes_and_densities(diseased):
    def classes(lesion_id):
        return set(np.unique(diseased.lesions.array[diseased.instances.array == lesion_id]))

    assert classes(3) == {1}
    assert classes(5) == {2}
    assert classes(9) == {1, 2}
    hu = diseased.image.array
    assert -720 < np.median(hu[diseased.instances.array == 3]) < -430
    assert -150 < np.median(hu[diseased.instances.array == 5]) < 60


def test_vessels_show_through_ground_glass(diseased):
    assert np.percentile(diseased.image.array[diseased.instances.array == 3], 99) > -350


def test_the_faintest_ground_glass_shows_in_the_densest_lung():
    spec, scanner = ThoraxSpec(lung_hu=-770.0, gravity_hu=110.0), ScannerSpec(noise_hu=0, slice_thickness_mm=1)
    faint = (LesionSpec(1, "ground_glass", (70.0, 55.0, -30.0), 22.0, density=0.0),)
    options = {"spec": spec, "scanner": scanner, "breathing": -1.0}
    ill = simulate_thorax(3, (4.0, 4.0, 4.0), lesions=faint, **options)
    sound = simulate_thorax(3, (4.0, 4.0, 4.0), lesions=(), **options)
    inside = ill.instances.array == 1
    assert np.median(sound.image.array[inside]) > -730
    assert np.median((ill.image.array - sound.image.array)[inside]) >= 100


def test_same_seed_gives_same_bytes_and_another_seed_others():
    first, again, other = (simulate_thorax(seed, (6.0, 6.0, 6.0)) for seed in (5, 5, 6))
    assert first.image.array.tobytes() == again.image.array.tobytes()
    assert first.instances.array.tobytes() == again.instances.array.tobytes()
    assert first.truth == again.truth
    assert other.image.array.tobytes() != first.image.array.tobytes()


def test_anatomy_stays_where_noise_changes():
    spec = ThoraxSpec.random(np.random.default_rng(3))
    one, two = (simulate_thorax(seed, (6.0, 6.0, 6.0), spec=spec, lesions=()) for seed in (1, 2))
    assert np.array_equal(one.organ.array, two.organ.array)
    assert not np.array_equal(one.image.array, two.image.array)


def test_inspiration_enlarges_the_lungs():
    spec = ThoraxSpec()
    volumes = [
        np.count_nonzero(simulate_thorax(1, (5.0, 5.0, 5.0), spec=spec, lesions=(), breathing=b).organ.array)
        for b in (-0.8, 0.0, 0.8)
    ]
    assert volumes[0] < 0.95 * volumes[1] < 0.9 * volumes[2]


def test_a_lesion_moves_with_the_deformation():
    lesion = LesionSpec(1, "consolidation", (80.0, 30.0, -10.0), 14.0, flattening=0.0)
    deformation = Deformation(0.7, rotation_deg=(2.0, -1.0, 3.0), shift_mm=(5.0, -4.0, 6.0))
    still = simulate_thorax(2, (3.0, 3.0, 3.0), spec=ThoraxSpec(), lesions=[lesion])
    moved = simulate_thorax(2, (3.0, 3.0, 3.0), spec=ThoraxSpec(), lesions=[lesion], deformation=deformation)
    expected = deformation.to_scan(np.array([still.truth[0].center_mm]))[0]
    assert moved.truth[0].center_mm == pytest.approx(expected, abs=1.5)


def test_a_single_lung_can_fill_the_field_of_view():
    spec = ThoraxSpec()
    grid = Grid((38, 52, 62), (4.0, 4.0, 5.0), (-152.0, -104.0, -160.0))
    phantom = simulate_thorax(1, spec=spec, grid=grid, lesions=())
    assert phantom.image.shape == grid.shape
    assert np.count_nonzero(phantom.organ.array == 2) > 40 * np.count_nonzero(phantom.organ.array == 1)


def test_random_fields_of_view_lie_over_the_lungs():
    spec = ThoraxSpec()
    for seed in range(20):
        grid = random_grid(spec, (8.0, 8.0, 8.0), np.random.default_rng(seed))
        assert min(grid.shape) > 8


def test_the_circle_outside_the_field_is_padded():
    scanner = ScannerSpec(field_radius_mm=120.0)
    image = simulate_thorax(1, (6.0, 6.0, 6.0), scanner=scanner, lesions=()).image.array
    assert (image[0, 0] == -2048).all()


def test_thick_slices_are_smoother_along_z():
    def roughness(thickness_mm):
        scanner = ScannerSpec(noise_hu=0.1, slice_thickness_mm=thickness_mm, couch=False)
        image = simulate_thorax(4, (6.0, 6.0, 2.0), spec=ThoraxSpec(), scanner=scanner, lesions=()).image.array
        return np.abs(np.diff(image.astype(float), axis=2)).mean()

    assert roughness(8.0) < 0.8 * roughness(1.0)


def test_a_phantom_crosses_process_borders():
    phantom = simulate_thorax(1, (8.0, 8.0, 8.0))
    assert np.array_equal(pickle.loads(pickle.dumps(phantom)).image.array, phantom.image.array)  # noqa: S301 - our own bytes


def test_the_whole_thorax_holds_both_lungs(healthy):
    for phantom in healthy:
        organ = phantom.organ.array > 0
        faces = [organ[0], organ[-1], organ[:, 0], organ[:, -1], organ[:, :, 0], organ[:, :, -1]]
        assert not any(face.any() for face in faces)


@pytest.mark.parametrize(
    "broken",
    [
        lambda: LesionSpec(0, "ground_glass", (0.0, 0.0, 0.0), 5.0),
        lambda: LesionSpec(1, "tumour", (0.0, 0.0, 0.0), 5.0),
        lambda: LesionSpec(1, "mixed", (0.0, 0.0, 0.0), float("nan")),
        lambda: dataclasses.replace(ThoraxSpec(), half_width=20.0),
        lambda: Grid((0, 5, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
        lambda: whole_thorax(ThoraxSpec(), (1.0, -1.0, 1.0)),
    ],
)
def test_what_cannot_be_drawn_is_refused(broken):
    with pytest.raises(UsageError):
        broken()
