"""Slices of IFU exposures as lines on a grid of the sky."""

import numpy as np
import pytest
from astropy.wcs import WCS

from jwst_fusion.fusion.exposures.slice_lines import (
    STEP,
    pixel_height,
    slice_width,
    trace_slices,
)

SCALE = 0.1 / 3  # arcsec


def filled(model):
    model.data[:], model.err[:] = 1.0, 1.0
    return model


def north_up(ra, dec):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    wcs.wcs.set()
    return wcs


def check_lines(exposure, pointing, count, width, height):
    """Assert that so many slices are lines, and how wide they and how high their pixels are."""
    wcs = north_up(pointing["ra"], pointing["dec"])
    x, y = wcs.wcs_world2pix(exposure.ra, exposure.dec, 0)
    lines = trace_slices(x, y, exposure.label, exposure.good)
    assert len(lines) == count
    assert max(line.departure for line in lines) < 1e-3
    assert slice_width(lines) * SCALE == pytest.approx(width, rel=0.02)
    measured = pixel_height(x, y, exposure.label, exposure.row, exposure.column, exposure.slit_axis)
    assert measured * SCALE == pytest.approx(height, rel=0.02)
    line = lines[count // 2]
    # The position along the line leads back to where the pixel is.
    at = np.arange(len(line.x))
    np.testing.assert_allclose(np.interp(line.position, at, line.x), x[line.pixels], atol=1e-3)
    np.testing.assert_allclose(np.interp(line.position, at, line.y), y[line.pixels], atol=1e-3)
    assert line.position.min() >= 1
    assert line.position.max() <= len(line.x) - 2
    steps = np.hypot(np.diff(line.x), np.diff(line.y))
    np.testing.assert_allclose(steps, STEP, rtol=1e-2)
