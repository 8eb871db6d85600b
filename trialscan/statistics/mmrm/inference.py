"""What the MMRM brings to inference: Kenward–Roger's adjustment over its patterns, in the parameters asked for."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trialscan.statistics.covariance.log_cholesky import log_cholesky
from trialscan.statistics.inference import Sensitivity, adjusted_vcov
from trialscan.statistics.mmrm.likelihood import Evaluation, Inner, MmrmLikelihood

Array = NDArray[np.float64]
Parameters = Literal["natural", "log-cholesky"]


def kenward_roger_vcov(
    likelihood: MmrmLikelihood,
    phi: Array,
    at: Evaluation,
    found: Sensitivity,
    *,
    linear: bool,
    parameters: Parameters,
) -> Array:
    """The adjusted covariance (p, p) on the working scale; `linear` leaves the second derivatives of V out."""
    groups = len(likelihood.moments.groups)
    size, m = likelihood.count, likelihood.n_visits
    own = [slice(g * size, (g + 1) * size) for g in range(groups)]
    nothing = np.zeros((m, m))
    covariances = likelihood.covariances(phi)
    Q = likelihood.sandwiched(phi, [Inner(found.W[mine, mine], nothing) for mine in own])
    R: Array | float = 0.0
    if not linear:
        bends = []
        for mine, covariance in zip(own, covariances, strict=True):
            W, second = found.W[mine, mine], covariance.second
            if parameters == "log-cholesky":
                chart = log_cholesky(likelihood.structure, phi[mine], m)
                W, second = chart.inverse @ W @ chart.inverse.T, chart.second
            bends.append(np.asarray(np.tensordot(W, second, axes=2)))
        R = likelihood.sandwiched(phi, [Inner(np.zeros((size, size)), bend) for bend in bends])
    return adjusted_vcov(found, at.P, Q, R)
