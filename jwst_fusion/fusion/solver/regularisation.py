"""Quadratic priors of the component maps: powers of the gradient, uniform or weighted by edges."""

from __future__ import annotations

import numpy as np
import scipy.ndimage as ndi

__all__ = ["EdgePrior", "FourierPrior", "GramPrior", "SobolevPrior", "edge_weights", "make_prior"]

_SMOOTH = 1.0  # fine pixels, before gradients are taken of noisy images
_SMALLEST = 0.05  # weight of the sharpest edges: without any, single pixels would be left open


class SobolevPrior:
    r"""The penalty :math:`\sum_a \mu_a \| |D|^s z_a \|^2` on a periodic domain.

    Parameters
    ----------
    grid : Grid
        Periodic domain.
    exponent : float or ndarray (k,)
        Exponent s, one for all components or one for each; 1 penalises gradients, 2 curvature.

    Attributes
    ----------
    power : ndarray (group, d * d) or (group, d * d, k)
        Transfer function :math:`|D|^{2s}`.
    """

    diagonal = True  # a product in the Fourier plane
    sources = None  # the prior that does not see sources, if there are any

    def __init__(self, grid, exponent=1.0):
        self.grid, self.exponent = grid, exponent
        power = grid.gradient_power()
        self.power = (power if np.ndim(exponent) == 0 else power[:, :, None]) ** exponent

    def apply(self, groups):
        """Gradient of half the penalty, of weight one.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups.

        Returns
        -------
        ndarray (group, d * d, k)
            The gradient at these.
        """
        return (self.power if self.power.ndim == 3 else self.power[:, :, None]) * groups

    def energy(self, groups):
        """Penalty of each component, of weight one.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups.

        Returns
        -------
        ndarray (k,)
            The penalties.
        """
        weight = self.grid.multiplicity
        product = np.einsum("gda,gda->ga", groups.conj(), self.apply(groups)).real
        return weight @ product


class FourierPrior(SobolevPrior):
    """A quadratic penalty with any transfer function for each component.

    Parameters
    ----------
    grid : Grid
        Periodic domain.
    power : ndarray (group, d * d, k)
        Transfer function.
    """

    def __init__(self, grid, power):
        self.grid, self.power = grid, power


class GramPrior(SobolevPrior):
    """A prior at given weights, and a quadratic form for each frequency.

    Parameters
    ----------
    base : SobolevPrior
        The prior.
    mu : ndarray (k,)
        Its weights; the weight of the whole is one.
    gram : ndarray (group, d * d, k, k)
        Hermitian matrices.
    """

    def __init__(self, base, mu, gram):
        self.grid, self.base, self.mu, self.gram = base.grid, base, mu, gram
        self.diagonal, self.sources = base.diagonal, base.sources
        power = base.power if base.power.ndim == 3 else base.power[:, :, None]
        self.power = gram + (power * mu)[..., None] * np.eye(len(mu))

    def apply(self, groups):
        """Gradient of half the penalty, weights and quadratic form included.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups.

        Returns
        -------
        ndarray (group, d * d, k)
            The gradient at these.
        """
        return self.mu * self.base.apply(groups) + (self.gram @ groups[..., None])[..., 0]


class EdgePrior(SobolevPrior):
    r"""The penalty :math:`\sum_a \mu_a \sum_i w_i |(D z_a)_i|^2` with weights per pixel and axis.

    Parameters
    ----------
    grid : Grid
        Periodic domain.
    weights : ndarray (2, Y, X)
        Weights of the differences to the next row and to the next column.

    Notes
    -----
    After Guilloteau et al. (2022), who let edges of the sharp image relax the smoothness of the
    maps. `power`, which preconditions the solve and counts degrees of freedom, is that of the mean
    weight.
    """

    diagonal = False

    def __init__(self, grid, weights):
        super().__init__(grid)
        self.weights = weights
        self.power = self.power * weights.mean()

    def apply(self, groups):
        """Gradient of half the penalty, of weight one.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups.

        Returns
        -------
        ndarray (group, d * d, k)
            The gradient at these.
        """
        maps = self.grid.synthesise(groups)
        total = np.zeros_like(maps)
        for axis, weight in enumerate(self.weights, start=1):
            flow = weight * (np.roll(maps, -1, axis) - maps)
            total += np.roll(flow, 1, axis) - flow
        return self.grid.analyse(total)


def edge_weights(images, image_sigma, image_weight):
    """Weights that are small where images have edges.

    Parameters
    ----------
    images : ndarray (F, Y, X)
        Images.
    image_sigma : ndarray (F,)
        Their typical noise.
    image_weight : ndarray (F, Y, X)
        Relative inverse variances; 0 where there are no data.

    Returns
    -------
    ndarray (2, Y, X)
        Weights of the differences to the next row and column, from 0.05 to 1: ``1 / (1 + g**2)``
        with the gradient g of the smoothed images in units of its median over the field, quadratic
        mean over the images.
    """
    square, count = np.zeros((2, *images.shape[1:])), np.zeros(images.shape[1:])
    for image, sigma, weight in zip(images, image_sigma, image_weight, strict=True):
        good = weight > 0
        if not good.any():
            continue
        whole = ndi.gaussian_filter(good.astype(float), _SMOOTH)
        smooth = ndi.gaussian_filter(np.where(good, image, 0.0), _SMOOTH)
        smooth = smooth / np.maximum(whole, 1e-3)
        inside = good & (whole > 0.5)
        for axis in (0, 1):
            step = (np.roll(smooth, -1, axis) - smooth) ** 2
            typical = max(float(np.median(step[inside])), float(sigma) ** 2)
            square[axis] += np.where(inside, step / typical, 0.0)
        count += inside
    weights = 1 / (1 + square / np.maximum(count, 1))
    weights[:, count == 0] = np.mean(weights[:, count > 0]) if (count > 0).any() else 1.0
    # The last row and column have no neighbour within the images.
    weights[0, -1], weights[1, :, -1] = weights[0, -2], weights[1, :, -2]
    return np.maximum(weights, _SMALLEST)


def make_prior(kind, grid, data, *, exponent):
    """The prior that the options ask for.

    Parameters
    ----------
    kind : {"sobolev", "edge_preserving", "edge_weighted", "wavelet", "none"}
        Kind; "none" is a weak gradient penalty that makes the solution unique, and the gradient is
        what "edge_preserving" and "wavelet" begin with.
    grid : Grid
        Periodic domain.
    data : FusionData
        Observations, at index 0 of the domain.
    exponent : float
        Exponent s of "sobolev".

    Returns
    -------
    SobolevPrior
        The prior; an `EdgePrior` for "edge_weighted".
    """
    if kind != "edge_weighted":
        return SobolevPrior(grid, exponent if kind == "sobolev" else 1.0)
    inner = edge_weights(data.images, data.image_sigma, data.image_weight)
    inner /= inner.mean()
    weights = np.ones((2, *grid.shape))
    weights[:, : inner.shape[1], : inner.shape[2]] = inner
    return EdgePrior(grid, weights)
