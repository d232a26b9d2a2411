"""Images and cubes are brought to one resolution, whatever the sizes of their PSFs."""

import numpy as np
import pytest
from scipy.signal import fftconvolve

from jwst_fusion.fusion.observed.matching import matching_kernel
from jwst_fusion.fusion.observed.offset import image_offset


def gaussian(size, sigma):
    y, x = np.indices((size, size)) - size // 2
    plane = np.exp(-0.5 * (x**2 + y**2) / sigma**2)
    return plane / plane.sum()


@pytest.mark.parametrize("sides", [(41, 41), (41, 31), (31, 41)])
def test_kernels_have_their_middle_in_the_middle(sides):
    image, cube = gaussian(sides[0], 1.2), gaussian(sides[1], 2.4)
    kernel = matching_kernel(image, cube, 3)
    assert kernel.shape == (41, 41)
    y, x = np.indices(kernel.shape) - 20
    assert abs(np.sum(kernel * x)) + abs(np.sum(kernel * y)) < 1e-3
    found = fftconvolve(np.pad(image, 20), kernel, "same")
    middle = found.shape[0] // 2
    half = sides[1] // 2
    part = found[middle - half : middle + half + 1, middle - half : middle + half + 1]
    np.testing.assert_allclose(part, cube, atol=2e-3 * cube.max())


@pytest.mark.parametrize("sides", [(41, 31), (31, 41)])
def test_psfs_of_two_sizes_are_no_offset(sides):
    rng = np.random.default_rng(3)
    sky = np.zeros((96, 96))
    for y, x in rng.uniform(20, 76, (9, 2)):
        sky += (
            50
            * gaussian(96, 2.5)[
                np.ix_((np.arange(96) - round(y) + 48) % 96, (np.arange(96) - round(x) + 48) % 96)
            ]
        )
    image, cube = gaussian(sides[0], 1.2), gaussian(sides[1], 2.4)
    seen = fftconvolve(sky, image, "same") + 1e-4 * rng.standard_normal(sky.shape)
    spaxels = fftconvolve(sky, cube, "same")[1::3, 1::3]
    offset, error = image_offset(seen, spaxels, psf_image=image, psf_cube=cube, factor=3)
    assert error < 0.1
    assert np.hypot(*offset) < 0.1
