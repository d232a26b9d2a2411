"""The frugal median filter is that of jwst."""

import numpy as np
import pytest
from jwst.outlier_detection import ifu

from jwst_fusion.steps.outliers import _filter_in_strips, median_in_strips


@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize("shape", [(300, 41), (128, 30), (37, 50), (257, 20)])
@pytest.mark.parametrize("kernel", [(7, 7), (3, 5), (9, 1)])
def test_strips_give_what_the_whole_gives(shape, kernel):
    rng = np.random.default_rng(3)
    image = rng.normal(size=shape)
    image[rng.random(shape) < 0.3] = np.nan
    image[:, 5] = np.nan
    whole = ifu.medfilt(image, kernel)
    assert np.array_equal(median_in_strips(ifu.medfilt, image, kernel), whole, equal_nan=True)


def test_jwst_has_its_own_filter_back():
    before = ifu.medfilt
    with _filter_in_strips():
        assert ifu.medfilt is not before
    assert ifu.medfilt is before
