"""Several images through one filter: the same one twice, and epochs of different brightness."""

import logging

import numpy as np
from scipy.ndimage import map_coordinates

from jwst_fusion.messages import warn

__all__ = ["brightness_ratio", "without_repeats"]

log = logging.getLogger(__name__)

_DIFFERENT = 1.3  # ratio of brightness that is said: calibrations agree within a few percent
_ALIKE = 0.6  # correlation from which on two images show the same scene
_FEWEST = 50  # pixels that both have


def without_repeats(images):
    """
    Leave out images that hold the same data as another, and warn of epochs that do not agree.

    Parameters
    ----------
    images : list of `~jwst_fusion.fusion.observed.observation.ImageObservation`
        The images.

    Returns
    -------
    list of `~jwst_fusion.fusion.observed.observation.ImageObservation`
        Each once, in their order.
    """
    kept = []
    for image in images:
        others = [one for one in kept if one.filter == image.filter]
        same = next((one for one in others if _same(one, image)), None)
        if same is not None:
            warn(
                log,
                "%s (%s) holds the same data as %s: it is used once",
                image.name,
                image.filter,
                same.name,
                kind="repeated",
            )
            continue
        for one in others[:1]:
            ratio = brightness_ratio(one, image)
            if ratio is not None and not 1 / _DIFFERENT < ratio < _DIFFERENT:
                warn(
                    log,
                    "%s is %.2f times as bright as %s, both through %s: look at their calibration, "
                    "or leave one out if the source varies",
                    image.name,
                    ratio,
                    one.name,
                    image.filter,
                    kind="epochs",
                )
        kept.append(image)
    return kept


def brightness_ratio(first, second):
    """
    Measure how much brighter the structure of one image is than that of another.

    Parameters
    ----------
    first, second : `~jwst_fusion.fusion.observed.observation.ImageObservation`
        Images of one field, in one unit.

    Returns
    -------
    float or None
        Ratio of second to first; None if they share too few pixels or do not show the same.

    Notes
    -----
    The second is read at the pixels of the first. The ratio is that of the standard deviations
    over these pixels, each with the variance of its noise (ERR) taken out, which no small offset
    changes; means are no part of it, since backgrounds differ.
    """
    y, x = np.indices(first.grid.shape)
    column, row = second.grid.pixels(first.grid.sky(x, y))
    inside = (row >= 0) & (row <= second.grid.shape[0] - 1)
    inside &= (column >= 0) & (column <= second.grid.shape[1] - 1) & first.good
    places = np.round(row[inside]).astype(int), np.round(column[inside]).astype(int)
    good = second.good[places]
    if np.count_nonzero(good) < _FEWEST:
        return None
    filled = np.where(second.good, second.data, 0.0)
    at = np.array([row[inside][good], column[inside][good]])
    values = first.data[inside][good], map_coordinates(filled, at, order=1)
    errors = first.err[inside][good], second.err[places][good]
    if np.corrcoef(*values)[0, 1] < _ALIKE:
        return None
    signal = [np.var(one) - np.mean(error**2) for one, error in zip(values, errors, strict=True)]
    return float(np.sqrt(signal[1] / signal[0])) if min(signal) > 0 else None


def _same(first, second):
    return first.data.shape == second.data.shape and np.array_equal(
        first.data, second.data, equal_nan=True
    )
