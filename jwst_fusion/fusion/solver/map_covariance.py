"""Covariance of the component maps as a function of distance, and what they miss of structure."""

from __future__ import annotations

import numpy as np

__all__ = ["covariance_reach", "local_covariance", "logarithmic"]

_STRIDE = 2  # in frequency: covariances reach no farther than half of the domain
_CHUNK = 32_000_000  # bytes of blocks that are worked on at once
_TURNS = 2  # of the power iteration to the direction in which most is missed


def covariance_reach(shape, factor, rank, nodes):
    """Distance up to which covariances are kept.

    Parameters
    ----------
    shape : tuple of int
        Shape (L, h, w) of the cube before the fusion.
    factor : int
        Pixels per spaxel.
    rank, nodes : int
        Components, and amounts of data.

    Returns
    -------
    int
        Pixels, so that the posterior stays below the size of the cube: from 4 up to a fourth
        of its shorter side, or 32.
    """
    channels, h, w = shape
    # Maps of the shares, of the components and of their structure are stored, too.
    planes = min(0.4 * channels, max(0.6 * channels - nodes - 2 * rank, 0.0))
    # Of the covariances, components a <= b are stored.
    room = planes * h * w * factor**2 / (rank**2 * (nodes / 2 + 2))
    side = min(h, w) * factor
    return int(np.clip((np.sqrt(room) - 1) / 2, 4, max(4, min(32, side // 4))))


def logarithmic(share, variance):
    """Factor on shares that makes a mean of variances a logarithmic one.

    Parameters
    ----------
    share : ndarray (node, Y, X)
        Shares that sum to one.
    variance : ndarray (node,)
        Typical variance of each node. Without data it is larger by orders of magnitude.

    Returns
    -------
    ndarray (Y, X)
        Geometric over arithmetic mean of the variances, at most one.
    """
    geometric = np.exp(np.tensordot(np.log(variance), share, 1))
    return geometric / np.tensordot(variance, share, 1)


def local_covariance(system, local, mu, scales, *, reach, structure=None):
    """Covariance of the component maps as a function of the distance of two pixels.

    Parameters
    ----------
    system : WeightedSystem
        Normal equations.
    local : LocalWeights
        Amounts of data.
    mu : ndarray (k,)
        Weights of the prior.
    scales : tuple of float
        Factors on the inverse variances of images and cube.
    reach : int
        Largest distance along an axis, pixels.
    structure : Structure, optional
        What is missed of structure is taken off the covariances where both instruments have data.

    Returns
    -------
    covariance : ndarray (node, k, k, 2 reach + 1, 2 reach + 1) of float32
        The covariances, averaged over the positions of a pixel within its spaxel.
    response : ndarray (k, k, 2 reach + 1, 2 reach + 1) of float32 or None
        What is missed, in the maps (second axis), of structure of unit variance in each component,
        where data are typical.
    """
    blocks, grid = system.blocks, system.grid
    k = blocks.rank
    chosen, weight, frequency = _sampled(grid)
    distance = np.arange(-reach, reach + 1)
    # (distance, frequency): the sum over frequencies is a product of two matrices.
    along = [np.exp(2j * np.pi * np.outer(distance, one)) for one in frequency]

    def kernels(spectra):
        # Frequencies of one row of the plane share the factor along y.
        flat = spectra.reshape(-1, k * k) * weight[:, None]
        found = np.zeros((len(distance), len(distance), k * k))
        y, x = along
        rows, inverse = np.unique(frequency[0], return_inverse=True)
        for row in range(len(rows)):
            here = inverse == row
            part = x[:, here] @ flat[here]
            found += np.einsum("y,xc->yxc", y[:, np.flatnonzero(here)[0]], part).real
        return found.transpose(2, 0, 1).reshape(k, k, *found.shape[:2])

    result = []
    informed = local.informed
    for node, weights in enumerate(local.weights(scales, mu)):
        if structure is not None and informed[node]:
            covariance, response = _missed(blocks, chosen, weights)
            covariance = covariance - response.swapaxes(2, 3) @ response.conj()
        else:
            covariance = blocks.covariance_of(chosen, *weights)
        result.append(kernels(covariance))
    response = None
    if structure is not None:
        response = kernels(_missed(blocks, chosen, structure.weights)[1]).astype(np.float32)
    return np.array(result, np.float32), response


def _missed(blocks, chosen, weights):
    """Covariance (g, d * d, k, k), and what is missed of structure at each frequency.

    The second array (g, d * d, k, k) has, by component of the structure, what is missed in all
    components at the frequency of the structure, with the power of what is missed at its aliases.
    """
    step = max(1, _CHUNK // (32 * blocks.size**2))
    covariances, responses = [], []
    index = np.arange(blocks.grid.aliases)
    for start in range(0, len(chosen), step):
        covariance, response = blocks.responses(chosen[start : start + step], *weights)
        own = response[:, :, index, :, index].transpose(1, 2, 0, 3)[..., None]
        missed = response @ response.conj().swapaxes(3, 4)
        # Towards the strongest direction, in the phase of what is missed where the structure is.
        for _ in range(_TURNS):
            own = missed @ own
            size = np.linalg.norm(own, axis=3, keepdims=True)
            own = own / np.maximum(size, np.finfo(np.float32).tiny)
        power = np.einsum("gadbb->gad", missed).real
        covariances.append(covariance)
        responses.append((own[..., 0] * np.sqrt(power)[..., None]).swapaxes(1, 2))
    return np.concatenate(covariances), np.concatenate(responses)


def _sampled(grid):
    """Groups of every second frequency, weights and frequencies (y, x) of their aliases."""
    rows = np.rint(np.fft.fftfreq(grid.rows) * grid.rows).astype(int)
    p = np.flatnonzero(rows % _STRIDE == 0)
    q = np.arange(0, grid.half, _STRIDE)
    chosen = (p[:, None] * grid.half + q).ravel()
    multiplicity = grid.multiplicity[chosen]
    multiplicity = multiplicity * (grid.multiplicity.sum() / multiplicity.sum())
    number = [np.arange(n).reshape(1, n) for n in grid.shape]
    y = np.fft.fftfreq(grid.shape[0])[number[0]].T + np.zeros(grid.shape)
    x = np.fft.fftfreq(grid.shape[1])[number[1]] + np.zeros(grid.shape)
    y, x = (grid.group(one[None])[chosen, :, 0].ravel() for one in (y, x))
    weight = np.repeat(multiplicity, grid.aliases) / (grid.shape[0] * grid.shape[1])
    return chosen, weight, (y, x)
