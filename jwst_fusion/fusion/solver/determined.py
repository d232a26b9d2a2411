"""Count what data determine of the component maps, and what is left to the prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Determined", "count_determined"]


@dataclass(frozen=True)
class Determined:
    r"""How much of the maps the data determine, in sums over all frequencies.

    With the posterior variance :math:`\Sigma` of a component at a frequency, the data determine the
    part :math:`\gamma = 1 - \mu |D|^{2 s} \Sigma` of its coefficient there, the prior the rest.

    Attributes
    ----------
    effective : ndarray (k,)
        Effective parameters per component: sum of :math:`\gamma`.
    fitted : ndarray (2,)
        Effective parameters that are fitted to the noise of images and cube.
    free : ndarray (node,)
        Effective parameters per pixel, all components together.
    slope : ndarray (2, k)
        Sums of :math:`\gamma` and :math:`\gamma \ln |D|^2`, without the zero frequency.
    fisher : ndarray (3, k)
        Sums of :math:`\gamma^2` times powers 0 to 2 of :math:`\ln |D|^2`.
    """

    effective: np.ndarray
    fitted: np.ndarray
    free: np.ndarray
    slope: np.ndarray
    fisher: np.ndarray


def count_determined(system, local, mu, scales):
    """Count what the data determine for given hyperparameters.

    Parameters
    ----------
    system : WeightedSystem
        The fusion problem.
    local : LocalWeights
        Amount of data around every pixel.
    mu : ndarray (k,)
        Weight of the prior per component.
    scales : tuple of float
        Factors on the inverse variances of images and cube.

    Returns
    -------
    Determined
        Averages over the nodes of `local`, each from a sample of the frequencies.
    """
    blocks, total = system.blocks, system.grid.aliases * system.grid.multiplicity.sum()
    effective, fitted, free = np.zeros(blocks.rank), np.zeros(2), []
    slope, fisher = np.zeros((2, blocks.rank)), np.zeros((3, blocks.rank))
    tilt = system.grid.log_gradient_power()
    powers = np.array([system.grid.gradient_power() > 0, tilt, tilt**2], float)
    budget = local.budget
    for weights, fraction in zip(local.weights(scales, mu), local.fractions, strict=True):
        prior, image, noisy = np.zeros(blocks.rank), 0.0, 0.0
        for part, weight, covariance in blocks.covariances(*weights, budget=budget):
            variance = np.einsum("gdaa->gda", covariance).real
            left = blocks.penalty(part, weights[2]) * variance
            prior += np.einsum("g,gda->a", weight, left)
            seen = fraction * powers[:, part] * weight[:, None]
            slope -= np.tensordot(seen[:2], left, 2)
            fisher += np.tensordot(seen, np.maximum(1 - left, 0.0) ** 2, 2)
            for alike, band in system.image_bands:
                gram = blocks.image_gram(part, weights[0] * alike)
                determined = np.einsum("gdab,gdab->gd", covariance, gram.conj()).real
                image += weight @ determined.sum(1)
                noisy += weight @ np.sum(band[part] * determined, axis=1)
        effective += fraction * (total - prior)
        fitted += fraction * np.array([noisy, total * blocks.rank - prior.sum() - image])
        free.append(blocks.rank - prior.sum() / total)
    # These sums are over all frequencies: a sample has few low ones, which the data determine.
    slope += np.einsum("igd,g->i", powers[:2], system.grid.multiplicity)[:, None]
    return Determined(effective, fitted, np.array(free), slope, fisher)
