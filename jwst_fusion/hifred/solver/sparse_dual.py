"""The dual variables of sparse 2-D-1-D starlets, updated in blocks that fit the cache."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from jwst_fusion.numerics.starlet import Starlet2D1D

__all__ = ["SparseDual"]

_WIDTH = 64  # pixels of a block, few enough that its bands fit the cache


class SparseDual:
    r"""
    Dual variables of :math:`\sum_b \| \lambda_b W_b Z \|_1`, each between -1 and 1.

    Parameters
    ----------
    starlet : Starlet2D1D
        Transform, in single precision.
    limits : list of ndarray (L, M, N)
        :math:`\lambda_b`.
    scale : ndarray (L, M * N)
        Typical size of the source, positive.
    weight : float
        Weight of the rows of the transform against those of the data.
    balance : float
        Factor of primal steps, and divisor of dual ones.

    Attributes
    ----------
    load : ndarray (L, M * N)
        Sum over rows of their weight times absolute element, for the primal step.
    """

    def __init__(self, starlet: Starlet2D1D, limits, scale, weight, balance=1.0):
        self.starlet = starlet
        size, pixels = scale.shape
        self.size, self.pixels = size, pixels
        lines = (np.abs(m).astype(np.float32) for m in starlet.spectra.matrices())
        spectral = [sparse.csr_array(m) for m in lines]
        spatial = starlet.images.matrices()
        self.starts = range(0, pixels, _WIDTH)
        steps, load = [], np.zeros((size, pixels), np.float32)
        scale = scale.astype(np.float32)
        index = 0
        for image in spatial:
            image = np.abs(image).astype(np.float32)
            reached = scale @ image
            columns = image.sum(axis=0)
            for line in spectral:
                if index == len(limits):
                    break
                rows = line @ reached
                load += weight * line.sum(axis=0)[:, None] * columns[None, :]
                limit = limits[index].reshape(size, pixels)
                steps.append(weight / balance / (np.maximum(rows, 1e-12) * limit))
                index += 1
        self.load = load
        flat = [np.asarray(one, np.float32).reshape(size, pixels) for one in limits]
        self.limits = self._blocks(flat)
        self.steps = self._blocks(steps)
        self.values = [np.zeros_like(block) for block in self.limits]

    def _blocks(self, bands):
        return [
            np.stack([band[:, start : start + _WIDTH] for band in bands]) for start in self.starts
        ]

    def rescale(self, factor):
        """
        Multiply all limits.

        Parameters
        ----------
        factor : float
            The factor.
        """
        for limit, step, value in zip(self.limits, self.steps, self.values, strict=True):
            limit *= np.float32(factor)
            step /= np.float32(factor)
            value /= np.float32(factor)
            np.clip(value, -1.0, 1.0, out=value)

    def update(self, cube, *, relaxation=1.0):
        """
        Ascend in the dual variables.

        Parameters
        ----------
        cube : ndarray (L, M * N) of float32
            Source at which to update.
        relaxation : float
            Part of the step from the old dual variables to the new ones that is kept; above 1 it
            goes beyond them.

        Returns
        -------
        ndarray (L, M * N)
            The adjoint of the transform at the new dual variables, without relaxation.
        """
        return self._pass(cube, relaxation)[1]

    def back(self):
        """Return the adjoint of the transform at the dual variables (L, M * N)."""
        starlet = self.starlet
        n, shape = starlet.spectra.scales + 1, starlet.shape
        parts = [np.zeros((self.size, self.pixels), np.float32) for _ in starlet.images.rows]
        parts.append(np.zeros((self.size, self.pixels), np.float32))
        for start, values, limits in zip(self.starts, self.values, self.limits, strict=True):
            for a, part in enumerate(parts):
                bands = slice(a * n, (a + 1) * n)
                part[:, start : start + _WIDTH] = starlet.spectra.adjoint(
                    list(values[bands] * limits[bands])
                )
        return starlet.images.adjoint([p.reshape(shape) for p in parts]).reshape(self.size, -1)

    def penalty(self, cube):
        """
        Weighted sum of the absolute starlet coefficients of a source.

        Parameters
        ----------
        cube : ndarray (L, M * N) of float32
            Source.

        Returns
        -------
        float
            The sum over all bands.
        """
        return self._pass(cube)[0]

    def _pass(self, cube, relaxation=None):
        """Weighted sum of coefficients; or, with a relaxation, adjoint at the new variables."""
        starlet, spectra = self.starlet, self.starlet.spectra
        n, shape = spectra.scales + 1, starlet.shape
        parts, smooth = [], cube.reshape(shape)
        for j in range(starlet.images.scales):
            smoother = starlet.images.smooth(smooth, j)
            parts.append((smooth - smoother).reshape(self.size, -1))
            smooth = smoother
        parts.append(smooth.reshape(self.size, -1).copy())
        total = 0.0
        for number, start in enumerate(self.starts):
            columns = slice(start, start + _WIDTH)
            values, steps = self.values[number], self.steps[number]
            limits = self.limits[number]
            for a, part in enumerate(parts):
                bands = slice(a * n, (a + 1) * n)
                block = np.ascontiguousarray(part[:, columns])
                details = spectra.forward(block, rest=a < starlet.images.scales)
                if relaxation is None:
                    for limit, detail in zip(limits[bands], details, strict=True):
                        np.abs(detail, out=detail)
                        total += float(np.vdot(limit, detail))
                    continue
                for value, step, limit, detail in zip(
                    values[bands], steps[bands], limits[bands], details, strict=True
                ):
                    detail *= step
                    detail += value
                    np.clip(detail, -1.0, 1.0, out=detail)
                    value *= np.float32(1.0 - relaxation)
                    value += np.float32(relaxation) * detail
                    detail *= limit
                part[:, columns] = spectra.adjoint(details)
        if relaxation is None:
            return total, None
        back = starlet.images.adjoint([part.reshape(shape) for part in parts])
        return None, back.reshape(self.size, -1)
