"""The image of a source that the sharper cube shows, smoothed where it holds few photons."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

__all__ = ["brightness"]

_ENOUGH = 50.0  # counts (squared signal-to-noise ratio) under the smoothing kernel
# Standard deviations of the kernel, pixels of the source: areas grow twofold, up to where a faint
# source of that extent is no longer resolved.
_WIDTHS = (0.0, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
_FAINTEST = 1e-3  # of the mean; penalties are divided by the brightness, which must not be zero


def brightness(likelihoods, responses):
    r"""
    Brightness of every pixel of the source, of mean 1.

    Parameters
    ----------
    likelihoods : list of Poisson or Gaussian
        Data of the sharper cubes.
    responses : list of Response
        Their responses.

    Returns
    -------
    ndarray (M, N)
        At least 0.001 of the mean.

    Notes
    -----
    One step of Richardson-Lucy from a flat source, summed over energies. A pixel whose
    signal-to-noise ratio is below 7 takes the mean under the narrowest Gaussian that reaches it.
    """
    shape = responses[0].shape[1:]
    pairs = zip(likelihoods, responses, strict=True)
    flat = light = noise = 0.0
    first = None
    for one in pairs:
        *images, gain = _collected(*one)
        first = gain if first is None else first
        # data of unlike exposures weigh by their number, not by the response once more
        share = first / gain
        flat, light, noise = (
            flat + images[0],
            light + share * images[1],
            noise + share**2 * images[2],
        )
    found, done = np.zeros(shape), np.zeros(shape, bool)
    for width in _WIDTHS:
        weight, signal, spread = (
            (gaussian_filter(a, width, mode="nearest") if width else a)
            for a in (flat, light, noise)
        )
        area = max(4.0 * np.pi * width**2, 1.0)
        enough = signal**2 * area >= _ENOUGH * np.maximum(spread, 1e-300)
        enough &= weight > 1e-3 * flat.max()
        new = ~done & (enough | (width == _WIDTHS[-1]))
        ratio = np.divide(signal, weight, out=np.zeros(shape), where=weight > 0)
        found[new] = ratio[new]
        done |= new
    mean = found.mean()
    if not mean > 0:
        return np.ones(shape)
    return np.maximum(found / mean, _FAINTEST)


def _collected(likelihood, response):
    """
    What one cube gives each pixel of the source: response, light and its variance (M, N).

    And the mean response of the data to a flat source.
    """
    shape = response.shape[1:]
    used = np.ones_like(likelihood.data)
    if likelihood.weights is not None:
        used = (likelihood.weights > 0) * 1.0
    data = likelihood.data * used
    variance = data
    if likelihood.name == "poisson":
        data = data - likelihood.background * used
    else:
        variance = np.divide(1.0, likelihood.weights, out=np.zeros_like(data), where=used > 0)
    flat = response.adjoint_flat(used).sum(axis=0).reshape(shape)
    light = response.adjoint_flat(data).sum(axis=0).reshape(shape)
    # exact without a PSF; with one it takes the noise for larger than it is
    gain = response.forward_flat(np.ones((response.shape[0], flat.size)))
    noise = response.adjoint_flat(variance * gain).sum(axis=0).reshape(shape)
    return flat, light, noise, float((gain * used).sum() / max(used.sum(), 1.0))
