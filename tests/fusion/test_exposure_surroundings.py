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


@pytest.mark.parametrize("at", [(20, 20), (21, 21), (21, 22)])
def test_a_gap_of_one_pixel_is_the_mean_of_its_neighbours(at):
    maps = np.random.default_rng(4).standard_normal((1, 48, 48))
    grid, density = Grid(48, 48, 1), np.ones((48, 48))
    density[at] = 0
    groups = to_groups(sf.rfft2(maps, norm="ortho"))
    found = maps + grid.synthesise_coarse(Surroundings(grid, [density]).continued(groups)[:, 0])
    y, x = at
    beside = maps[0, [y - 1, y + 1, y, y], [x, x, x - 1, x + 1]]
    assert found[0, y, x] == pytest.approx(beside.mean(), abs=1e-9)
