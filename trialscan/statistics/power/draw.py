"""One simulated trial: what is measured of each patient at each visit, until the patient drops out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from trialscan.statistics.power.covariance import visit_covariance
from trialscan.statistics.power.design import PowerDesign

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """What a design's trials are drawn from.

    `arm_of_patient` (n,) indexes the design's arms; `effects` (arms, m) are differences from the reference arm's `mean`
    (m,); S = root root' (m, m) is the covariance of true values, `error_sd` that of their measurement; `hazards`
    (m − 1,) of dropping out hold at the mean, and `log_odds` is added to their logit for each standard deviation above.
    """

    seed: int
    arm_of_patient: NDArray[np.intp]
    mean: Array
    effects: Array
    root: Array
    error_sd: float
    hazards: Array
    log_odds: float

    @classmethod
    def of(cls, design: PowerDesign) -> "Population":
        """The population that a design describes."""
        S = visit_covariance(design.covariance, np.array(design.days, dtype=np.float64))
        sizes = [arm.patients for arm in design.arms.values()]
        return cls(
            seed=design.seed,
            arm_of_patient=np.repeat(np.arange(len(sizes)), sizes),
            mean=design.reference_mean,
            effects=np.stack([design.effect(name) for name in design.arms]),
            root=np.asarray(np.linalg.cholesky(S)),
            error_sd=design.measurement.standard_deviation,
            hazards=design.drop_out.hazards_over(len(design.visits)),
            log_odds=float(np.log(design.drop_out.odds_ratio_per_sd)),
        )

    def trial(self, stream: int, number: int, *, effective: bool) -> Array:
        """Outcomes (n, m) of a trial, NaN after drop-out; without effects unless `effective`.

        Every trial has a random stream of its own (numpy's SeedSequence), so that none depends on how many are drawn,
        in which order or by how many processes.
        """
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(stream, number)))
        n, m = len(self.arm_of_patient), len(self.mean)
        y = self.mean + rng.standard_normal((n, m)) @ self.root.T
        y = y + self.error_sd * rng.standard_normal((n, m))
        if effective:
            y = y + self.effects[self.arm_of_patient]
        y[self._gone(y, rng.random((n, m - 1)))] = np.nan
        return y

    def _gone(self, y: Array, chance: Array) -> NDArray[np.bool_]:
        """Who has left at each visit (n, m), by `chance` (n, m − 1), uniform on 0 … 1."""
        sd = np.sqrt(np.sum(self.root**2, axis=1) + self.error_sd**2)
        gone = np.zeros(y.shape, dtype=bool)
        for visit in range(1, len(self.mean)):
            above = (y[:, visit - 1] - self.mean[visit - 1]) / sd[visit - 1]
            hazard = expit(logit(self.hazards[visit - 1]) + self.log_odds * above)
            gone[:, visit] = gone[:, visit - 1] | (chance[:, visit - 1] < hazard)
        return gone
