"""What an MMRM's likelihood needs of the data: sums of products by pattern of observed visits.

Patients who were seen at the same visits (and share a covariance) form a pattern. For each pattern and pair of visits
the (q, q) sum over its patients of w_a w_b' is kept, where w is a row of [Q, y*]: fixed effects in an orthonormal
basis and the outcome as its least-squares residual divided by its standard deviation. One evaluation then costs the
same for any number of patients. Where patterns are many the sums are made anew from the rows, chunk by chunk, so that
memory stays bounded.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialscan.statistics.mmrm.design import VisitDesign
from trialscan.statistics.orthogonal import norm, orthogonalise

Array = NDArray[np.float64]
_KEPT_BYTES = 2**28
_CHUNK_BYTES = 2**26


@dataclass(frozen=True)
class Scale:
    """Back from the working scale: beta = inverse_r (ols + y_scale · beta*); log_det_r = log|R| of X = Q R.

    `log_weights` is the sum of the rows' log weights.
    """

    inverse_r: Array
    ols: Array
    y_scale: float
    log_det_r: float
    log_weights: float


@dataclass(frozen=True)
class Patterns:
    """Patterns that share a covariance: observed (R, m), patients of each (R,), and their rows.

    `rows` (N_g, q) are sorted by pattern, patient and visit; pattern r owns rows first[r] … first[r + 1]. `patients`
    are in the order of the rows.
    """

    observed: NDArray[np.bool_]
    counts: Array
    rows: Array
    first: NDArray[np.intp]
    patients: NDArray[np.intp]

    def without(self, patient: int) -> "Patterns":
        """All patients but one, patterns left without any included."""
        place = int(np.flatnonzero(self.patients == patient)[0])
        pattern = int(np.searchsorted(np.cumsum(self.counts), place, side="right"))
        size = int(self.observed[pattern].sum())
        start = int(self.first[pattern] + (place - np.sum(self.counts[:pattern])) * size)
        later = np.arange(len(self.first)) > pattern
        return Patterns(
            observed=self.observed,
            counts=self.counts - (np.arange(len(self.counts)) == pattern),
            rows=np.delete(self.rows, slice(start, start + size), axis=0),
            first=self.first - size * later,
            patients=np.delete(self.patients, place),
        )

    def resampled(self, times: NDArray[np.intp]) -> "Patterns":
        """Every patient as often as `times` (all patients of the study,) says, patterns left without any included."""
        rows, patients = [], []
        ends = np.cumsum(self.counts).astype(np.intp)
        for index, end in enumerate(ends):
            members = self.patients[end - int(self.counts[index]) : end]
            again = np.repeat(np.arange(len(members)), times[members])
            wide = self.rows[self.first[index] : self.first[index + 1]].reshape(len(members), -1)
            rows.append(wide[again].reshape(-1, self.rows.shape[1]))
            patients.append(members[again])
        first = np.concatenate([[0], np.cumsum([len(part) for part in rows])]).astype(np.intp)
        counts = np.array([len(part) for part in patients], dtype=np.float64)
        return Patterns(self.observed, counts, np.concatenate(rows), first, np.concatenate(patients))

    @property
    def n_visits(self) -> int:
        """m, the visits of the study."""
        return int(self.observed.shape[1])

    def products(self, chosen: slice) -> Array:
        """Sums of w_a w_b' for the chosen patterns: (r, m, m, q, q), zero where a visit is not observed."""
        indices = range(*chosen.indices(len(self.observed)))
        m, q = self.n_visits, self.rows.shape[1]
        out = np.zeros((len(indices), m, m, q, q))
        for place, index in enumerate(indices):
            seen = np.flatnonzero(self.observed[index])
            wide = self.rows[self.first[index] : self.first[index + 1]].reshape(-1, len(seen) * q)
            sums = (wide.T @ wide).reshape(len(seen), q, len(seen), q)
            out[place][np.ix_(seen, seen)] = sums.transpose(0, 2, 1, 3)
        return out


class Moments:
    """All patterns of a study, by group of patients that share a covariance."""

    def __init__(self, groups: tuple[Patterns, ...], n_obs: int, n_fixed: int) -> None:
        self.groups = groups
        self.n_obs = n_obs
        self.n_fixed = n_fixed
        size = sum(self._bytes_a_pattern(group) * len(group.observed) for group in groups)
        self._kept = [group.products(slice(None)) for group in groups] if size <= _KEPT_BYTES else None

    def without(self, patient: int) -> "Moments":
        """The same study, on the same working scale, without one patient."""
        groups = tuple(group.without(patient) if np.any(group.patients == patient) else group for group in self.groups)
        left = sum(len(group.rows) for group in groups)
        return Moments(groups, left, self.n_fixed)

    def resampled(self, times: NDArray[np.intp]) -> "Moments":
        """The same study, on the same working scale, every patient as often as `times` says."""
        groups = tuple(group.resampled(times) for group in self.groups)
        return Moments(groups, sum(len(group.rows) for group in groups), self.n_fixed)

    def chunks(self, group: int) -> Iterator[tuple[slice, Array]]:
        """Slices of a group's patterns with their products."""
        patterns = self.groups[group]
        if self._kept is not None:
            yield slice(0, len(patterns.observed)), self._kept[group]
            return
        step = max(1, _CHUNK_BYTES // self._bytes_a_pattern(patterns))
        for start in range(0, len(patterns.observed), step):
            chosen = slice(start, min(start + step, len(patterns.observed)))
            yield chosen, patterns.products(chosen)

    @staticmethod
    def _bytes_a_pattern(patterns: Patterns) -> int:
        return 8 * (patterns.n_visits * int(patterns.rows.shape[1])) ** 2


def visit_moments(design: VisitDesign) -> tuple[Moments, Scale]:
    """Moments of a design on its working scale, and the way back."""
    root = np.sqrt(design.weights)
    basis = design.basis if np.all(design.weights == 1) else orthogonalise(design.X * root[:, None])
    y = design.y * root
    ols, rest = np.zeros(basis.Q.shape[1]), y
    for _ in range(2):
        share = np.array([np.sum(column * rest) for column in basis.Q.T])
        ols = ols + share
        rest = rest - basis.Q @ share
    y_scale = norm(rest) / np.sqrt(len(rest) - basis.Q.shape[1])
    W = np.column_stack([basis.Q, rest / y_scale])
    groups = tuple(_patterns(design, W, group) for group in range(len(design.groups)))
    scale = Scale(
        inverse_r=np.asarray(np.linalg.inv(basis.R)),
        ols=ols,
        y_scale=float(y_scale),
        log_det_r=float(np.sum(np.log(np.abs(np.diag(basis.R))))),
        log_weights=float(np.sum(np.log(design.weights))),
    )
    return Moments(groups, len(W), basis.Q.shape[1]), scale


def _patterns(design: VisitDesign, W: Array, group: int) -> Patterns:
    m = len(design.visits)
    chosen = design.group_of_patient == group
    seen = np.zeros((len(design.patients), m), dtype=bool)
    seen[design.patient_of_row, design.visit_of_row] = True
    observed, pattern_of, counts = np.unique(seen[chosen], axis=0, return_inverse=True, return_counts=True)
    pattern_of_patient = np.full(len(design.patients), -1)
    pattern_of_patient[chosen] = pattern_of.ravel()
    mine = np.flatnonzero(chosen[design.patient_of_row])
    order = mine[np.argsort(pattern_of_patient[design.patient_of_row[mine]], kind="stable")]
    members = np.flatnonzero(chosen)
    patients = members[np.argsort(pattern_of_patient[members], kind="stable")]
    first = np.concatenate([[0], np.cumsum(counts * observed.sum(axis=1))])
    return Patterns(
        observed, counts.astype(np.float64), np.ascontiguousarray(W[order]), first.astype(np.intp), patients
    )
