"""Gram–Schmidt against numpy's QR, and the columns it leaves out."""

import numpy as np
from numpy.testing import assert_allclose

from trialscan.statistics.orthogonal import orthogonalise


def test_factors_as_qr_does():
    X = np.random.default_rng(1).normal(size=(40, 5)) * [1, 1e3, 1e-3, 1, 1]
    found = orthogonalise(X)
    assert_allclose(found.Q.T @ found.Q, np.eye(5), atol=1e-15)
    assert_allclose(found.Q @ found.R, X, rtol=1e-12, atol=1e-12)
    assert_allclose(np.abs(found.R), np.abs(np.linalg.qr(X)[1]), rtol=1e-10, atol=1e-12)
    assert found.aliased == ()


def test_stays_orthogonal_when_columns_nearly_agree():
    base = np.random.default_rng(2).normal(size=100)
    X = np.column_stack([base, base + 1e-7 * np.random.default_rng(3).normal(size=100)])
    found = orthogonalise(X)
    assert_allclose(found.Q.T @ found.Q, np.eye(2), atol=1e-14)


def test_leaves_out_later_columns_that_repeat_earlier_ones():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 30))
    found = orthogonalise(np.column_stack([a, np.zeros(30), b, a + 2 * b, np.ones(30)]))
    assert found.aliased == (1, 3)
    assert found.kept == (0, 2, 4)
    assert_allclose(found.Q @ found.R, np.column_stack([a, b, np.ones(30)]), atol=1e-13)


def test_combinations_in_the_row_space_are_estimable():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 30))
    X = np.column_stack([a, b, a + 2 * b, np.zeros(30)])
    found = orthogonalise(X)
    assert_allclose(X[:, [0, 1]] @ found.relations, X[:, [2, 3]], atol=1e-13)
    assert found.estimable(rng.normal(size=(5, 30)) @ X).all()
    assert not found.estimable(np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [1, 2, 5, 1e-3]])).any()
