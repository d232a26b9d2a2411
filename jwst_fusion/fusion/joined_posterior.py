"""Posteriors of the parts of a joined cube, and the errors of sums over it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.interpolate import CubicSpline

from jwst_fusion.fusion.observed.registration import SplineSampler
from jwst_fusion.fusion.solver.posterior import CubePosterior, sum_variances
from jwst_fusion.fusion.stored_posterior import EXTENSIONS, unpacked

__all__ = ["PART_EXTENSIONS", "JoinedPart", "joined_variances", "part_place", "part_shares"]

#: Extension of a joined cube that has each array of a part; versions count the parts.
PART_EXTENSIONS = {
    key: "FUSPART" + name.removeprefix("FUSPOST").removeprefix("FUS")
    for key, name in EXTENSIONS.items()
} | {
    "wavelength": "FUSPARTWAVE",
    "place": "FUSPARTPLACE",
    "channels": "FUSPARTCHANNELS",
    "overlap": "FUSPARTOVERLAP",
}

_SAME = 1e-6  # relative difference of wavelengths that are one channel
_RIM = 1e-3  # pixels: positions on the outermost edge of a part belong to it


@dataclass(frozen=True)
class JoinedPart:
    """
    A part of a joined cube.

    Attributes
    ----------
    posterior : CubePosterior
        Its posterior.
    mirrored : bool
        Whether its columns are reversed against those of the posterior.
    wavelength : ndarray (l,)
        Wavelengths of its channels, micrometre.
    place : ndarray (2, 3)
        Columns and rows of the part, from 1, column and row of the joined cube.
    channels : ndarray (3, n)
        Of the channels of the joined cube to which the part contributes: index, wavelength, and
        weight; NaN where it varies over the field.
    overlap : ndarray (m, Y, X)
        The weights that vary, in the order of these channels.
    """

    posterior: CubePosterior
    mirrored: bool
    wavelength: np.ndarray
    place: np.ndarray
    channels: np.ndarray
    overlap: np.ndarray

    @classmethod
    def unpacked(cls, arrays):
        """
        Turn the arrays of a product into a part.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            By the names of `PART_EXTENSIONS`; None for what the product does not have.

        Returns
        -------
        JoinedPart
            The part.
        """
        more = {name: arrays[name] for name in ("wavelength", "place", "channels", "overlap")}
        overlap = np.zeros((0, 1, 1)) if more["overlap"] is None else more["overlap"]
        return cls(*unpacked(arrays), **{**more, "overlap": overlap})

    def mask_of(self, mask):
        """
        Bring a mask of the joined cube to weights of the pixels of the posterior.

        Parameters
        ----------
        mask : ndarray (Y, X)
            Weight of each pixel of the joined cube.

        Returns
        -------
        ndarray (y, x)
            The adjoint of the interpolation by which the part was resampled; a copy of a window
            where it was not.
        """
        shape = self.posterior.share.shape[1:]
        rows, columns = np.nonzero(mask)
        x, y = self.place @ [np.ones(len(rows)), columns, rows]
        inside = (y > -0.5 - _RIM) & (y < shape[0] - 0.5 + _RIM)
        inside &= (x > -0.5 - _RIM) & (x < shape[1] - 0.5 + _RIM)
        x, y, value = x[inside], y[inside], mask[rows, columns][inside]
        whole = np.rint([x, y])
        if np.all(np.abs(whole - [x, y]) < _RIM):
            found = np.zeros(shape)
            np.add.at(found, tuple(whole[::-1].astype(int)), value)
        else:
            found = SplineSampler(y, x, shape).adjoint(value)
        return found[:, ::-1] if self.mirrored else found

    def channels_from(self, count, mask):
        """
        Channels of the joined cube as sums of those of the part.

        Parameters
        ----------
        count : int
            Channels of the joined cube, L.
        mask : ndarray (Y, X)
            Weight of each pixel of a sum, over which weights that vary are averaged.

        Returns
        -------
        ndarray (L, l)
            Weights of the channels of the part.
        """
        index, wave, weight = self.channels
        weight = weight.copy()
        size = np.abs(mask)
        weight[np.isnan(weight)] = np.tensordot(self.overlap, size, 2) / size.sum()
        order = np.argsort(self.wavelength)
        known = self.wavelength[order]
        near = np.clip(np.searchsorted(known, wave), 1, len(known) - 1)
        near -= np.abs(known[near - 1] - wave) <= np.abs(known[near] - wave)
        rows = np.zeros((len(wave), len(known)))
        rows[np.arange(len(wave)), near] = 1.0
        between = np.abs(known[near] - wave) > _SAME * wave
        if between.any():
            rows[between] = CubicSpline(known, np.eye(len(known)))(wave[between])
        table = np.zeros((count, len(known)))
        table[np.ix_(index.astype(int), order)] = weight[:, None] * rows
        return table


def joined_variances(parts, mask, weights, count):
    r"""
    Variances of sums over a joined cube.

    Parameters
    ----------
    parts : list of JoinedPart
        The parts.
    mask : ndarray (Y, X)
        Weight of each pixel of the joined cube.
    weights : ndarray (n, L) or None
        Weights of the channels in each sum; None for each channel on its own.
    count : int
        Channels of the joined cube, L.

    Returns
    -------
    ndarray (n,) or (L,)
        Variances, in the square of the unit of the cube.

    Notes
    -----
    A sum over the joined cube is one of sums over its parts, whose errors are independent: other
    detectors or gratings, and other images. Where two parts overlap, the images with which both
    were fused make their errors alike; there they are taken to be the same, as for the errors of
    voxels. With the standard deviation :math:`\sigma_p` of the sum over part p, and
    :math:`o_{pq}` of its channels in the overlap with q, the variance is

    .. math:: \sum_p \sigma_p^2 + 2 \sum_{p<q} o_{pq} o_{qp}
    """
    tables = [part.channels_from(count, mask) for part in parts]
    index = [part.channels[0].astype(int) for part in parts]
    overlaps = {}
    for pair in combinations(range(len(parts)), 2):
        shared = np.isin(np.arange(count), np.intersect1d(*(index[k] for k in pair)))
        if shared.any():
            overlaps[pair] = shared
    total = np.zeros(count if weights is None else len(weights))
    spreads = {pair: [] for pair in overlaps}
    for k, (part, table) in enumerate(zip(parts, tables, strict=True)):
        own = [pair for pair in overlaps if k in pair]
        # All at once: what the mask makes of the posterior is the same for all sums of channels.
        rows = [
            _sums(weights, one) for one in (table, *(overlaps[p][:, None] * table for p in own))
        ]
        found = _variances(part, part.mask_of(mask), np.concatenate(rows))
        found = found.reshape(len(rows), -1)
        total += found[0]
        for pair, variance in zip(own, found[1:], strict=True):
            spreads[pair].append(np.sqrt(variance))
    return total + sum(2 * one * other for one, other in spreads.values())


def _sums(weights, table):
    return table if weights is None else weights @ table


def _variances(part, mask, weights):
    """Variances (n,) of sums over one part; of those alone that have a weight."""
    found = np.zeros(len(weights))
    used = weights.any(axis=1)
    if used.any() and mask.any():
        found[used] = np.maximum(sum_variances(part.posterior, mask, weights[used]), 0.0)
    return found


def part_place(part, whole):
    """
    Where the pixels of a joined cube are in a part.

    Parameters
    ----------
    part, whole : SkyGrid
        Sky coordinates of the part before it was resampled, and of the joined cube.

    Returns
    -------
    ndarray (2, 3)
        Columns and rows of the part, from 1, column and row of the joined cube: over fields of
        arcseconds the projections differ by nothing else.
    """
    ny, nx = whole.shape
    y, x = (one.ravel() for one in np.mgrid[0 : ny - 1 : 5j, 0 : nx - 1 : 5j])
    design = np.column_stack([np.ones_like(x), x, y])
    found, *_ = np.linalg.lstsq(design, np.column_stack(part.pixels(whole.sky(x, y))), rcond=None)
    return found.T


def part_shares(whole, number):
    """
    Say with which weights a part is in a joined cube.

    Parameters
    ----------
    whole : `~jwst_fusion.fusion.observed.joining.CubePart`
        The joined cube.
    number : int
        Number of the part, in the order of wavelengths.

    Returns
    -------
    channels : ndarray (3, n)
        As in `JoinedPart`.
    overlap : ndarray (m, Y, X) of float32
        Likewise.
    """
    index = np.array([i for i, one in enumerate(whole.shares) if number in one], int)
    own = [whole.shares[i][number] for i in index]
    weight = [1.0 if one is None else np.nan for one in own]
    maps = [one for one in own if one is not None]
    shape = (len(maps), *whole.grid.shape)
    overlap = np.array(maps, np.float32).reshape(shape)
    return np.array([index, whole.wavelength[index], weight]), overlap
