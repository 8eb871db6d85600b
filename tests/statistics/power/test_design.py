import numpy as np
import pytest

from trialscan.errors import InputError
from trialscan.statistics.power import PowerDesign
from trialscan.statistics.power.covariance import visit_covariance
from trialscan.study.design_file import read_design

GOOD = """
seed: 3
arms:
  a: {patients: 10}
  b: {patients: 12, effect_per_day: -0.01}
visits: {V0: 0, V1: 14, V2: 28}
covariance: {structure: cs, sd: 0.5, correlation: 0.6}
drop_out: {share: 0.19}
analysis: {model: mmrm}
"""
CS = "structure: cs, sd: 0.5, correlation: 0.6"


def read(tmp_path, text):
    path = tmp_path / "design.yaml"
    path.write_text(text, encoding="utf-8")
    return read_design(path, PowerDesign)


def test_a_design_is_read_with_its_defaults(tmp_path):
    design = read(tmp_path, GOOD)
    assert design.reference_arm == "a"
    assert design.other_arms == ("b",)
    assert design.effect("b").tolist() == [0.0, -0.14, -0.28]
    assert design.reference_mean.tolist() == [0.0, 0.0, 0.0]
    assert design.analysis.covariance == ("us", "toeph", "ar1h", "csh", "cs")
    assert design.drop_out.hazards_over(3) == pytest.approx([0.1, 0.1])
    assert PowerDesign.model_validate(design.model_dump(mode="json")) == design


@pytest.mark.parametrize(
    ("found", "put", "where", "message"),
    [
        ("a: {patients: 10}", "a: {patients: 1}", "design.yaml:4:7: arms.a.patients", "greater than or equal to 2"),
        ("effect_per_day: -0.01", "effect: [0, 1]", "design.yaml", "arms.b.effect: 2 numbers for 3 visits"),
        ("effect_per_day: -0.01", "effect: [0, 0, 1], effect_per_day: 1", "design.yaml:5:3: arms.b", "one of the two"),
        ("a: {patients: 10}", "a: {patients: 10, effect_per_day: 1}", "design.yaml", "differs from itself"),
        ("seed: 3", "reference: c", "design.yaml", "no arm 'c'"),
        ("V1: 14", "V1: 30", "design.yaml", "do not rise"),
        ("correlation: 0.6", "correlation: -0.7", "design.yaml", "not positive definite"),
        ("correlation: 0.6", "correlation: 1.5", "design.yaml:7:38: covariance.cs.correlation", "less than 1"),
        ("correlation: 0.6", "correlation: [0.6, 0.5]", "design.yaml", "covariance.correlation: 2 numbers, expected 1"),
        ("sd: 0.5", "sd: [0.5, 0.6]", "design.yaml", "covariance.sd: 2 numbers, expected 3"),
        (
            "structure: cs, sd: 0.5, correlation: 0.6",
            "structure: us, matrix: [[1, 0], [0, 1]]",
            "design.yaml",
            "2 rows",
        ),
        (
            "structure: cs, sd: 0.5, correlation: 0.6",
            "structure: us, matrix: [[1, 0], [1]]",
            "design.yaml:7",
            "lengths",
        ),
        (
            "structure: cs, sd: 0.5, correlation: 0.6",
            "structure: us, matrix: [[1, 0], [1, 1]]",
            "design.yaml:7",
            "symm",
        ),
        ("structure: cs", "structure: odd", "design.yaml:7:1: covariance", "'odd'"),
        ("share: 0.19", "share: 1.0", "design.yaml:8:12: drop_out.share", "less than 1"),
        ("share: 0.19", "share: 0.1, hazards: [0.1, 0.1]", "design.yaml:8:1: drop_out", "one of the two"),
        ("share: 0.19", "hazards: [0.1]", "design.yaml", "1 numbers for 2 visits after the first"),
        ("model: mmrm", "model: anova", "design.yaml:9:12: analysis.model", "'anova'"),
        ("model: mmrm", "covariance: [us, odd]", "design.yaml:9:1: analysis", "odd"),
        ("model: mmrm", "df: odd", "design.yaml:9:1: analysis", "kenward-roger"),
        ("model: mmrm", "model: random_slope, baseline: true", "design.yaml:9:1: analysis", "one of its outcomes"),
        ("V1: 14, V2: 28}", "V1: 14}\nmean: [0, 0]", "design.yaml", ""),
        ("analysis:", "measurement: {sd: 1, repeatability_percent: 5}\nanalysis:", "design.yaml:9:1", "one of the two"),
        ("analysis: {model: mmrm}", "analysis: {baseline: true}\nmean: [1, 2]", "design.yaml", "mean: 2 numbers"),
        ("seed: 3", "sede: 3", "design.yaml:2:1: sede", "extra"),
    ],
)
def test_faults_are_told_where_they_stand(tmp_path, found, put, where, message):
    text = GOOD.replace(found, put)
    if put.startswith("V1: 14}"):
        text = text.replace("{model: mmrm}", "{model: random_slope}")
        message = "2; this analysis takes 3 or more"
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert any(fault.where.startswith(where) and message in fault.message for fault in caught.value.faults), (
        caught.value.faults
    )


def test_an_effect_at_the_baseline_visit_is_refused(designed):
    arms = {"a": {"patients": 4}, "b": {"patients": 4, "effect": [1, 1, 1, 1, 1]}}
    assert designed(arms=arms).effect("b")[0] == 1
    with pytest.raises(ValueError, match="at the baseline visit"):
        designed(arms=arms, analysis={"baseline": True})


def test_covariances_are_those_they_name(designed):
    days = np.array([14.0, 28.0, 42.0, 70.0, 84.0])
    lag = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    sd = np.array([1.0, 1.1, 1.2, 1.3, 1.4])

    def of(**covariance):
        return visit_covariance(designed(covariance=covariance).covariance, days)

    assert of(structure="ar1", sd=2.0, correlation=0.5) == pytest.approx(4 * 0.5**lag)
    assert of(structure="cs", sd=list(sd), correlation=0.5) == pytest.approx(
        np.outer(sd, sd) * np.where(lag == 0, 1, 0.5)
    )
    rho = np.array([1.0, 0.6, 0.5, 0.4, 0.3])
    assert of(structure="toep", sd=1.0, correlation=[0.6, 0.5, 0.4, 0.3]) == pytest.approx(rho[lag])
    steps = np.array([0.9, 0.8, 0.7, 0.6])
    assert of(structure="ad", sd=1.0, correlation=list(steps))[0, 4] == pytest.approx(np.prod(steps))
    lines = of(structure="random_slope", intercept_sd=1.0, slope_sd_per_day=0.02, correlation=0.5, residual_sd=0.3)
    t = days - 14
    expected = 1 + 0.01 * np.add.outer(t, t) + 0.0004 * np.outer(t, t) + 0.09 * np.eye(5)
    assert lines == pytest.approx(expected)


def test_repeatability_is_the_limit_of_the_change_between_two_measurements(designed):
    error = designed(measurement={"repeatability_percent": 30}).measurement.standard_deviation
    change = np.diff(np.random.default_rng(1).normal(0, error, (200_000, 2)), axis=1)
    assert np.mean(np.abs(change) < np.log(1.3)) == pytest.approx(0.95, abs=0.002)
    assert designed(measurement={"sd": 0.2}).measurement.standard_deviation == 0.2
