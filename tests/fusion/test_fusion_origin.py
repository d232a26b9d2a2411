import numpy as np
import pytest

from jwst_fusion.fusion.origin import voxel_origin, without_rejected
from jwst_fusion.fusion.solver.data import FusionData

WINDOW = (slice(0, 8), slice(0, 10))


@pytest.fixture
def data():
    channels, h, w, d = 12, 4, 5, 2
    rng = np.random.default_rng(4)
    cube = rng.normal(size=(channels, h, w))
    cube[:, 3, 4] = np.nan
    images = rng.normal(size=(2, d * h, d * w))
    images[1, :4] = np.nan
    weight = np.ones((h, w))
    weight[0] = 0
    sigma = np.full(channels, 2.0)
    sigma[11] = np.nan
    response = np.zeros((2, channels))
    response[0, 1:4], response[1, 6:10] = 1 / 3, 1 / 4
    psf = np.zeros((1, 5, 5))
    psf[:, 2, 2] = 1
    return FusionData(
        cube=cube,
        cube_sigma=sigma,
        spaxel_weight=weight,
        images=images,
        image_sigma=np.ones(2),
        image_weight=np.isfinite(images).astype(float),
        response=response,
        psf_weights=np.ones((channels, 1)),
        psf_image=psf,
        psf_cube=psf,
        factor=d,
    )


def test_instruments_and_filters(data):
    origin = voxel_origin(data, data.response, WINDOW)
    assert origin.shape == (12, 8, 10)
    assert origin.dtype == np.uint8
    # Rows 0 and 1 have no spaxel, nor has the last corner; rows 0 to 3 lack the second image.
    assert (origin[2, 2:, :8] == 3).all()
    assert (origin[2, :2] == 2).all()
    assert (origin[2, 6:, 8:] == 2).all()
    assert (origin[7, 2:4, :8] == 5).all()
    assert (origin[7, 4:, :8] == 3).all()
    assert (origin[0, 2:, :8] == 5).all()
    assert (origin[0, :2] == 4).all()
    assert not origin[11].any(), "a channel without data"


def test_a_gap_in_a_spaxel_is_not_the_cube(data):
    data.cube[2, 2, 1] = np.nan
    origin = voxel_origin(data, data.response, WINDOW)
    assert (origin[2, 4:6, 2:4] == 8 + 2).all()
    assert (origin[3, 4:6, 2:4] == 3).all()
    assert (origin[2, 4:6, 4:6] == 3).all()
    data.images[:, 4:6, 2:4] = np.nan
    origin = voxel_origin(data, data.response, WINDOW)
    assert (origin[2, 4:6, 2:4] == 8).all()
    assert (origin[3, 4:6, 2:4] == 1).all()


def test_pixels_that_nobody_saw(data):
    data.images[:, :2] = np.nan
    assert not voxel_origin(data, data.response, WINDOW)[:, :2].any()


def test_rejected_pixels_do_not_count(data):
    images = np.zeros(data.images.shape, bool)
    images[0, 5, 5] = True
    voxels = np.zeros(data.cube.shape, bool)
    voxels[2, 2, 0] = True
    cleaned = without_rejected(data, images, voxels)
    origin = voxel_origin(cleaned, data.response, WINDOW)
    assert origin[2, 5, 5] == 1 + 4, "the other image still has the pixel"
    assert (origin[2, 4:6, :2] == 8 + 2).all()
    assert (origin[1, 4:6, :2] == 3).all()
    assert np.isfinite(data.cube[2, 2, 0]), "the data themselves are not changed"
    assert without_rejected(data, images, 0 * voxels > 1).cube is data.cube


def test_only_the_window(data):
    window = (slice(3, 7), slice(1, 10))
    whole = voxel_origin(data, data.response, WINDOW)
    assert np.array_equal(voxel_origin(data, data.response, window), whole[(slice(None), *window)])
