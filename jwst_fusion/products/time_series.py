"""Fill pixels without data in the integrations of a time series, in place."""

import numpy as np
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.adaptive_trace_model.integrations import median_scatter
from jwst_fusion.adaptive_trace_model.series import SeriesTemplate
from jwst_fusion.products.exposure import bad_pixels

__all__ = ["fill_integrations"]

_DO_NOT_USE = np.uint32(dqflags.pixel["DO_NOT_USE"])
_ESTIMATED = np.uint32(dqflags.pixel["FLUX_ESTIMATED"])
_VARIANCES = ("var_rnoise", "var_poisson", "var_flat")


def fill_integrations(spectrum, native, result, geometry):
    """
    Fill pixels without data in each integration with the trace scaled to that integration.

    Pixels that are not finite or flagged DO_NOT_USE get a flux, an error and variances, and the
    flag FLUX_ESTIMATED in place of DO_NOT_USE. Where an integration tells too little, they stay as
    they are, and the trace model of the median is blanked there: it would put the median's light
    into the integration.

    Parameters
    ----------
    spectrum : SlitModel
        The time series with its trace model; changed in place.
    native : ExposureImages
        Median of its integrations, see `jwst_fusion.products.exposure.read_images`.
    result : OversampledImages
        Its trace model with intermediate images, without oversampling.
    geometry : object
        Geometry of the spectrum, see `jwst_fusion.adaptive_trace_model.geometry`.

    Returns
    -------
    filled : int
        Number of pixels of all integrations that have been filled.
    left : int
        Number of those that have a trace model but are left without data.
    """

    def columns(image):
        """Image (column, row) of a detector image."""
        return image if geometry.transposed else image.T

    bad = bad_pixels(spectrum)
    count = columns(np.sum(~bad, axis=0))
    used = result.images["spline_used"].T
    template = SeriesTemplate(
        native.flux.T,
        native.error.T / np.where(count > 0, median_scatter(count), 1.0),
        count,
        model=result.images["spline_full"].T,
        used=used,
    )
    inside = np.zeros(used.shape, bool)
    for layout in geometry.layouts:
        rows, cols = np.broadcast_arrays(*layout.index())
        inside[cols[layout.inside], rows[layout.inside]] = True
    names = [name for name in _VARIANCES if _has(spectrum, name)]
    n_filled, left = 0, np.zeros(used.shape, int)
    for number in range(len(spectrum.data)):
        missing = columns(bad[number]) & inside
        if not missing.any():
            continue
        flux = np.where(columns(bad[number]), np.nan, columns(spectrum.data[number]))
        one = template.fill(flux)
        filled = one.filled & inside
        left += missing & ~filled & np.isfinite(used)
        n_filled += int(filled.sum())
        columns(spectrum.data[number])[filled] = one.flux[filled]
        if _has(spectrum, "err"):
            error = columns(spectrum.err[number])
            error[filled] = np.sqrt(one.variance(np.asarray(error, float) ** 2)[filled])
        for name in names:
            variance = columns(getattr(spectrum, name)[number])
            variance[filled] = one.variance(np.asarray(variance, float))[filled]
        if _has(spectrum, "dq"):
            dq = columns(spectrum.dq[number])
            dq[filled] = (dq[filled] & ~_DO_NOT_USE) | _ESTIMATED
    columns(spectrum.trace_model)[left > 0] = np.nan
    return n_filled, int(left.sum())


def _has(spectrum, name):
    """Whether a spectrum has an array; asking for one that is missing would make it."""
    return spectrum.hasattr(name) and getattr(spectrum, name) is not None
