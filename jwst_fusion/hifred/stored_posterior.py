"""The posterior of a fused source as arrays of a product, no larger than its cube, and back."""

from __future__ import annotations

import numpy as np

from jwst_fusion.hifred.solver.posterior import LowRankPosterior
from jwst_fusion.hifred.solver.subspace_error import SubspaceError

__all__ = ["EXTENSIONS", "packed", "unpacked"]

#: Extension of a file that has each array; those of JWST products begin with HIF.
EXTENSIONS = {
    "posterior_samples": "POSTSAMPLES",
    "posterior_scales": "POSTSCALES",
    "posterior_spectra": "POSTSPECTRA",
    "posterior_maps": "POSTMAPS",
    "posterior_noise": "POSTNOISE",
    "posterior_inverse": "POSTINVERSE",
    "posterior_outside": "POSTOUTSIDE",
    "posterior_pulls": "POSTPULLS",
}
_STEPS = 32767  # of 16-bit numbers on either side of 0: far finer than samples are known
_BYTES = 4  # of a voxel of the cube


def packed(posterior):
    """
    Turn a posterior into arrays.

    Parameters
    ----------
    posterior : LowRankPosterior
        The posterior.

    Returns
    -------
    dict of str to ndarray
        By the names in `EXTENSIONS`: samples and, last, what the penalty takes away (S + 1, r, M,
        N) as 16-bit integers in units of ``posterior_scales`` (S + 1, r); spectra (r, L) and maps
        (r, M, N); with errors of the spectra, the noise of each energy (L,), the inverse (r, r),
        and seven numbers: of signal outside the subspace, its rms in units of the source and of
        its derivative, its contrast, and its lengths in pixels and channels; of a mean spectrum
        that was smoothed, the inverse scatter of its map and the width in channels; and the pulls
        (2, r, L) of smooth and sharp signal outside the subspace. As many samples are kept as leave
        all together no larger than the cube, one at least.
    """
    rank, rows, columns = posterior.maps.shape
    spectra = 1 if posterior.subspace is None else 3
    room = _BYTES * (len(posterior.basis) - rank) * rows * columns
    room -= _BYTES * spectra * posterior.basis.size
    most = int(room // (2 * rank * rows * columns)) - 1
    kept = posterior.samples[: max(most, 1)]
    values = np.concatenate([kept, posterior.lost[None]]).astype(float)
    scales = np.abs(values).max(axis=(2, 3)) / _STEPS
    safe = np.where(scales > 0, scales, 1.0)[:, :, None, None]
    found = {
        "posterior_samples": np.round(values / safe).astype(np.int16),
        "posterior_scales": scales.astype(np.float32),
        "posterior_spectra": posterior.basis.T.astype(np.float32),
        "posterior_maps": posterior.maps.astype(np.float32),
    }
    more = posterior.subspace
    if more is not None:
        found["posterior_noise"] = more.row.astype(np.float32)
        found["posterior_inverse"] = np.asarray(more.inverse, float)
        numbers = [*more.missing, more.contrast, *more.lengths, *more.smooth]
        found["posterior_outside"] = np.array(numbers, np.float32)
        if more.pulls is not None:
            found["posterior_pulls"] = more.pulls.transpose(0, 2, 1).astype(np.float32)
    return found


def unpacked(arrays):
    """
    Turn the arrays of a product back into a posterior.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        As from `packed`; None for what a product does not have.

    Returns
    -------
    LowRankPosterior
        The posterior.
    """
    scales = arrays["posterior_scales"].astype(np.float32)
    values = arrays["posterior_samples"] * scales[:, :, None, None]
    subspace = None
    if arrays["posterior_noise"] is not None:
        numbers = arrays["posterior_outside"].astype(float)
        pulls = arrays.get("posterior_pulls")  # products of before have none
        subspace = SubspaceError(
            row=arrays["posterior_noise"].astype(float),
            inverse=arrays["posterior_inverse"].astype(float),
            missing=numbers[:2],
            contrast=float(numbers[2]),
            lengths=numbers[3:5],
            # products of before have no smoothed spectra
            smooth=numbers[5:] if numbers.size > 5 else np.zeros(2),
            pulls=None if pulls is None else pulls.astype(float).transpose(0, 2, 1),
        )
    return LowRankPosterior(
        basis=arrays["posterior_spectra"].T.astype(float),
        maps=arrays["posterior_maps"].astype(float),
        samples=values[:-1],
        lost=values[-1].astype(float),
        subspace=subspace,
    )
