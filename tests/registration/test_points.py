"""Tables of points in, tables of points out."""

import numpy as np
import pytest

from trialscan.errors import RegistrationError, UsageError
from trialscan.registration import map_table, read_points, register
from trialscan.study.sections import RegistrationSettings


@pytest.mark.parametrize("names", ["x,y,z", "x_mm,y_mm,z_mm", "baseline_x,baseline_y,baseline_z"])
def test_every_spelling_is_read_and_other_columns_stay(tmp_path, rigid_pair, names):
    path = tmp_path / "points.csv"
    path.write_text(f"name,{names}\n007,1.5,2,-3\nb,10,20,30\n")
    table, columns = read_points(path)
    settings = RegistrationSettings(method="none")
    alignment = register(rigid_pair.fixed, rigid_pair.moving, settings=settings)
    mapped = map_table(table, columns, alignment)
    assert list(mapped.columns) == ["name", *names.split(","), "followup_x", "followup_y", "followup_z"]
    assert mapped["name"].tolist() == ["007", "b"]
    assert np.array_equal(mapped[["followup_x", "followup_y", "followup_z"]].astype(float).to_numpy()[0], [1.5, 2, -3])


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "x,y,z,x_mm,y_mm,z_mm\n1,2,3,4,5,6\n", ""])
def test_missing_or_ambiguous_columns_are_named(tmp_path, text):
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"points\.csv"):
        read_points(path)


def test_a_word_for_a_number_names_its_line(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("x,y,z\n1,2,3\n1,two,3\n")
    with pytest.raises(RegistrationError, match=r"points\.csv:3: y: 'two'"):
        read_points(path)
