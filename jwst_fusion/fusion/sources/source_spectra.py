"""Spectra of point sources with their errors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jwst_fusion.fusion.sources.source_list import SourceList

__all__ = ["SourceSpectra"]


@dataclass(frozen=True)
class SourceSpectra:
    """Spectra of point sources, their errors and how these are correlated between channels.

    The covariance of the spectrum of source j is ``diag(error[j]**2 - sum(F**2, 1)) + F F^T`` with
    ``F = covariance_factor[j]``.

    Parameters
    ----------
    positions : SourceList
        The J sources.
    flux : ndarray (J, L)
        Flux in MJy/sr times the area of a pixel of the images: what the image of the source sums
        to over all pixels of the grid. NaN in channels without data.
    error : ndarray (J, L)
        1-sigma error of each channel on its own, in the same unit.
    covariance_factor : ndarray (J, L, q)
        The part of the errors that channels share, in the same unit; q may be 0.

    Raises
    ------
    ValueError
        If a shape does not fit to the others.
    """

    positions: SourceList
    flux: np.ndarray
    error: np.ndarray
    covariance_factor: np.ndarray

    def __post_init__(self):
        for name, ndim in (("flux", 2), ("error", 2), ("covariance_factor", 3)):
            value = np.asarray(getattr(self, name))
            object.__setattr__(self, name, value)
            if value.ndim != ndim or value.shape[:2] != (len(self.positions), self.flux.shape[1]):
                msg = (
                    f"{name} of source spectra has shape {value.shape}, expected {ndim} axes that "
                    f"begin with ({len(self.positions)}, {self.flux.shape[-1]}) from the positions "
                    "and the flux"
                )
                raise ValueError(msg)

    def __len__(self):
        return len(self.positions)

    def renamed(self, names):
        """
        Return the same spectra with the names of a catalogue.

        Parameters
        ----------
        names : ndarray of str
            Names; source number n, from 1, as the positions are named now, gets name n - 1.

        Returns
        -------
        SourceSpectra
            The same sources.
        """
        own = np.array([names[int(number) - 1] for number in self.positions.name])
        return replace(self, positions=replace(self.positions, name=own))

    def chosen(self, choice):
        """
        Return some of the sources.

        Parameters
        ----------
        choice : ndarray of bool (J,), ndarray of int, or slice
            Those to keep, as an index of arrays of length J.

        Returns
        -------
        SourceSpectra
            Positions, spectra and errors of the sources that are kept.
        """
        return type(self)(
            positions=self.positions.chosen(choice),
            flux=self.flux[choice],
            error=self.error[choice],
            covariance_factor=self.covariance_factor[choice],
        )

    def sum(self, weights):
        """
        Return weighted sums over channels with their errors.

        Parameters
        ----------
        weights : ndarray (L,) or (n, L)
            Weights of the channels, of one sum or of several. Channels without data take part in
            no sum: only those of weight 0 may be without.

        Returns
        -------
        value : ndarray (J,) or (J, n)
            The sums, in the unit of the flux times that of the weights; NaN where a channel without
            data has a weight.
        error : ndarray (J,) or (J, n)
            Their 1-sigma errors.
        """
        weights = np.asarray(weights, float)
        rows = np.atleast_2d(weights)
        known = np.isfinite(self.flux) & np.isfinite(self.error)
        missing = (rows != 0) @ (~known).T.astype(float) > 0
        flux = np.where(known, self.flux, 0)
        factor = np.where(known[:, :, None], self.covariance_factor, 0)
        own = np.where(known, self.error, 0) ** 2 - np.sum(factor**2, axis=2)
        value = rows @ flux.T
        shared = np.einsum("nl,jlq->njq", rows, factor)
        # rounding may leave the independent part a hair below zero
        variance = rows**2 @ np.maximum(own, 0).T + np.sum(shared**2, axis=2)
        value, error = (np.where(missing, np.nan, one).T for one in (value, np.sqrt(variance)))
        return (value[:, 0], error[:, 0]) if weights.ndim == 1 else (value, error)
