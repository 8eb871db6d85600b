"""Hypotheses about whole terms of a formula: the tests of fixed effects that SAS calls type 3."""

import numpy as np
from formulaic import SimpleFormula
from formulaic.parser.types import Factor, Term
from numpy.typing import NDArray

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import listed
from trialscan.statistics.design import CrossDesign
from trialscan.statistics.formula import FUNCTIONS
from trialscan.statistics.orthogonal import orthogonalise

Array = NDArray[np.float64]


def term_named(design: CrossDesign, name: str) -> str | None:
    """The formula's own name of a term, its factors in any order (visit:arm is arm:visit); None where it has none."""
    wanted = sorted(part.strip() for part in name.split(":"))
    for term in design.spec.formula:
        if term.degree and sorted(factor.expr for factor in term.factors) == wanted:
            return str(term)
    return None


def term_hypotheses(design: CrossDesign) -> dict[str, Array]:
    """For each term but the intercept, the combinations (c, p) of coefficients that are zero where it has no effect.

    They are the term's coefficients with every factor coded to sum to zero (type III, Yates 1934): other factors are
    averaged over with equal weights, and a number that interacts with the term stands at zero. With X_s the matrix in
    that coding and X = X_s M, they are the rows of M, and these solved for the term's own columns in the formula's
    coding, because joint tests by Satterthwaite depend on how a hypothesis is written (lmerTest writes it so).

    Raises
    ------
    StatisticsError : aliased columns, with which such an average is not defined; a factor made of several columns.
    """
    if design.aliased:
        raise StatisticsError(
            "test of a term",
            f"aliased column(s) {listed(design.aliased)}",
            "a model without",
            "Name the coefficients to test",
        )
    formula: SimpleFormula = design.spec.formula
    recoded = SimpleFormula([Term([_summed(design, factor) for factor in term.factors]) for term in formula])
    coded = recoded.get_model_matrix(design.frame, context=FUNCTIONS, na_action="ignore")
    basis = orthogonalise(np.asarray(coded, dtype=np.float64))
    rows = np.linalg.solve(basis.R, np.einsum("na,nb->ab", basis.Q, design.X))
    found = {}
    for (term, own), at in zip(design.spec.term_indices.items(), coded.model_spec.term_indices.values(), strict=True):
        if term.degree:
            found[str(term)] = np.asarray(np.linalg.solve(rows[np.ix_(at, own)], rows[at]))
    return found


def _summed(design: CrossDesign, factor: Factor) -> Factor:
    """A categorical factor coded to sum to zero; another as it is."""
    kind, _ = design.spec.encoder_state.get(factor.expr, (None, None))
    if kind is not Factor.Kind.CATEGORICAL:
        return factor
    columns = sorted(set(design.spec.factor_variables[factor]) & set(design.model_columns))
    if len(columns) != 1:
        raise StatisticsError(
            f"formula {design.formula!r}", f"{factor.expr} is made of {listed(columns)}", "a factor of one column"
        )
    return Factor(f"C(`{columns[0]}`, contr.sum)", eval_method="python")
