"""Edges that all component maps share: one spatial weight of the prior, fitted with the scene."""

from __future__ import annotations

import numpy as np
import scipy.ndimage as ndi

from jwst_fusion.fusion.solver.point_sources import with_sources
from jwst_fusion.fusion.solver.regularisation import EdgePrior

__all__ = ["shared_edges", "with_edges"]

# Degrees of freedom of Student's distribution of the gradients: Cauchy's, whose tails leave sharp
# edges as they are. In a scene without edges the weights hardly differ, whatever it is.
_SHAPE = 1.0
# Weights, relative to their mean: less would leave single pixels open, and both limits keep
# conjugate gradients fast.
_SMALLEST, _LARGEST = 0.01, 5.0
# Fine pixels from a source within which gradients are not believed: what an error of its position
# leaves looks like an edge, and with the prior relaxed there the scene would take its light.
_NEAR = 2.5


def shared_edges(system, local, groups, mu, free):
    r"""Weights of the gradients at every pixel, the same for all components.

    Parameters
    ----------
    system : WeightedSystem
        The problem; sources of its prior are left out of the gradients.
    local : LocalWeights
        Amount of data around every pixel, and weight of the prior.
    groups : ndarray (group, d * d, k)
        Component groups of its solution.
    mu : ndarray (k,)
        Weight of the prior per component.
    free : ndarray (node,)
        Number of effective parameters per pixel at every node of `local`, all components together.

    Returns
    -------
    weights : ndarray (Y, X)
        Weights of mean one.
    factor : float
        Factor on mu that leaves the product with the weights as it should be.

    Notes
    -----
    Student's distribution of the gradients of all maps together, with :math:`\nu` degrees of
    freedom, is a Gaussian whose inverse variance varies from pixel to pixel (Lange et al. 1989,
    JASA 84, 881). For a number of parameters :math:`\gamma` that the data determine,

    .. math:: w(x) = \frac{\nu + \gamma(x)}{\nu + \sum_a \mu_a |\nabla z_a(x)|^2}

    This has the fixed point of the expectation with the posterior variance of the gradients,
    :math:`(\nu + k) / (\nu + \langle\sum_a \mu_a |\nabla z_a|^2\rangle)`, as MacKay's update of mu
    has, but moves there at once where data are few. One scale counts once per pixel and component,
    not once per axis, as gradients have no curl. Where there are no data weights are one.
    """
    sources = system.prior.sources
    if sources is not None:
        groups = sources.diffuse(groups)
    maps = system.grid.synthesise(groups)
    square = np.zeros(maps.shape[1:])
    for axis in (1, 2):
        square += np.tensordot(mu, (np.roll(maps, -1, axis) - maps) ** 2, 1)
    weights = (_SHAPE + np.tensordot(free, local.share, 1)) / (_SHAPE + square)
    if sources is not None:
        weights = _bridged(weights, sources.positions)
    factor = weights.mean()
    weights = np.clip(weights / factor, _SMALLEST, _LARGEST)
    mean = weights.mean()
    return weights / mean, float(factor * mean)


def _bridged(weights, positions):
    """Weights that continue those around every source to where its light may be left."""
    height, width = weights.shape
    y, x = np.arange(height)[:, None], np.arange(width)
    near = np.zeros(weights.shape, bool)
    for at_x, at_y in positions:
        near |= np.hypot(y - at_y, x - at_x) < _NEAR
    around = ndi.gaussian_filter((~near).astype(float), _NEAR, mode="wrap")
    mean = ndi.gaussian_filter(np.where(near, 0.0, np.log(weights)), _NEAR, mode="wrap")
    # Deep within a cluster of sources nothing is known: weights of one.
    return np.where(near, np.exp(mean / np.maximum(around, 1e-3)), weights)


def with_edges(system, weights):
    """Pose a problem with weights of the gradients.

    Parameters
    ----------
    system : WeightedSystem
        The problem; its sources stay.
    weights : ndarray (Y, X)
        Weights of mean one, the same for both axes and all components.

    Returns
    -------
    WeightedSystem
        A copy that shares data, operators and, as the mean weight is the same, preconditioners.
    """
    base = EdgePrior(system.grid, np.broadcast_to(weights, (2, *weights.shape)))
    sources = system.prior.sources
    prior = with_sources(base, None if sources is None else sources.positions)
    return system.with_prior(prior, alike=True)
