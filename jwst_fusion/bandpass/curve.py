"""A filter's throughput as a function of wavelength."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Bandpass"]

# Negative throughput relative to the maximum that is taken for noise of the measurement.
_NEGLIGIBLE = 0.01


@dataclass(frozen=True)
class Bandpass:
    """
    Throughput curve, linear between its samples and zero outside them.

    Parameters
    ----------
    name : str
        Filter name.
    wavelength : ndarray
        Ascending wavelengths, shape (n,) [um].
    throughput : ndarray
        Throughput at the wavelengths, shape (n,), in any constant unit. Negative values of up to
        1 % of the largest, which measured curves have far from the band, are set to zero.
    source : str
        Where the curve comes from.

    Raises
    ------
    ValueError
        If the curve has fewer than two samples, is not ascending, not finite, negative or nowhere
        positive.
    """

    name: str
    wavelength: np.ndarray
    throughput: np.ndarray
    source: str

    def __post_init__(self):
        wavelength = np.array(self.wavelength, dtype=np.float64)
        throughput = np.array(self.throughput, dtype=np.float64)
        where = f"bandpass {self.name} ({self.source})"
        if wavelength.ndim != 1 or wavelength.size < 2 or throughput.shape != wavelength.shape:
            msg = (
                f"{where}: wavelength and throughput must be two lists of the same length of at "
                f"least 2, got shapes {wavelength.shape} and {throughput.shape}"
            )
            raise ValueError(msg)
        self._check(wavelength, throughput, where)
        throughput = np.clip(throughput, 0.0, None)
        wavelength.flags.writeable = False
        throughput.flags.writeable = False
        object.__setattr__(self, "wavelength", wavelength)
        object.__setattr__(self, "throughput", throughput)

    @staticmethod
    def _check(wavelength, throughput, where):
        """Raise ValueError that says which sample is the first that does not fit."""
        problem = None
        unknown = np.flatnonzero(~(np.isfinite(wavelength) & np.isfinite(throughput)))
        falling = np.flatnonzero(np.diff(wavelength) <= 0)
        if unknown.size:
            problem = f"sample {unknown[0] + 1} is not finite"
        elif wavelength[0] <= 0:
            problem = f"wavelengths must be positive, but the first is {wavelength[0]:g} um"
        elif falling.size:
            last, here = wavelength[falling[0] : falling[0] + 2]
            verb = "repeats" if last == here else "falls behind"
            problem = (
                f"wavelengths must be strictly ascending, but sample {falling[0] + 2}, {here:g} "
                f"um, {verb} {last:g} um"
            )
        elif not throughput.max() > 0:
            problem = "the throughput is nowhere positive"
        elif throughput.min() < -_NEGLIGIBLE * throughput.max():
            worst = int(np.argmin(throughput))
            problem = (
                f"the throughput is negative, {throughput[worst]:g} at {wavelength[worst]:g} um, "
                f"while its maximum is {throughput.max():g}"
            )
        if problem:
            msg = f"{where}: {problem}"
            raise ValueError(msg)

    def integral(self, wavelength):
        r"""
        Integral of throughput per wavelength from the start of the curve.

        Parameters
        ----------
        wavelength : array_like
            Upper limits, any shape [um].

        Returns
        -------
        ndarray
            :math:`\int_0^\lambda T \, d\lambda' / \lambda'`, exact for the piecewise linear curve.
        """
        lam, slope = self.wavelength, np.diff(self.throughput) / np.diff(self.wavelength)
        start = self.throughput[:-1] - slope * lam[:-1]
        pieces = start * np.log(lam[1:] / lam[:-1]) + slope * np.diff(lam)
        total = np.concatenate([[0.0], np.cumsum(pieces)])
        upper = np.clip(np.asarray(wavelength, dtype=np.float64), lam[0], lam[-1])
        i = np.clip(np.searchsorted(lam, upper, side="right") - 1, 0, lam.size - 2)
        return total[i] + start[i] * np.log(upper / lam[i]) + slope[i] * (upper - lam[i])

    @property
    def half_power(self):
        """Shortest and longest wavelength at which half the largest throughput is reached [um]."""
        level = 0.5 * self.throughput.max()
        above = np.flatnonzero(self.throughput >= level)
        lam, thr = self.wavelength, self.throughput
        edges = []
        for inner, outer in ((above[0], above[0] - 1), (above[-1], above[-1] + 1)):
            if outer < 0 or outer >= lam.size:
                edges.append(lam[inner])
                continue
            share = (level - thr[outer]) / (thr[inner] - thr[outer])
            edges.append(lam[outer] + share * (lam[inner] - lam[outer]))
        return float(edges[0]), float(edges[1])

    @property
    def pivot(self):
        r"""Pivot: :math:`(\int T \lambda d\lambda / \int T d\lambda/\lambda)^{1/2}` [um]."""
        lam, thr = self.wavelength, self.throughput
        slope = np.diff(thr) / np.diff(lam)
        start = thr[:-1] - slope * lam[:-1]
        first = start * np.diff(lam**2) / 2.0 + slope * np.diff(lam**3) / 3.0
        return float(np.sqrt(first.sum() / self.integral(lam[-1])))
