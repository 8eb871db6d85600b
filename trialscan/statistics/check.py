"""The independent check of a random-slope fit: the same model by statsmodels, double programming as trials require."""

import warnings
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams

from trialscan.statistics.results import MixedModelResult

Array = NDArray[np.float64]
SOFTWARE = "statsmodels MixedLM (lbfgs, centred and scaled time)"
STARTS = (1.0, 0.1, 100.0)
LOGLIK_TOLERANCE = 1e-4
EFFECT_TOLERANCE_SE = 1e-2


@dataclass(frozen=True)
class Check:
    """How another program's fit compares.

    verdict: "agrees", "differs", or "failed" where the other program gave no fit. loglik_difference: its
    log-likelihood less ours. effect_difference_se: the largest difference of a fixed effect in our standard errors.
    messages: what the other program warned of.
    """

    software: str
    verdict: str
    loglik_difference: float | None
    effect_difference_se: float | None
    loglik_tolerance: float
    effect_tolerance_se: float
    messages: tuple[str, ...]

    def record(self) -> dict[str, object]:
        """For models.json."""
        return {**asdict(self), "messages": list(self.messages)}


def check_random_slope(result: MixedModelResult) -> Check:
    """Fit the model of `result` by statsmodels MixedLM and compare log-likelihood and fixed effects.

    It starts from random-effect variances of 1, 0.1 and 100 residual variances until one fit agrees; of fits that do
    not, the one of highest log-likelihood counts. Its warnings are recorded rather than shown; a fit that it cannot
    make gives the verdict "failed".
    """
    checks: list[Check] = []
    for start in STARTS:
        checks.append(_compared(result, start))
        if checks[-1].verdict == "agrees":
            break
    return max(checks, key=_rank)


def _rank(check: Check) -> tuple[bool, float]:
    return check.verdict == "agrees", -np.inf if check.loglik_difference is None else check.loglik_difference


def _compared(result: MixedModelResult, start: float) -> Check:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            loglik, effects = _other_fit(result, start)
        except (np.linalg.LinAlgError, ValueError, FloatingPointError) as error:
            return _check("failed", None, None, (f"{type(error).__name__}: {error}",))
    messages = tuple(sorted({f"{one.category.__name__}: {one.message}" for one in caught}))
    loglik_difference = loglik + result.minus2loglik / 2
    effect_difference = float(np.max(np.abs(effects - result.beta) / np.sqrt(np.diag(result.vcov))))
    if not np.isfinite([loglik_difference, effect_difference]).all():
        return _check("failed", None, None, (*messages, "its log-likelihood or estimates are not finite"))
    same = abs(loglik_difference) <= LOGLIK_TOLERANCE and effect_difference <= EFFECT_TOLERANCE_SE
    return _check("agrees" if same else "differs", loglik_difference, effect_difference, messages)


def _check(verdict: str, loglik: float | None, effect: float | None, messages: tuple[str, ...]) -> Check:
    return Check(SOFTWARE, verdict, loglik, effect, LOGLIK_TOLERANCE, EFFECT_TOLERANCE_SE, messages)


def _other_fit(result: MixedModelResult, start: float) -> tuple[float, Array]:
    """Log-likelihood and fixed effects on the data's scale; outcome, columns and time are scaled on the way."""
    design = result.design
    times = design.frame[result.time].to_numpy(dtype=np.float64)
    n_obs, n_fixed = design.X.shape
    center, spread = float(np.mean(design.y)), float(np.std(design.y))
    lengths = np.sqrt(np.mean(design.X**2, axis=0))
    t = (times - np.mean(times)) / np.std(times)
    intercept = _coefficients_of_one(design.X, center)
    outcome = (design.y - design.X @ intercept) / spread
    model = MixedLM(
        outcome,
        design.X / lengths,
        groups=design.frame[result.patient].to_numpy(dtype=str),
        exog_re=np.column_stack([np.ones_like(t), t]),
    )
    ols = np.linalg.lstsq(model.exog, model.endog, rcond=None)[0]
    first = MixedLMParams.from_components(ols, cov_re=start * np.eye(2))
    fitted = model.fit(start_params=first, reml=result.reml, method="lbfgs")
    free = n_obs - n_fixed if result.reml else n_obs
    loglik = float(fitted.llf) - free * np.log(spread) - (float(np.sum(np.log(lengths))) if result.reml else 0.0)
    effects = intercept + spread * np.asarray(fitted.fe_params, dtype=np.float64) / lengths
    return float(loglik), effects


def _coefficients_of_one(X: Array, center: float) -> Array:
    """Coefficients that give `center` in every row, where a column of X is constant; zero otherwise."""
    out = np.zeros(X.shape[1])
    constant = np.flatnonzero((np.ptp(X, axis=0) == 0) & (X[0] != 0))
    if len(constant):
        out[constant[0]] = center / X[0, constant[0]]
    return out
