import numpy as np
import pytest

from jwst_fusion.psf import make_psf
from jwst_fusion.psf.centre import core_centre
from jwst_fusion.psf.resample import resample_psf

BOXES = {
    "NIRCAM": ((0.0311, 0.0311, 20.0),) * 2 + ((1 / 30, 1 / 30, 0.0),),
    "NIRSPEC": ((0.1, 0.1, 20.0),) * 2 + ((0.1, 0.1, 0.0),),
}


def star(centre, sigma, shape=(41, 44), ghost=0.0):
    y, x = np.indices(shape)
    image = np.exp(-0.5 * ((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / sigma**2)
    wide = np.exp(-0.5 * ((y - centre[0] - 9) ** 2 + (x - centre[1] - 8) ** 2) / 4.0**2)
    return image + ghost * wide


@pytest.mark.parametrize("centre", [(20.0, 20.0), (17.37, 24.81), (19.5, 20.5)])
@pytest.mark.parametrize("sigma", [0.9, 1.5, 4.0])
def test_centre_of_a_star_is_found_to_a_hundredth_of_a_pixel(centre, sigma):
    assert core_centre(star(centre, sigma)) == pytest.approx(centre, abs=5e-3)


def test_wings_on_one_side_do_not_move_the_centre():
    image = star((20.3, 20.6), 1.3, ghost=0.05)
    rows, columns = np.indices(image.shape)
    centroid = np.array([(rows * image).sum(), (columns * image).sum()]) / image.sum()
    assert np.abs(centroid - [20.3, 20.6]).max() > 1
    assert core_centre(image) == pytest.approx((20.3, 20.6), abs=0.01)


def test_centre_is_kept_by_shifts_of_whole_pixels_and_mirrors():
    image = star((18.2, 23.4), 1.2, ghost=0.1)
    row, column = core_centre(image)
    assert core_centre(np.roll(image, (2, -3), (0, 1))) == pytest.approx((row + 2, column - 3))
    assert core_centre(image[::-1]) == pytest.approx((40 - row, column), abs=1e-4)
    assert core_centre(image.T) == pytest.approx((column, row), abs=1e-4)


@pytest.mark.parametrize("instrument", ["NIRCAM", "NIRSPEC"])
@pytest.mark.parametrize("angle", [0.0, 57.0])
def test_psfs_are_centred_to_a_hundredth_of_a_pixel(instrument, angle):
    psf = make_psf(
        instrument,
        wavelength=[1.0, 1.66, 2.3],
        pixel_scale=1 / 30,
        npix=61,
        angle=angle,
        pixel_kernels=BOXES[instrument],
        source="aperture",
    )
    for image in psf.data:
        # resampled finely, so that the measure does not depend on the sampling
        fine = resample_psf(image, 1 / 30, npix=121, pixel_scale=1 / 120)
        centre = (np.array(core_centre(fine)) - 60) / 4
        assert np.abs(centre).max() < 0.01
