"""The public names are a promise: a change to them is a change to this test."""

import inspect

import numpy as np
import pandas as pd
import pytest

import trialscan
from trialscan import errors
from trialscan.imaging import Units, Volume, affine_from, write_volume


def test_the_functions_of_the_package():
    verbs = [
        "analyze",
        "describe_model",
        "evaluate",
        "models",
        "register",
        "repeatability",
        "report",
        "run",
        "segment",
        "simulate",
        "simulate_power",
    ]
    verbs += ["track", "validate", "verify"]
    assert sorted(trialscan.__all__) == ["__version__", *verbs]
    for name in set(trialscan.__all__) - {"__version__"}:
        function = getattr(trialscan, name)
        assert inspect.isfunction(function)
        assert function.__doc__


def test_a_mask_compared_with_itself_and_a_table_analysed(tmp_path):
    mask = Volume(np.pad(np.ones((3, 4, 5), np.uint8), 2), affine_from((1.0, 2.0, 3.0)), Units.LABEL)
    write_volume(tmp_path / "mask.nii.gz", mask)
    agreement = trialscan.evaluate(tmp_path / "mask.nii.gz", tmp_path / "mask.nii.gz")
    assert agreement.scans["dice"].tolist() == [1.0]
    trialscan.evaluate(tmp_path / "mask.nii.gz", tmp_path / "mask.nii.gz", tmp_path / "found", bands_ml=(0.05,))
    assert pd.read_csv(tmp_path / "found" / "lesions.csv")["from_ml"].tolist() == [0.05, 0.05]
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        [(f"P{n}", "ab"[n % 2], f"V{v}", 28 * v, rng.normal(n % 3)) for n in range(16) for v in range(4)],
        columns=["who", "group", "when", "day", "value"],
    )
    table.to_csv(tmp_path / "table.csv", index=False)
    comparison = trialscan.analyze(
        tmp_path / "table.csv",
        tmp_path / "out",
        outcome="value",
        arm="group",
        visit="when",
        patient="who",
        time="day",
        model="mmrm",
        covariance=("cs",),
    )
    made = [model["analysis_id"] for model in comparison.models]
    assert made == ["primary.random_slope", "primary.mmrm", "primary.missingness", "primary.estimand"]
    written = pd.read_csv(tmp_path / "out" / "results.csv")
    assert len(written) == len(comparison.results)


def test_a_scan_is_outlined_and_aligned_with_itself(tmp_path):
    grid = np.stack(np.meshgrid(*(np.arange(n) * 4.0 for n in (32, 30, 28)), indexing="ij"), -1)
    organ = np.linalg.norm(grid - [62, 58, 54], axis=-1) < 44
    lesion = np.linalg.norm(grid - [50, 58, 54], axis=-1) < 12
    texture = np.random.default_rng(1).normal(0, 20, organ.shape)
    affine = affine_from((4.0, 4.0, 4.0))
    files = {
        "scan": (np.where(lesion, -300, np.where(organ, -850, 40)) + texture, Units.HU),
        "organ": (organ, Units.LABEL),
        "lesions": (lesion, Units.LABEL),
    }
    for name, (array, units) in files.items():
        kind = np.int16 if units is Units.HU else np.uint8
        write_volume(tmp_path / f"{name}.nii.gz", Volume(array.astype(kind), affine, units))
    paths = {name: tmp_path / f"{name}.nii.gz" for name in files}
    found = trialscan.segment(
        paths["scan"], "covid_lung_ct", tmp_path / "out", organ_mask=paths["organ"], lesion_mask=paths["lesions"]
    )
    assert found.model is None
    assert (tmp_path / "out" / "quality.json").is_file()
    alignment = trialscan.register(
        paths["scan"], paths["scan"], tmp_path / "aligned", fixed_mask=paths["organ"], moving_mask=paths["organ"],
        method="rigid", spacing_mm=4,
    )  # fmt: skip
    points = np.array([[-62.0, -58.0, 54.0]])
    assert np.linalg.norm(alignment.to_followup(points) - points) < 0.5


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="frobnicate"):
        _ = trialscan.frobnicate


def test_every_error_carries_the_exit_code_of_its_kind():
    codes = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.TrialscanError)
    }
    assert codes == {
        "TrialscanError": 1,
        "UsageError": 2,
        "InputError": 3,
        "ProtocolError": 3,
        "ManifestError": 3,
        "TrustError": 3,
        "ScanError": 4,
        "ImagingError": 4,
        "GeometryError": 4,
        "SegmentationError": 4,
        "RegistrationError": 4,
        "LesionError": 4,
        "StatisticsError": 4,
        "PromotionError": 4,
        "ReportError": 4,
        "VerificationError": 5,
    }
