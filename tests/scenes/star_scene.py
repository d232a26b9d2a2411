"""A nebula with one line and three stars, seen with Gaussian PSFs."""

import numpy as np

from jwst_fusion.fusion.solver.data import FusionData

CHANNELS, SIZE, FACTOR = 60, 20, 3
STARS = ((20.3, 22.6, 300.0), (38.7, 35.1, 120.0), (44.2, 17.4, 60.0))


def gaussian(width, x, y, shape):
    rows, columns = np.indices(shape)
    found = np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / width**2)
    return found / (2 * np.pi * width**2)


def make_scene(widths=(1.1, 2.2)):
    """A nebula with one line, stars without it and with odd spectra; and the truth.

    The model has PSFs of 1.1 and 2.2 pixels, whatever those of the data are.
    """
    rng = np.random.default_rng(4)
    side = SIZE * FACTOR
    channel = np.arange(CHANNELS)
    line = np.exp(-0.5 * ((channel - 30) / 1.2) ** 2)
    odd = np.exp(-0.5 * ((channel - 45) / 1.2) ** 2)
    rows, columns = np.indices((side, side))

    def gas(width):
        """A cloud of waves, which a Gaussian PSF only makes fainter."""
        fainter = [np.exp(-0.5 * (width / length) ** 2) for length in (9, 7)]
        cloud = 2 + fainter[0] * np.sin(columns / 9) + 0.5 * fainter[1] * np.cos(rows / 7)
        return cloud[None] * (0.5 + 4 * line)[:, None, None]

    spectra = np.array(
        [flux * (1 + 0.01 * (k - 1) * channel) for k, (*_, flux) in enumerate(STARS)]
    )
    spectra[1] += 200 * odd
    sharp, soft = (gas(width) for width in widths)
    for (x, y, _), spectrum in zip(STARS, spectra, strict=True):
        sharp += spectrum[:, None, None] * gaussian(widths[0], x, y, (side, side))
        soft += spectrum[:, None, None] * gaussian(widths[1], x, y, (side, side))
    response = np.zeros((2, CHANNELS))
    response[0, :35] = 1 / 35
    response[1, 25:] = 1 / 35
    images = np.tensordot(response, sharp, 1)
    psfs = [gaussian(width, 15, 15, (31, 31))[None] for width in (1.1, 2.2)]
    data = FusionData(
        cube=soft[:, 1::3, 1::3] + 0.1 * rng.standard_normal((CHANNELS, SIZE, SIZE)),
        cube_sigma=np.full(CHANNELS, 0.1),
        spaxel_weight=np.ones((SIZE, SIZE)),
        images=images + 0.02 * rng.standard_normal(images.shape),
        image_sigma=np.full(2, 0.02),
        image_weight=np.ones(images.shape),
        response=response,
        psf_weights=np.ones((CHANNELS, 1)),
        psf_image=psfs[0] / psfs[0].sum(),
        psf_cube=psfs[1] / psfs[1].sum(),
        factor=FACTOR,
    )
    return data, sharp, spectra, line
