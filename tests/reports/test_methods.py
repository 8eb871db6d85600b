"""What the Methods paragraph says of measurement error."""

from trialscan.reports.methods import change_rule
from trialscan.study import LesionSettings, load_protocol


def test_the_report_says_where_the_limits_of_change_come_from():
    text = change_rule(load_protocol("ms_flair_mri").lesions)
    assert "Source of these limits: simulated balls" in text
    assert text.count("Filippi 1999 (AJNR 20:133)") == 1
    frames = change_rule(load_protocol("ultrasound_2d").lesions)
    assert frames.count("Lee 2018") == 3
    assert "assumed" in frames


def test_a_limit_without_a_source_is_called_an_assumption_of_the_protocol():
    assert "an assumption of the protocol" in change_rule(LesionSettings())
    assert "Source" not in change_rule(LesionSettings.model_validate({"repeatability": [{"sd_log": 0.2}]}))
