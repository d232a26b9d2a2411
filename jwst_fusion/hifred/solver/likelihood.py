"""Likelihoods of data given their model: Poisson and Gaussian, value, slope and curvature."""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

__all__ = ["Gaussian", "Poisson"]

# Where the logarithm is continued quadratically, as a part of a datum, or of half a count; times
# the mean where counts are sparse, since a single count is not unlikely there.
_LOW = 0.02


class _Arrays:
    """What likelihoods of either kind are as objects: arrays of one precision."""

    def astype(self, dtype):
        """
        Return the same with arrays of another precision.

        Parameters
        ----------
        dtype : dtype
            Such as ``numpy.float32``.

        Returns
        -------
        Gaussian or Poisson
            A new object.
        """
        copy = object.__new__(type(self))
        for name, value in self.__dict__.items():
            setattr(copy, name, value.astype(dtype) if isinstance(value, np.ndarray) else value)
        return copy


class Poisson(_Arrays):
    r"""
    Negative logarithm of the Poisson likelihood, as half a deviance.

    Parameters
    ----------
    data : ndarray (l, q)
        Counts.
    background : ndarray (l, q) or None
        Expected counts that do not come from the source.
    used : ndarray (l, q) of bool or None
        Data to use.

    Notes
    -----
    :math:`\sum_i m_i - d_i + d_i \ln (d_i / m_i)`, with the background in the model m. Below
    :math:`t_i = 0.02 \max(d_i, 1/2) \min(\bar d, 1)`, with the mean count :math:`\bar d`, the
    logarithm is continued by its parabola at t, so that function and gradient of `local` exist
    everywhere; a solution lies above.
    """

    name = "poisson"

    def __init__(self, data, background=None, used=None):
        self.weights = None if used is None or used.all() else used.astype(float)
        self.data = data if self.weights is None else np.where(used, data, 0.0)
        self.background = 0.0 if background is None else background
        count = self.data.size if self.weights is None else np.count_nonzero(used)
        mean = self.data.sum(dtype=float) / max(count, 1)
        self.low = _LOW * np.maximum(self.data, 0.5) * (min(mean, 1.0) or 1.0)
        self.offset = xlogy(self.data, self.data) - self.data

    def local(self, signal):
        """
        Value, gradient and curvature of the continued function.

        Parameters
        ----------
        signal : ndarray (l, q)
            Model without background.

        Returns
        -------
        value : float
            Sum over the data.
        gradient, curvature : ndarray (l, q)
            Derivatives with respect to the model.
        """
        model, data = signal + self.background, self.data
        safe = np.maximum(model, self.low)
        step = model - safe  # not positive; 0 where nothing is continued
        ratio = data / safe
        curvature = ratio / safe
        values = model - data * np.log(safe) + self.offset
        gradient = 1.0 - ratio
        if step.any():
            values += step * (0.5 * curvature * step - ratio)
            gradient += curvature * step
        if self.weights is not None:
            gradient *= self.weights
            curvature *= self.weights
            values *= self.weights
        return float(values.sum()), gradient, curvature

    def value(self, signal):
        """
        Half the deviance of a model.

        Parameters
        ----------
        signal : ndarray (l, q)
            Model without background.

        Returns
        -------
        float
            Sum over the data, not negative; infinite if the model is zero where the data are not.
        """
        model = signal + self.background
        with np.errstate(divide="ignore"):
            values = model - xlogy(self.data, model) + self.offset
        if self.weights is not None:
            values = np.where(self.weights > 0, values, 0.0)
        return float((values if self.weights is None else self.weights * values).sum(dtype=float))

    def expected_curvature(self, signal):
        """
        Fisher information of each datum.

        Parameters
        ----------
        signal : ndarray (l, q)
            Model without background.

        Returns
        -------
        ndarray (l, q)
            One over the model with background, which is taken to be no smaller than where the
            logarithm is continued; zero where data are not used.
        """
        model = np.maximum(signal + self.background, self.low)
        return (1.0 if self.weights is None else self.weights) / model

    def dual_step(self, dual, step, signal_scaled):
        """
        Proximal step of the conjugate function.

        Parameters
        ----------
        dual : ndarray (l, q)
            Dual variable.
        step : ndarray
            Step sizes.
        signal_scaled : ndarray (l, q)
            Model without background times the step size.

        Returns
        -------
        ndarray (l, q)
            The dual variable after the step; zero where data are not used.
        """
        v = dual + signal_scaled
        if np.ndim(self.background):
            v += step * self.background
        out = v - 1.0
        np.square(out, out=out)
        out += 4.0 * step * self.data
        np.sqrt(out, out=out)
        out = 0.5 * (v + 1.0 - out)
        return out if self.weights is None else out * self.weights

    def conjugate(self, dual):
        """
        Value of the conjugate of the half deviance.

        Parameters
        ----------
        dual : ndarray (l, q)
            Dual variable.

        Returns
        -------
        float
            Sum over the data; infinite if the dual variable is 1 at a count above zero.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            values = -xlogy(self.data, 1.0 - dual) - dual * self.background
        # sup_m (u m - m + d ln m) + d - d ln d, with m the model including the background
        return float(np.sum(values, dtype=float))


class Gaussian(_Arrays):
    r"""
    Half of chi square, for data with known variances.

    Parameters
    ----------
    data : ndarray (l, q)
        Data.
    variance : ndarray (l, q)
        Their variances.
    background : ndarray (l, q) or None
        Expected data that do not come from the source.
    used : ndarray (l, q) of bool or None
        Data to use.
    """

    name = "gaussian"

    def __init__(self, data, variance, background=None, used=None):
        weights = 1.0 / variance
        if used is not None:
            weights, data = np.where(used, weights, 0.0), np.where(used, data, 0.0)
        self.data = data if background is None else np.where(weights > 0, data - background, 0.0)
        self.weights = weights
        self.offset = 0.5 * self.weights * self.data**2

    def local(self, signal):
        """
        Value, gradient and curvature; see `Poisson.local`.

        Parameters
        ----------
        signal : ndarray (l, q)
            Model without background.

        Returns
        -------
        value : float
            Sum over the data.
        gradient, curvature : ndarray (l, q)
            Derivatives with respect to the model.
        """
        residual = signal - self.data
        gradient = self.weights * residual
        return 0.5 * float((gradient * residual).sum()), gradient, self.weights

    def value(self, signal):
        """
        Half of chi square of a model.

        Parameters
        ----------
        signal : ndarray (l, q)
            Model without background.

        Returns
        -------
        float
            Sum over the data, not negative.
        """
        return 0.5 * float((self.weights * (signal - self.data) ** 2).sum(dtype=float))

    def expected_curvature(self, signal):
        """
        Inverse variances of the data.

        Parameters
        ----------
        signal : ndarray (l, q)
            Not used: the curvature is the same for all models.

        Returns
        -------
        ndarray (l, q)
            One over the variances; zero where data are not used.
        """
        return self.weights

    def dual_step(self, dual, step, signal_scaled):
        """
        Proximal step of the conjugate function; see `Poisson.dual_step`.

        Parameters
        ----------
        dual : ndarray (l, q)
            Dual variable.
        step : ndarray (l, q)
            Step sizes.
        signal_scaled : ndarray (l, q)
            Model without background times the step size.

        Returns
        -------
        ndarray (l, q)
            The dual variable after the step; zero where data are not used.
        """
        v = dual + signal_scaled
        return (v - step * self.data) * (self.weights / (self.weights + step))

    def conjugate(self, dual):
        """
        Value of the conjugate of half of chi square.

        Parameters
        ----------
        dual : ndarray (l, q)
            Dual variable, zero where data are not used.

        Returns
        -------
        float
            Sum over the data.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            quadratic = np.where(self.weights > 0, dual**2 / (2.0 * self.weights), 0.0)
        return float((quadratic + dual * self.data).sum(dtype=float))
