"""Lines in the residuals of the cube that no component of the subspace explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from jwst_fusion.fusion.solver.posterior import UNKNOWN_PLACE
from jwst_fusion.numerics.robust import sigma_of_median

__all__ = ["UnexplainedLines", "unexplained_lines"]

_SPECTRAL = 1.0  # channels, sigma of the filter: lines of the spectrograph are two channels wide
_CONTINUUM = 31  # channels of the running median, much wider than a line
_BELIEVED = 5.5  # standard deviations: about one voxel in a hundred million is noise
_GROWN = (2, 3)  # channels and spaxels around what is believed, that belong to it
# Part of the model that a wrong PSF may explain: less is no line of its own.
_EXPLAINED = 0.1


@dataclass(frozen=True)
class UnexplainedLines:
    """Light that is put back into a fused cube.

    Attributes
    ----------
    light : ndarray (L, h, w) of float32
        Per spaxel, MJy/sr; 0 where nothing is put back.
    error : ndarray (L, h, w) of float32
        Its 1-sigma error: noise, and a part of the light whose place is not known.
    count : int
        Lines that were found, places times lines.
    """

    light: np.ndarray
    error: np.ndarray
    count: int

    def added_to(self, cube, error):
        """Put the light back, in place.

        Parameters
        ----------
        cube, error : ndarray (L, d * h, d * w)
            Fused cube and its error, which may be None.
        """
        factor = cube.shape[1] // self.light.shape[1]
        for channel in np.flatnonzero(self.error.any((1, 2))):
            light = _fine(self.light[channel], factor)
            cube[channel] += light
            if error is not None:
                error[channel] = np.hypot(error[channel], _fine(self.error[channel], factor))


def _fine(plane, factor):
    """Spaxels on the pixels of the fused cube, at the same brightness."""
    return ndi.zoom(plane, factor, order=1, grid_mode=True, mode="grid-constant")


def unexplained_lines(data, model, *, scale=1.0):
    """Find lines in the residuals of the cube.

    A line that is bright in few spaxels and channels may lie below the noise of the whole cube and
    have no component. It stands out when residuals, less their continuum, are filtered with the PSF
    and the width of a line.

    Parameters
    ----------
    data : FusionData
        Observations, from `~jwst_fusion.fusion.solver.whitening.usable_data`.
    model : ndarray (L, h, w)
        Cube that the solution predicts.
    scale : float
        Factor on the inverse variances of the cube.

    Returns
    -------
    UnexplainedLines or None
        What to put back; None if there is nothing.
    """
    live = np.flatnonzero(np.isfinite(data.cube_sigma))
    if len(live) < _CONTINUUM:
        return None
    weight = np.where(data.spaxel_weight > 0, data.spaxel_weight * scale, np.nan)
    noise = (data.cube_sigma[live, None, None] / np.sqrt(weight)).astype(np.float32)
    residual = (data.cube[live] - model[live]).astype(np.float32) / noise
    there = np.isfinite(residual)
    residual = np.where(there, residual, 0)
    residual -= ndi.median_filter(residual, (_CONTINUUM, 1, 1), mode="nearest")
    residual *= there
    seen = _filtered(residual, _kernel(data))
    spread = float(sigma_of_median(np.median(np.abs(seen[there]))))
    if not spread > 0:
        return None
    level = _filtered(np.abs(np.nan_to_num(model[live] / noise)), _kernel(data))
    believed = there & (seen > _BELIEVED * max(spread, 1.0)) & (seen > _EXPLAINED * level)
    if not believed.any():
        return None
    _, count = ndi.label(believed)
    channels, spaxels = _GROWN
    y, x = np.ogrid[-spaxels : spaxels + 1, -spaxels : spaxels + 1]
    near = np.hypot(y, x) <= spaxels
    near = np.broadcast_to(near, (2 * channels + 1, *near.shape))
    grown = ndi.binary_dilation(believed, near) & there
    light, error = np.zeros((2, *data.cube.shape), np.float32)
    light[live] = np.where(grown, residual * noise, 0)
    error[live] = np.where(grown, np.hypot(noise, UNKNOWN_PLACE * light[live]), 0)
    return UnexplainedLines(light, error, int(count))


def _kernel(data):
    """PSF at a middle wavelength as the spaxels sample it, of unit sum of squares."""
    psf, d = data.psf_cube[len(data.psf_cube) // 2], data.factor
    middle = np.array(psf.shape) // 2
    sampled = psf[middle[0] % d :: d, middle[1] % d :: d]
    peak = middle // d
    reach = min(3, *peak)
    part = sampled[tuple(slice(p - reach, p + reach + 1) for p in peak)]
    return np.clip(part, 0, None) / np.sqrt(np.sum(np.clip(part, 0, None) ** 2))


def _filtered(cube, kernel):
    """Cube filtered with the PSF and the width of a line, noise at unit level."""
    smooth = ndi.gaussian_filter1d(cube, _SPECTRAL, axis=0, mode="constant")
    smooth *= np.sqrt(2 * _SPECTRAL * np.sqrt(np.pi))
    return np.array([ndi.correlate(one, kernel, mode="constant") for one in smooth])
