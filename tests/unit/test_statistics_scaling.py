"""Exponents of power laws with known noise."""

import numpy as np
import pytest

from nisbench.statistics.scaling import fit_exponent

SIZES = np.array([8, 16, 32, 64, 128])


@pytest.mark.parametrize("exponent", [2.0, 3.0, 6.0])
def test_exact_power(exponent):
    fitted = fit_exponent(SIZES, 7e-4 * SIZES**exponent)
    assert fitted.value == pytest.approx(exponent, rel=1e-12)
    assert fitted.error < 1e-10
    assert fitted.n == 5


def test_published_parameter_counts():
    """The counts of the hierarchical network lead with L^2, those of the full-width one with L^4."""
    assert fit_exponent(SIZES[1:], [10_102, 44_555, 187_136, 767_157]).value == pytest.approx(2.08, abs=0.01)
    assert fit_exponent(SIZES[1:], [131_840, 2_100_224, 33_566_720, 536_920_064]).value == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize("told", [True, False])
def test_error_is_honest(told):
    """400 fits: 68 % within one error, 5 standard deviations being 12 points; three residuals widen the tails."""
    rng, scores = np.random.default_rng(5), []
    for _ in range(400):
        sizes, noise = np.repeat(SIZES, 3), 0.1 * rng.standard_normal(15)
        cost = sizes**3.0 * np.exp(noise)
        fitted = fit_exponent(sizes, cost, 0.1 * cost if told else None)
        scores.append((fitted.value - 3) / fitted.error)
    assert abs(np.mean(np.abs(scores) < 1) - 0.683) < 0.12
    assert np.abs(scores).max() < 6


def test_errors_weigh_and_scatter_widens():
    cost = SIZES**2.0
    cost[-1] *= 3
    blamed = fit_exponent(SIZES, cost, [0.01, 0.04, 0.16, 0.64, 1e7])
    assert blamed.value == pytest.approx(2, abs=0.01)
    confident = fit_exponent(SIZES, cost, 1e-3 * cost)
    assert confident.value > 2.2
    assert abs(confident.value - 2) < 5 * confident.error


def test_too_little():
    assert fit_exponent([8, 16], [1.0, 4.0]).value == pytest.approx(2)
    assert "two points" in fit_exponent([8, 16], [1.0, 4.0]).reason
    assert fit_exponent([8, 16], [1.0, 4.0], [0.1, 0.4]).error == pytest.approx(0.1 * 2**0.5 / np.log(2))
    assert "at least two sizes" in fit_exponent([8, 8], [1.0, 4.0]).reason
    assert "at least two sizes" in fit_exponent([], []).reason
    for size, cost, error in (
        ([8, 16], [0.0, 1.0], None),
        ([8, 16], [1.0, np.nan], None),
        ([8, 16], [1.0, 2.0], [0, 1]),
    ):
        assert "not positive and finite" in fit_exponent(size, cost, error).reason
