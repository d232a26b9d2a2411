"""The frugal median filter is that of jwst."""

import numpy as np
import pytest
from jwst.datamodels import ModelContainer
from jwst.outlier_detection import OutlierDetectionStep, ifu
from stdatamodels.jwst import datamodels

from jwst_fusion.steps.outliers import FrugalOutlierStep, _detection_in_strips, median_in_strips


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


def exposures():
    rng = np.random.default_rng(5)
    models = []
    for number in (1, 2):
        data = rng.normal(100.0, 1.0, (300, 30)).astype("f4")
        data[40 * number, 7] = 1e4
        model = datamodels.IFUImageModel(data)
        model.err = np.ones(data.shape, "f4")
        model.dq = np.zeros(data.shape, "u4")
        model.meta.filename = f"a_{number}_cal.fits"
        model.meta.instrument.name = "NIRSPEC"
        model.meta.instrument.detector = "NRS1"
        model.meta.exposure.type = "NRS_IFU"
        models.append(model)
    return ModelContainer(models)


def test_products_are_those_of_jwst(tmp_path):
    before = dict(vars(ifu))
    ours, theirs = (
        step(output_dir=str(tmp_path)).run(exposures())
        for step in (FrugalOutlierStep, OutlierDetectionStep)
    )
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one.data, other.data, equal_nan=True)
        assert np.array_equal(one.dq, other.dq)
        assert one.dq.any()
        assert one.meta.cal_step.outlier_detection == "COMPLETE"
        assert other.meta.cal_step.outlier_detection == "COMPLETE"
    assert _detection_in_strips().medfilt is not ifu.medfilt
    assert dict(vars(ifu)) == before
