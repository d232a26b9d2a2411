"""Lines that no component of the subspace has."""

import numpy as np
import pytest

from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.solver.residual_lines import unexplained_lines


@pytest.fixture
def data():
    rng = np.random.default_rng(3)
    y, x = np.indices((31, 31)) - 15
    psf = np.exp(-0.5 * (x**2 + y**2) / 3.0**2)[None]
    channels, side = 80, 14
    return FusionData(
        cube=5 + 0.1 * rng.standard_normal((channels, side, side)),
        cube_sigma=np.full(channels, 0.1),
        spaxel_weight=np.ones((side, side)),
        images=np.zeros((1, 3 * side, 3 * side)),
        image_sigma=np.ones(1),
        image_weight=np.ones((1, 3 * side, 3 * side)),
        response=np.full((1, channels), 1 / channels),
        psf_weights=np.ones((channels, 1)),
        psf_image=psf / psf.sum(),
        psf_cube=psf / psf.sum(),
        factor=3,
    )


def line(data, strength):
    channel, (y, x) = np.arange(len(data.cube)), np.indices(data.cube.shape[1:])
    spot = np.exp(-0.5 * ((x - 6) ** 2 + (y - 8) ** 2))
    return strength * np.exp(-0.5 * (channel - 40) ** 2)[:, None, None] * spot


def test_noise_and_continuum_are_no_lines(data):
    assert unexplained_lines(data, np.full(data.cube.shape, 5.0)) is None
    # a model that is wrong by a part of the brightness in all channels: the PSF, no line
    assert unexplained_lines(data, np.full(data.cube.shape, 4.8)) is None


def test_faint_line_keeps_its_flux(data):
    added = line(data, 2.0)
    data.cube = data.cube + added
    data.cube[30, 2, 2] = np.nan
    found = unexplained_lines(data, np.full(data.cube.shape, 5.0))
    assert found.count == 1
    assert np.all(found.error[found.light != 0] > 0)
    total = found.light.sum()
    noise = np.sqrt(np.sum(found.error > 0)) * 0.1
    assert abs(total - added.sum()) < 0.15 * added.sum() + 4 * noise
    cube, error = np.zeros((80, 42, 42)), np.full((80, 42, 42), 0.01)
    found.added_to(cube, error)
    assert cube.sum() / 9 == pytest.approx(total, rel=0.05)
    assert error[40, 25, 19] > 0.3
    assert error[10].max() == 0.01
