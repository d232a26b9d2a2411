"""Light beyond the data is where the prior has it after a few iterations, not after hundreds."""

import numpy as np
import pytest
import scipy.fft as sf

from jwst_fusion.fusion.exposures.operator import to_groups
from jwst_fusion.fusion.exposures.surroundings import Surroundings
from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.numerics.conjugate_gradients import conjugate_gradients

GRID = Grid(54, 48, 1)
MU = np.array([1e-3, 0.02])  # weights of the prior beside data of unit weight
INSIDE = np.zeros(GRID.shape, bool)
INSIDE[8:38, 6:30] = True
STRENGTH = GRID.gradient_power()[:, :, None] * MU


def even(groups):
    return groups / (1 + STRENGTH)


def groups_of(maps):
    return to_groups(sf.rfft2(maps, norm="ortho"))


def maps_of(groups):
    return GRID.synthesise_coarse(groups[:, 0])


def inner(first, second):
    return float(GRID.multiplicity @ (first.conj() * second).real.sum((1, 2)))


def normal(groups):
    return STRENGTH * groups + groups_of(maps_of(groups) * INSIDE)


def test_it_is_symmetric_and_positive():
    rng = np.random.default_rng(2)
    apply = Surroundings(GRID, [INSIDE.astype(float)]).preconditioner(even, STRENGTH, MU)
    first, second = (groups_of(rng.standard_normal((2, *GRID.shape))) for _ in range(2))
    assert inner(first, apply(second)) == pytest.approx(inner(apply(first), second), rel=1e-4)
    assert inner(first, apply(first)) > 0


def test_a_level_within_goes_on_beyond():
    """Of even data the scene is as bright everywhere; the stationary inverse leaves it dark."""
    rhs = groups_of(np.ones((2, 1, 1)) * INSIDE)
    apply = Surroundings(GRID, [INSIDE.astype(float)]).preconditioner(even, STRENGTH, MU)
    options = {"max_iterations": 25, "tolerance": 1e-6}
    found = maps_of(conjugate_gradients(normal, rhs, apply, inner, **options).solution)
    np.testing.assert_allclose(found, 1, atol=0.02)
    slow = maps_of(conjugate_gradients(normal, rhs, even, inner, **options).solution)
    assert slow[0, 46, 40] < 0.6


@pytest.mark.parametrize("density", [np.ones(GRID.shape), np.zeros(GRID.shape)])
def test_nothing_changes_without_a_border(density):
    assert Surroundings(GRID, [density]).preconditioner(even, STRENGTH, MU) is even
