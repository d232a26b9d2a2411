"""Offset of Y on the sky and of X along the spectrum, from both observations themselves."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.ndimage import gaussian_filter1d
from scipy.ndimage import shift as moved

from jwst_fusion.hifred.solver.brightness import brightness
from jwst_fusion.hifred.solver.instrument_data import check_data
from jwst_fusion.hifred.solver.instrument_likelihood import InstrumentLikelihood
from jwst_fusion.hifred.solver.line_spectra import smoothing_width
from jwst_fusion.hifred.solver.prepared import mean_spectrum, mean_spectrum_variance

__all__ = ["Offsets", "measured_offsets"]

log = logging.getLogger(__name__)

_STEPS = 12  # Gauss-Newton steps, most
_CLOSE = 1e-3  # pixel; steps stop below
_FARTHEST = 30.0  # pixels of X; offsets beyond are not found from where the cubes are said to be
_SHIFT = 0.5  # pixel; half the distance for slopes
_FEWEST = 9  # pixels of Y, or channels of X
_SMOOTH = 3  # orders of the smooth factor between spectra: areas, and continua of other regions
_NOISE = 50.0  # counts of a pixel of X at least, by which `brightness` smooths it


@dataclass(frozen=True)
class Offsets:
    """
    Offsets with their errors; NaN where they cannot be told.

    Attributes
    ----------
    x, y : tuple of float
        By how much Y lies from X along x and y, and the error, pixels of X.
    gain : tuple of float
        By how much the energies (keV) or wavelengths (um) of X lie above those of Y, and the error.
    """

    x: tuple
    y: tuple
    gain: tuple


def measured_offsets(data):
    r"""
    Compare two observations, without a fused cube that lies between them.

    Parameters
    ----------
    data : `~jwst_fusion.hifred.data.HifredData`
        The observations.

    Returns
    -------
    Offsets
        The offsets.

    Notes
    -----
    On the sky, the image of X with the mean spectrum of Y, moved and seen by Y's response, is
    fitted to the image of Y, with a factor and a level. Along the spectrum, the mean spectrum of Y
    seen by X's response is fitted to that of X in the field of Y, with a smooth factor and its
    derivative. Errors have the noise of both and, where it is more, the scatter that is left.
    """
    try:
        return _measured(data)
    except np.linalg.LinAlgError as reason:
        # The fusion does not depend on them.
        log.info("Offsets of X and Y are not known: %s", reason)
        return Offsets(*[(np.nan, np.nan)] * 3)


def _measured(data):
    kind = "poisson" if data.sigma_x is None else "gaussian"
    one, two = (
        check_data(name, values, response, kind, None if sigma is None else sigma**2, [])
        for name, values, response, sigma in (
            ("x", data.x, data.response_x, data.sigma_x),
            ("y", data.y, data.response_y, data.sigma_y),
        )
    )
    spectrum, variance = mean_spectrum(two), mean_spectrum_variance(two)
    image = brightness([one.likelihood], [one.response])
    instruments = [
        InstrumentLikelihood(side.likelihood, side.response, spectrum[:, None])
        for side in (one, two)
    ]
    x, y = _on_sky(data, one, two, image, instruments[1])
    return Offsets(x, y, _along(data, one, image, spectrum, variance, instruments[0]))


def _sums(side, weight=None):
    """Signal and its variance, summed over the pixels (weights given) or over the channels."""
    signal = side.data if side.background is None else side.data - side.background
    variance = np.maximum(side.data, 0.0) if side.variance is None else side.variance
    signal, variance = (np.where(side.used, values, 0.0) for values in (signal, variance))
    if weight is None:
        return signal.sum(axis=0), variance.sum(axis=0)
    return signal @ weight, variance @ weight**2


def _on_sky(data, one, two, image, instrument):
    nothing = (np.nan, np.nan)
    signal, variance = _sums(two)
    good = two.used.any(axis=0)
    if good.sum() < _FEWEST or not (variance[good].max() > 0 and signal[good].sum() > 0):
        return nothing, nothing
    counts = one.data if one.variance is None else one.data**2 / np.maximum(one.variance, 1e-300)
    counts = np.where(one.used, counts, 0.0).sum(axis=0).reshape(image.shape)
    noise = (image**2 / np.maximum(counts, _NOISE)).ravel()

    def seen(dx, dy):
        there = moved(image, (dy, dx), order=1, mode="nearest")
        return np.where(two.used, instrument.signal(there.reshape(1, -1)), 0.0).sum(axis=0)

    flat = seen(0.0, 0.0)
    factor = signal[good].sum() / max(flat[good].sum(), 1e-300)
    for k, term in enumerate(instrument.terms):
        if term.spatial is not None and term.spatial.ndim == 2:
            share = np.where(two.used, instrument.spectra[:, [k]], 0.0).sum(axis=0) * factor
            power = term.spatial.power(2) if sparse.issparse(term.spatial) else term.spatial**2
            variance = variance + share**2 * (power @ noise)
    sigma = np.sqrt(np.maximum(variance, 1e-6 * variance[good].max()))[good]
    place = np.zeros(2)
    for _ in range(_STEPS):
        model = seen(*place)[good]
        slopes = [
            (seen(*(place + step)) - seen(*(place - step)))[good] / (2 * _SHIFT)
            for step in _SHIFT * np.eye(2)
        ]
        columns = np.stack([model, np.full(model.size, model.mean()), *slopes], axis=1)
        amounts, covariance = _fit(columns / sigma[:, None], signal[good] / sigma)
        change = amounts[2:] / (amounts[0] if amounts[0] > 0 else 1.0)
        place = place + np.clip(change, -3.0, 3.0)
        if not np.isfinite(place).all() or np.abs(place).max() > _FARTHEST:
            return nothing, nothing
        if np.abs(change).max() < _CLOSE:
            break
    errors = np.sqrt(np.diag(covariance))[2:] / max(amounts[0], 1e-300)
    return tuple((float(value), float(error)) for value, error in zip(place, errors, strict=True))


def _along(data, one, image, spectrum, variance, instrument):
    weight = np.asarray(data.pixels.sum(axis=0)).ravel()
    weight = np.clip(weight / max(weight.max(), 1e-300), 0.0, 1.0)
    signal, noise = _sums(one, weight)
    expected = np.where(one.used, instrument.signal(image.reshape(1, -1)), 0.0) @ weight
    good = (one.used.sum(axis=1) > 0) & (expected > 0)
    few = good.sum() < max(_FEWEST, 2 * (_SMOOTH + 1))
    if few or not (noise[good].max() > 0 and signal[good].sum() > 0):
        return np.nan, np.nan
    fine = 0.5 * (data.edges[1][1:] + data.edges[1][:-1])
    width = max(smoothing_width(spectrum, variance), 1.0)
    slope = np.gradient(gaussian_filter1d(spectrum, width, mode="nearest"), fine)
    # counts per channel move with the channel's width; what is left of it is smooth
    seen = instrument.project(image.reshape(1, -1)) @ weight
    matrix = np.zeros((len(signal), len(spectrum)))
    for term, share in zip(instrument.terms, seen, strict=True):
        if term.spectral is None:
            matrix[:, term.energies] += share * np.eye(len(signal))
        elif term.spectral.ndim == 1:
            matrix[:, term.energies] += share * np.diag(term.spectral)
        else:
            dense = term.spectral.toarray() if sparse.issparse(term.spectral) else term.spectral
            matrix[:, term.energies] += share * dense
    scale = np.divide(expected, matrix @ spectrum, out=np.zeros_like(expected), where=good)
    matrix = (matrix * scale[:, None])[good]
    place = np.linspace(-1.0, 1.0, good.sum())
    columns = [expected[good] * place**k for k in range(_SMOOTH)] + [-(matrix @ slope)]
    factor = signal[good].sum() / expected[good].sum()
    covariance = np.diag(np.maximum(noise[good], 1e-6 * noise.max()))
    covariance = covariance + factor**2 * (matrix * variance) @ matrix.T
    white = np.linalg.cholesky(covariance)
    design = np.linalg.solve(white, np.stack(columns, axis=1))
    amounts, errors = _fit(design, np.linalg.solve(white, signal[good]))
    size = max(amounts[0], 1e-300)
    return float(amounts[-1] / size), float(np.sqrt(errors[-1, -1]) / size)


def _fit(design, values):
    """Least squares, and the covariance, which follows the scatter that is left if it is more."""
    scale = np.sqrt((design**2).sum(axis=0))
    nothing = ~(scale > 0)
    scale[nothing] = 1.0
    inverse = np.linalg.pinv((design / scale).T @ (design / scale), hermitian=True)
    amounts = inverse @ ((design / scale).T @ values)
    left = values - (design / scale) @ amounts
    scatter = max(float(left @ left) / max(values.size - len(scale), 1), 1.0)
    covariance = scatter * inverse / np.outer(scale, scale)
    covariance[nothing, nothing] = np.inf
    return amounts / scale, covariance
