"""Sandwich covariances against R's clubSandwich 0.5.8 for the random-intercept model of nlme 3.1.162, recorded."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from trialscan.statistics import fit_mmrm

# coef_test(lme(FEV1 ~ RACE + SEX + ARMCD * AVISIT, random = ~ 1 | USUBJID), vcov = …, test = "Satterthwaite"): SE, df
CLUB_SANDWICH = {
    "CR0": {
        "Intercept": (0.870869921883, 74.3653595690),
        "RACE[T.White]": (0.856380638953, 102.7627278034),
        "SEX[T.Male]": (0.673590198771, 168.9605303172),
        "ARMCD[T.TRT]": (1.107769208072, 133.7348403349),
        "AVISIT[T.VIS4]": (1.224005200201, 78.9063924976),
        "ARMCD[T.TRT]:AVISIT[T.VIS4]": (1.826310565176, 151.8753541121),
    },
    "CR2": {
        "Intercept": (0.881766548029, 74.3603658873),
        "RACE[T.White]": (0.870212837945, 102.4617051808),
        "SEX[T.Male]": (0.684093508221, 168.6537869003),
        "ARMCD[T.TRT]": (1.120876499424, 133.7028009047),
        "AVISIT[T.VIS4]": (1.234899677779, 79.0180821720),
        "ARMCD[T.TRT]:AVISIT[T.VIS4]": (1.842399621787, 152.0684032477),
    },
    "CR3": {
        "Intercept": (0.892836559161, 74.3551341510),
        "RACE[T.White]": (0.884278608285, 102.1581980812),
        "SEX[T.Male]": (0.694764139625, 168.3428947175),
        "ARMCD[T.TRT]": (1.134173884071, 133.6685139098),
        "AVISIT[T.VIS4]": (1.245899148920, 79.1306824034),
        "ARMCD[T.TRT]:AVISIT[T.VIS4]": (1.858646262207, 152.2629203904),
    },
}


@pytest.mark.parametrize("kind", CLUB_SANDWICH)
def test_errors_and_degrees_of_freedom_are_clubsandwichs(kind, real_data):
    table = pd.read_csv(real_data / "statistics" / "fev_data.csv")
    result = fit_mmrm(
        table,
        "FEV1 ~ RACE + SEX + ARMCD * AVISIT",
        patient="USUBJID",
        visit="AVISIT",
        covariance="cs",
        sandwich=kind,
    )
    theirs = CLUB_SANDWICH[kind]
    ours = result.coefficients.loc[list(theirs), ["se", "df"]]
    assert_allclose(ours, np.array(list(theirs.values())), rtol=1e-6)
