"""Beyond the data the diffuse scene is continued as smoothly as can be."""

import numpy as np
import pytest
import scipy.fft as sf

from jwst_fusion.fusion.exposures.operator import to_groups
from jwst_fusion.fusion.exposures.surroundings import Surroundings
from jwst_fusion.fusion.solver.grid import Grid

GRID = Grid(54, 48, 1)
INSIDE = np.zeros(GRID.shape, bool)
INSIDE[8:38, 6:30] = True


def groups_of(maps):
    return to_groups(sf.rfft2(maps, norm="ortho"))


def maps_of(groups):
    return GRID.synthesise_coarse(groups[:, 0])


def test_a_level_within_goes_on_beyond():
    level = np.array([3.0, -1.0])
    groups = groups_of(level[:, None, None] * INSIDE)
    added = maps_of(Surroundings(GRID, [INSIDE.astype(float)]).continued(groups))
    np.testing.assert_allclose(added[:, INSIDE], 0, atol=1e-12)
    np.testing.assert_allclose(
        added[:, ~INSIDE], np.broadcast_to(level[:, None], (2, (~INSIDE).sum())), atol=0.03
    )


def test_it_is_as_smooth_as_can_be_and_stays_where_it_is():
    rng = np.random.default_rng(2)
    maps = rng.standard_normal((2, *GRID.shape))
    groups, beyond = groups_of(maps), Surroundings(GRID, [INSIDE.astype(float)])
    first = groups + beyond.continued(groups)
    weight = GRID.multiplicity[:, None, None] * GRID.gradient_power()[:, :, None]
    roughness = [np.sum(weight * np.abs(one) ** 2) for one in (groups, first)]
    assert roughness[1] < roughness[0]
    np.testing.assert_allclose(beyond.continued(first), 0, atol=1e-9)


@pytest.mark.parametrize("density", [np.ones(GRID.shape), np.zeros(GRID.shape)])
def test_nothing_changes_without_a_border(density):
    groups = groups_of(np.random.default_rng(3).standard_normal((2, *GRID.shape)))
    assert not Surroundings(GRID, [density]).continued(groups).any()
