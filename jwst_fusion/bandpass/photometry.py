"""Synthetic photometry of a spectrum with any sampling, as weights of its samples."""

import numpy as np

__all__ = ["MIN_COVERAGE", "coverage", "photometry_weights", "sampling_cells"]

#: Smallest share of a filter, weighted by its throughput, that spectra must cover by default: what
#: lies outside is then below other errors of the synthetic photometry.
MIN_COVERAGE = 0.98
# Neighbours further apart than this many local steps have a gap between them.
_GAP = 2.5
_WINDOW = 9  # samples whose median distance is the usual one


def sampling_cells(wavelength, valid=None):
    """
    Interval of wavelength for which each sample stands.

    Parameters
    ----------
    wavelength : array_like
        Sampled wavelengths, shape (L,), in any order and with any spacing [um].
    valid : array_like of bool, optional
        Samples that hold data, shape (L,). By default all whose wavelength is finite.

    Returns
    -------
    low : ndarray
        Lower ends of the cells, shape (L,) [um]: half way to the neighbours that hold data, but
        only half a local step wide on the side of a gap (neighbour more than 2.5 local steps away)
        and at the ends.
    high : ndarray
        Upper ends, likewise. Samples without data have ``low == high``.

    Raises
    ------
    ValueError
        If shapes disagree or a wavelength is not positive.
    """
    lam = np.asarray(wavelength, dtype=np.float64)
    if lam.ndim != 1:
        msg = f"wavelength must be one-dimensional, got shape {lam.shape}"
        raise ValueError(msg)
    known = np.isfinite(lam)
    if np.any(lam[known] <= 0):
        msg = "wavelength must be positive"
        raise ValueError(msg)
    use = known.copy()
    if valid is not None:
        mask = np.asarray(valid, dtype=bool)
        if mask.shape != lam.shape:
            msg = f"valid must have the shape of wavelength, {lam.shape}, got {mask.shape}"
            raise ValueError(msg)
        use &= mask
    low = np.where(known, lam, 0.0)
    high = low.copy()
    if np.count_nonzero(known) < 2:
        return low, high

    order = np.argsort(np.where(known, lam, np.inf), kind="stable")[: np.count_nonzero(known)]
    step = np.empty(lam.size)
    step[order] = _local_step(lam[order])
    kept = order[use[order]]
    centre, size = lam[kept], step[kept]
    between = np.diff(centre)
    joined = between <= _GAP * np.minimum(size[1:], size[:-1])
    if kept.size:
        right = np.append(np.where(joined, between, size[:-1]), size[-1]) / 2.0
        left = np.append(size[0], np.where(joined, between, size[1:])) / 2.0
        low[kept] = centre - left
        high[kept] = centre + right
    return low, high


def _local_step(lam):
    """Return the usual distance between neighbours around each sample of an ascending axis."""
    steps = np.diff(lam)
    half = min(_WINDOW // 2, steps.size - 1)
    padded = np.pad(steps, half, mode="reflect") if half else steps
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    median = np.median(windows, axis=1)
    return 0.5 * (np.append(median, median[-1]) + np.append(median[0], median))


def photometry_weights(wavelength, bandpass, *, valid=None):
    r"""
    Weights that turn a spectrum into its flux through a filter.

    Parameters
    ----------
    wavelength : array_like
        Sampled wavelengths, shape (L,), in any order and with any spacing [um].
    bandpass : Bandpass
        The filter.
    valid : array_like of bool, optional
        Samples that hold data, shape (L,); the others get weight zero.

    Returns
    -------
    ndarray
        Shape (L,), not negative, with unit sum.

    Raises
    ------
    ValueError
        If the filter does not overlap with the samples.

    Notes
    -----
    For a spectrum per unit frequency, the filter's mean flux per unit frequency as seen by a
    detector that counts photons is (Bessell & Murphy 2012, PASP 124, 140, eq. A12)

    .. math:: \langle F_\nu \rangle = \frac{\int F_\nu T\, d\lambda/\lambda}
                                          {\int T\, d\lambda/\lambda}.

    Each sample stands for its cell (`sampling_cells`), over which the throughput is integrated
    exactly. The part of the filter that falls into a gap is left out of both integrals.
    """
    low, high = sampling_cells(wavelength, valid)
    share = np.clip(bandpass.integral(high) - bandpass.integral(low), 0.0, None)
    total = share.sum()
    if not total > 0:
        first, last = bandpass.half_power
        msg = (
            f"bandpass {bandpass.name} ({first:.3f} to {last:.3f} um) does not overlap with the "
            "sampled wavelengths"
        )
        raise ValueError(msg)
    return share / total


def coverage(wavelength, bandpass, *, valid=None):
    r"""
    Share of a filter that falls on sampled wavelengths.

    Parameters
    ----------
    wavelength : array_like
        Sampled wavelengths, shape (L,) [um].
    bandpass : Bandpass
        The filter.
    valid : array_like of bool, optional
        Samples that hold data, shape (L,).

    Returns
    -------
    float
        Fraction, 0 to 1, of :math:`\int T\, d\lambda / \lambda`.
    """
    low, high = sampling_cells(wavelength, valid)
    share = np.clip(bandpass.integral(high) - bandpass.integral(low), 0.0, None).sum()
    return float(min(share / bandpass.integral(bandpass.wavelength[-1]), 1.0))
