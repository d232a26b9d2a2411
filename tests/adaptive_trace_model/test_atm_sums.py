"""Errors of sums over oversampled exposures: against exact covariances, noise, and products."""

import numpy as np
import pytest
from photutils.aperture import RectangularAperture
from stdatamodels.jwst import datamodels

from jwst_fusion.adaptive_trace_model import TraceSettings, error_of, oversample

ROWS, COLUMNS = 30, 300


def slices(*, flux=1000.0, seed=None):
    """Two slices of 14 rows beside each other, a trace in the first; flux, error, and the rest."""
    row, column = np.mgrid[:ROWS, :COLUMNS]
    regions = np.where(row < 14, 1, 2)
    coordinate = np.where(row < 14, row - 6.4, row - 22.0) - 0.004 * column
    truth = 5.0 + np.where(regions == 1, flux, 0.0) * np.exp(-0.5 * (coordinate / 0.8) ** 2)
    error = np.sqrt(0.09 + 0.02 * truth)
    data = truth
    if seed is not None:
        data = truth + error * np.random.default_rng(seed).normal(size=truth.shape)
    return data, error, coordinate, regions


def traced(factor, **changes):
    data, error, coordinate, regions = slices(**changes)
    options = TraceSettings(oversample=factor)
    return oversample(data, error, coordinate, regions=regions, options=options)


def boxes(factor):
    """Boxes over rows: on the trace, beside it, across the border of the slices, all rows."""
    size = int(ROWS * factor)
    for centre in (6.4 + 0.6, 9.0, 14.0, 22.0):
        for height in (1, 2, 3, 5, 9, 15):
            start = int(factor * centre) - height // 2
            mask = np.zeros((size, COLUMNS))
            mask[start : start + height] = 1.0
            yield mask
    yield np.ones((size, COLUMNS))


@pytest.mark.parametrize("factor", [2.0, 3.0, 1.5])
def test_without_a_trace_the_covariance_is_exact(factor):
    noise = np.random.default_rng(1).normal(size=(ROWS, 4000))
    row = np.mgrid[:ROWS, :4000][0]
    regions = np.where(row < 14, 1, 2)
    coordinate = np.where(row < 14, row - 7.0, row - 22.0)
    options = TraceSettings(oversample=factor)
    result = oversample(noise, np.ones_like(noise), coordinate, regions=regions, options=options)
    assert set(result.outcomes.values()) == {"faint"}
    for mask in boxes(factor):
        found = error_of(result, np.broadcast_to(mask[:, :1], result.flux.shape))
        true = (mask[:, :1] * result.flux).sum(axis=0).std()
        assert found == pytest.approx(true, rel=0.05)


@pytest.mark.parametrize("factor", [2.0, 3.0])
@pytest.mark.parametrize("flux", [30.0, 1000.0])
def test_errors_are_those_of_repeated_exposures(factor, flux):
    masks = list(boxes(factor))
    sums, stated = [], 0.0
    for seed in range(40):
        result = traced(factor, flux=flux, seed=seed)
        sums.append([(mask * result.flux).sum(axis=0)[20:-20] for mask in masks])
        if seed == 0:
            stated = np.array([error_of(result, mask)[20:-20] for mask in masks])
    # the mean profile is common to all columns, and no part of the noise of one
    true = np.sqrt(np.mean(np.var(sums, axis=0, ddof=1), axis=1))
    found = np.sqrt(np.mean(stated**2, axis=1))
    assert found == pytest.approx(true, rel=0.17)
    naive = [np.sqrt(np.mean((mask * result.error**2).sum(axis=0)[20:-20])) for mask in masks]
    assert naive[0] > 1.3 * true[0]
    assert naive[-1] < 0.92 * true[-1]


def test_columns_are_independent_and_nothing_is_summed_twice():
    result = traced(2.0, seed=0)
    aperture = RectangularAperture((150.0, 13.0), 41.0, 9.0)
    alone = error_of(result, aperture)
    assert np.isnan(alone[:129]).all()
    weights = np.linspace(0, 1, COLUMNS)
    expected = np.sqrt(np.nansum((weights * alone) ** 2))
    assert error_of(result, aperture, weights) == pytest.approx(expected)
    assert error_of(result, aperture, np.stack([weights, np.arange(300) < 90]))[1] != 0
    # native pixels: the sum of independent ones
    data, error, coordinate, regions = slices(seed=0)
    native = oversample(
        data, error, coordinate, regions=regions, options=TraceSettings(oversample=1.0)
    )
    assert error_of(native) == pytest.approx(np.sqrt((native.error**2).sum(axis=0)), rel=1e-5)


def test_sums_that_have_no_error_are_refused():
    data, error, coordinate, regions = slices(seed=0)
    options = TraceSettings(oversample=2.0, psf_optimal=True)
    alone = oversample(data, error, coordinate, regions=regions, options=options)
    with pytest.raises(ValueError, match="holds the trace model alone"):
        error_of(alone)
    with pytest.raises(TypeError, match="product must be a file or a data model, got ndarray"):
        error_of(np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"mask has the shape \(30, 300\).*\(60, 300\)"):
        error_of(traced(2.0), np.ones((30, 300)))
    model = datamodels.IFUImageModel((4, 4))
    with pytest.raises(ValueError, match="does not say how it was oversampled"):
        error_of(model)
