"""The reference trial as an analysis table, with its new lesions, and small trials with covariates."""

import json

import numpy as np
import pandas as pd
import pytest

from trialscan.statistics import AnalysisPlan, EndpointPlan, analysis_from


@pytest.fixture(scope="session")
def lesion_trial(real_data):
    """tables/analysis.csv of the trial that R analysed (parameters VOLML and NEWLES), and R's figures."""
    folder = real_data / "statistics"
    table = pd.read_csv(folder / "lesion_trial.csv")
    keys = {"arm": "arm", "visit": "visit", "patient": "id", "time": "week", "time_unit": "week"}
    columns = ("base_log", "sex", "age")
    volumes = analysis_from(table, outcome="vol_ml", covariates=columns, baseline="base_vol", **keys)
    counted = table.assign(new_lesions=table["new_lesions"].where(table["vol_ml"].notna()), none=np.nan)
    lesions = analysis_from(counted, outcome="new_lesions", covariates=columns, baseline="none", **keys)
    lesions = lesions.assign(PARAMCD="NEWLES", PARAM="New lesions (count)")
    return pd.concat([volumes, lesions]), json.loads((folder / "lesion_other.json").read_text())


@pytest.fixture(scope="session")
def plan():
    """The volume as primary endpoint, against the control arm."""
    return AnalysisPlan((EndpointPlan("VOLML", primary=True),), reference_arm="control")


@pytest.fixture
def cell():
    """The one value of a table of results under an analysis, a statistic, and further columns."""

    def look(results, analysis_id, statistic, **where):
        chosen = results[(results["analysis_id"] == analysis_id) & (results["statistic"] == statistic)]
        for column, value in where.items():
            chosen = chosen[chosen[column] == value]
        assert len(chosen) == 1, chosen
        return chosen["value"].iloc[0]

    return look
