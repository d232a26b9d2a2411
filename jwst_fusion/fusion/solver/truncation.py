"""What components hold that stand out of the noise and that the subspace was not given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla
import scipy.ndimage as ndi

__all__ = ["Truncation", "truncation"]

_MOST = 12  # components whose maps are kept: posteriors stay below the size of the cube
_MARGIN = 1.03  # the largest singular value of noise scatters about the edge by a few per cent
_SLAB = 32_000_000  # bytes of the cube that are worked on at once


@dataclass(frozen=True)
class Truncation:
    """Part of the cube that a subspace of too low a rank misses.

    Attributes
    ----------
    spectra : ndarray (L, q)
        MJy/sr; 0 in channels without data.
    maps : ndarray (q, h, w)
        Weight of each spectrum in every spaxel; 0 without data.
    """

    spectra: np.ndarray
    maps: np.ndarray

    def added_to(self, error):
        """Add it to errors of voxels, in place.

        Parameters
        ----------
        error : ndarray (L, d * h, d * w)
            1-sigma errors of the fused cube, MJy/sr.
        """
        factor = error.shape[1] // self.maps.shape[1]
        fine = np.array([_fine(one, factor) for one in self.maps], np.float32)
        flat, table = fine.reshape(len(fine), -1), self.spectra.astype(np.float32)
        step = max(1, _SLAB // (4 * flat.shape[1]))
        for start in range(0, len(error), step):
            part = slice(start, start + step)
            missed = (table[part] @ flat).reshape(-1, *error.shape[1:])
            np.hypot(error[part], missed, out=error[part])


def _fine(plane, factor):
    """Spaxels on the pixels of the fused cube, at the same brightness."""
    return ndi.zoom(plane, factor, order=1, grid_mode=True, mode="nearest")


def truncation(data, model, subspace):
    r"""Find what the residuals of the cube hold of components that were left out.

    Parameters
    ----------
    data : FusionData
        Observations, from `~jwst_fusion.fusion.solver.whitening.usable_data`.
    model : ndarray (L, h, w)
        The cube that the solution predicts.
    subspace : WhitenedSubspace
        Subspace, and how many components stand out of the noise.

    Returns
    -------
    Truncation or None
        The strongest components of the residuals, at most as many as stand out of the noise of the
        cube and are not in the subspace; None if all are, or if the residuals show none.

    Notes
    -----
    Of the residuals in units of the noise, those singular values :math:`s` count that exceed the
    largest one of noise, :math:`e = \sqrt{L} + \sqrt{n}` of n spaxels, with the part
    :math:`\sqrt{1 - e^2 / s^2}`: spectra of sources, and those that were fitted again, may have
    explained the rest. They are at the resolution of the cube: of what the components hold within a
    spaxel, nothing is known.
    """
    count = min(subspace.signal - subspace.rank, _MOST)
    good, live = data.spaxel_weight > 0, np.flatnonzero(subspace.valid)
    if count < 1:
        return None
    sigma, root = subspace.sigma[live], np.sqrt(data.spaxel_weight[good])
    left = (data.cube[live][:, good] - model[live][:, good]) / sigma[:, None] * root
    left = np.nan_to_num(left.astype(np.float32))
    wide = left.shape[0] > left.shape[1]
    gram = left.T @ left if wide else left @ left.T
    count = min(count, len(gram))
    values, vectors = sla.eigh(gram, subset_by_index=[len(gram) - count, len(gram) - 1])
    if wide:
        vectors = left @ vectors / np.sqrt(np.maximum(values, np.finfo(np.float32).tiny))
    # The noise is that of what is left, without the strongest.
    noise = (np.sum(left**2, dtype=float) - values.sum()) / max(left.size - sum(left.shape), 1)
    edge = _MARGIN * noise * (np.sqrt(left.shape[0]) + np.sqrt(left.shape[1])) ** 2
    seen = values > edge
    if not seen.any():
        return None
    vectors, share = vectors[:, seen], np.sqrt(1 - edge / values[seen])
    spectra = np.zeros((len(subspace.sigma), len(share)))
    spectra[live] = vectors * sigma[:, None]
    maps = np.zeros((len(share), *good.shape))
    maps[:, good] = share[:, None] * (vectors.T @ left) / root
    return Truncation(spectra, maps)
