"""Coordinates of slices without the instrument's own geometry."""

import numpy as np
import pytest

from jwst_fusion.adaptive_trace_model import smooth_map
from jwst_fusion.adaptive_trace_model.geometry import GeometryError, NirspecIfuGeometry
from jwst_fusion.adaptive_trace_model.slices import find_slices
from jwst_fusion.simulation.exposures import new_nirspec_exposure

METADATA = {"ra": 150.0, "dec": 20.0, "roll": 30.0}


def test_foreign_wcs_is_told_apart():
    exposure = new_nirspec_exposure(**METADATA)
    with pytest.raises(GeometryError, match="no WCS"):
        NirspecIfuGeometry(exposure)


def test_transforms_that_are_not_smooth_are_evaluated_at_every_pixel():
    layout = find_slices(np.ones((20, 400), dtype=int))[0]

    def steps(x, y):
        return y + 0.01 * np.floor(x / 7), x

    rows, columns = np.broadcast_arrays(*layout.index())
    found = smooth_map.evaluate_smooth(steps, layout, layout.inside)
    np.testing.assert_allclose(found[0], rows + 0.01 * (columns // 7))
