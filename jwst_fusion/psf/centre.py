"""Centre of the core of a PSF, where the position of a star is measured."""

import numpy as np
from scipy.ndimage import label

__all__ = ["core_centre"]

_PRECISION = 1e-5  # pixel
_MOST_STEPS = 200  # against a centre that does not settle
_NARROWEST = 0.7  # pixel, standard deviation of the window
_REACH = 4.0  # standard deviations to which the window reaches


def core_centre(image, *, start=None):
    r"""
    Centroid under a Gaussian window as wide as the core.

    Parameters
    ----------
    image : ndarray
        A point source without background, shape (y, x), finite. The more pixels cover its core, the
        better; two along its full width at half maximum are enough for a hundredth of a pixel.
    start : tuple of int, optional
        Row and column of the brightest pixel of the core; by default the maximum.

    Returns
    -------
    tuple of float
        Row and column.

    Notes
    -----
    The fixed point of

    .. math:: c \leftarrow c + 2\, \frac{\sum_i w_i I_i (x_i - c)}{\sum_i w_i I_i}, \qquad
       w_i = e^{-|x_i - c|^2 / 2 \sigma^2},

    the place where a Gaussian of the standard deviation :math:`\sigma` of the core fits the image
    best. Unlike the centroid of all light it does not depend on faint wings and on the size of the
    field, and unlike that of the brightest pixels not on how they are sampled.
    """
    peak = np.unravel_index(np.argmax(image), image.shape) if start is None else start
    regions, _ = label(image > 0.5 * image[tuple(peak)])
    area = np.count_nonzero(regions == regions[tuple(peak)])
    sigma = max(np.sqrt(area / (2.0 * np.pi * np.log(2.0))), _NARROWEST)
    reach = int(np.ceil(_REACH * sigma)) + 1
    rows = np.arange(max(peak[0] - reach, 0), min(peak[0] + reach + 1, image.shape[0]))
    columns = np.arange(max(peak[1] - reach, 0), min(peak[1] + reach + 1, image.shape[1]))
    part = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    row, column = float(peak[0]), float(peak[1])
    for _ in range(_MOST_STEPS):
        down = np.exp(-0.5 * ((rows - row) / sigma) ** 2)
        across = np.exp(-0.5 * ((columns - column) / sigma) ** 2)
        weighted = part * down[:, None] * across[None, :]
        total = weighted.sum()
        step_row = 2.0 * weighted.sum(axis=1) @ (rows - row) / total
        step_column = 2.0 * weighted.sum(axis=0) @ (columns - column) / total
        row, column = row + step_row, column + step_column
        if max(abs(step_row), abs(step_column)) < _PRECISION:
            break
    return row, column
