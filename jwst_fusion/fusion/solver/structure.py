"""How much structure there is around each pixel, compared with what the prior expects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

__all__ = ["Structure", "local_structure", "missed_share"]

_NEAR = 2.5  # fine pixels from a source: what an error of its position leaves is no structure
_WINDOW = 1.5  # spaxels, sigma of the Gaussian within which structure is measured
# Independent values of structure as the prior expects it that are added to those in the window: few
# values may look like no structure by chance.
_EXPECTED = 2.0
_BUDGET = 200  # groups of frequencies from which covariances are summed


@dataclass(frozen=True)
class Structure:
    """Structure of the component maps.

    Attributes
    ----------
    amount : ndarray (k, Y, X)
        Mean square of the structure around every pixel of the periodic domain over that which the
        prior expects; 1 where there are no data.
    missed : ndarray (k, Y, X)
        Variance that structure of the expected amount leaves, over that where the prior has its
        mean weight; 1 everywhere if its weight is the same everywhere.
    share : ndarray (k, Y, X)
        The same for the part of the whole variance that this is.
    weights : tuple
        Weights of the images (F,), of the cube, and of the prior (k,) where data are typical.
    around : ndarray (J, k)
        Amount around each source, as its surroundings have it.
    """

    amount: np.ndarray
    missed: np.ndarray
    share: np.ndarray
    weights: tuple
    around: np.ndarray


def local_structure(system, local, tuned):
    r"""Measure the structure of a solution around every pixel.

    One weight of the prior per component expects the same structure everywhere, and one weight per
    pixel the same in all components. Where there is less, the solution misses less than the
    posterior says, and more where there is more.

    Parameters
    ----------
    system : WeightedSystem
        The problem.
    local : LocalWeights
        Weights of the prior over the domain.
    tuned : Tuning
        Its hyperparameters and solution.

    Returns
    -------
    Structure
        The structure.

    Notes
    -----
    With :math:`u = P^{1/2} z`, white of unit variance in a scene that the prior describes, and
    :math:`H = P^{1/2} B^{-1} P^{1/2}`, the solution has :math:`\hat u = (1 - H) u` and noise of
    the covariance :math:`H - H^2`. Hence around a pixel where u has the variance s

    .. math:: \langle \hat u_a^2 \rangle = s \sum_b \langle |1 - H|^2_{ab} \rangle
        + \langle 1 - H \rangle_{aa} - \sum_b \langle |1 - H|^2_{ab} \rangle

    with means over the frequencies, which tells s. Weights :math:`H_{aa}` in these means and in the
    maps of u let count the scales at which the solution begins to miss structure: power at large
    scales, which data show anyway, says little of it. A weight of the prior that varies over the
    domain is taken for constant around each pixel.
    """
    image_weight, cube_weight = system.typical_weights()
    weights = (tuned.scale_image * image_weight, tuned.scale_cube * cube_weight, tuned.mu)
    groups = tuned.solution.solution
    if system.prior.sources is not None:
        groups = system.prior.sources.diffuse(groups)
    known, near = _known(system)
    levels, parts = _prior_levels(local)
    typical = None
    if len(levels) > 1:
        typical = _Expected.of(system, *weights)
    amount, missed, share = 0.0, 0.0, 0.0
    for level, part in zip(levels, parts, strict=True):
        expected = _Expected.of(system, *weights[:2], level * tuned.mu)
        amount = amount + part * expected.amount(system.grid, groups, known)
        one = np.ones(len(tuned.mu))
        if typical is not None:
            one = expected.missed / typical.missed
        missed = missed + part * one[:, None, None]
        if typical is not None:
            one = one * typical.variance / expected.variance
        share = share + part * one[:, None, None]
    if typical is not None:
        # The weight has followed the structure that all components together have, edges that are
        # sharper than the window included: there may only be less in one of them.
        amount = np.minimum(amount, 1.0)
    # Noise scales above one are no noise but what the model does not explain, wherever that is: of
    # this part nobody knows that it is less than expected.
    amount = np.maximum(amount, 1 - min(tuned.scale_image, tuned.scale_cube, 1.0))
    rows, columns = _nearest(system)
    around = amount[:, rows, columns].T
    # Under a source nobody knows whether there is less than expected.
    amount[:, near] = np.maximum(amount[:, near], 1.0)
    return Structure(amount, missed, share, weights, around)


def _prior_levels(local):
    """Weights of the prior where there are data, and the share of each at every pixel."""
    informed = local.informed
    if not informed.any():
        return np.ones(1), np.ones((1, *local.shape))
    levels = np.unique(local.prior[informed])
    parts = np.array([local.share[informed & (local.prior == one)].sum(0) for one in levels])
    total = parts.sum(0)
    # Where there are no data, nothing is scaled.
    return levels, np.where(total > 0, parts / np.where(total > 0, total, 1), 1 / len(levels))


@dataclass(frozen=True)
class _Expected:
    """Structure in the maps as a prior expects it, by component (k,)."""

    filters: np.ndarray  # (group, d * d, k), from maps to what tells their structure
    seen: np.ndarray  # mean square of it that structure of unit variance leaves
    noise: np.ndarray  # that noise leaves
    few: np.ndarray  # weight of the expectation beside what the window shows
    missed: np.ndarray  # variance of the maps that structure of unit variance leaves
    variance: np.ndarray  # whole variance of the maps

    @classmethod
    def of(cls, system, *weights):
        """Expectation for weights of the images, of the cube and of the prior (k,)."""
        grid, blocks = system.grid, system.blocks
        rank, identity = blocks.rank, np.eye(blocks.rank)
        seen, total, square, missed, variance = np.zeros((5, rank))
        filters = np.empty((grid.groups, grid.aliases, rank))
        for part, multiplicity, covariance in blocks.covariances(*weights, budget=grid.groups):
            penalty = blocks.penalty(part, weights[2])
            root = np.sqrt(penalty)
            missing = root[..., :, None] * covariance * root[..., None, :]
            own = np.clip(np.einsum("gdaa->gda", missing).real, 0.0, 1.0)
            seen += np.einsum("g,gda,gdab->a", multiplicity, own, np.abs(identity - missing) ** 2)
            total += np.einsum("g,gda->a", multiplicity, own * (1 - own))
            square += np.einsum("g,gda->a", multiplicity, (own * (1 - own)) ** 2)
            missed += np.einsum("g,gda,gdba->a", multiplicity, penalty, np.abs(covariance) ** 2)
            variance += np.einsum("g,gdaa->a", multiplicity, covariance.real)
            filters[part] = root * np.sqrt(own)
        pixels = grid.shape[0] * grid.shape[1]
        tiny = np.finfo(float).tiny
        seen, total, square, missed, variance = (
            np.maximum(one / pixels, tiny) for one in (seen, total, square, missed, variance)
        )
        # Independent values in a window of this area, and how many are structure, not noise.
        area = 4 * np.pi * (_WINDOW * grid.factor) ** 2
        few = _EXPECTED / (area * total**2 / square * np.minimum(seen / total, 1.0) ** 2)
        return cls(filters, seen, total - seen, few, missed, variance)

    def amount(self, grid, groups, known):
        """Structure (k, Y, X) around every pixel over that which is expected."""
        width = _WINDOW * grid.factor
        energy = grid.synthesise(groups * self.filters) ** 2
        share = ndi.gaussian_filter(known, width, mode="wrap")
        amount = np.empty_like(energy)
        for a, one in enumerate(energy):
            found = ndi.gaussian_filter(one * known, width, mode="wrap")
            found = np.maximum(found - self.noise[a] * share, 0.0) / self.seen[a]
            amount[a] = (found + self.few[a]) / (share + self.few[a])
        return amount


def _nearest(system):
    """Rows and columns (J,) of the pixels nearest to the sources."""
    sources, (height, width) = system.prior.sources, system.grid.shape
    at = np.zeros((0, 2)) if sources is None else sources.positions
    x, y = np.rint(at).astype(int).T
    return np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)


def _known(system):
    """Pixels (Y, X) that both instruments see away from sources, 1 or 0; pixels near a source."""
    factor = system.grid.factor
    cube = np.kron(system.spaxel_weight > 0, np.ones((factor, factor)))
    known = cube * (system.image_weight > 0).any(0)
    near = np.zeros(known.shape, bool)
    sources = system.prior.sources
    if sources is not None:
        y, x = np.indices(known.shape)
        for at_x, at_y in sources.positions:
            near |= np.hypot(y - at_y, x - at_x) < _NEAR
    return np.where(near, 0.0, known), near


def missed_share(system, structure, psf, basis):
    """Part of the variance of each channel at a typical pixel that structure leaves.

    Parameters
    ----------
    system : WeightedSystem
        The problem.
    structure : Structure
        Its structure.
    psf : ndarray (m, m) or None
        PSF of the cube at a middle wavelength; None for a deconvolved cube.
    basis : ndarray (L, k)
        Spectra of the components; zero in channels without data.

    Returns
    -------
    ndarray (L, k)
        By the component that has the structure; their sum is at most one.
    """
    blocks, grid = system.blocks, system.grid
    k = blocks.rank
    seen = np.ones((grid.groups, grid.aliases))
    if psf is not None:
        seen = np.abs(grid.group(grid.otf(psf[None]))[:, :, 0]) ** 2
    stride = blocks.sampling(_BUDGET)
    whole, missed = np.zeros((k, k)), np.zeros((k, k, k))
    for part in blocks.chunks(stride=stride):
        covariance, response = blocks.responses(part, *structure.weights)
        weight = grid.multiplicity[part, None] * seen[part]
        whole += np.einsum("gd,gdab->ab", weight, covariance).real
        for a in range(k):
            rows = (response[:, a] * np.sqrt(weight)[:, :, None, None]).transpose(2, 0, 1, 3)
            rows = rows.reshape(k, -1)
            missed[a] += (rows @ rows.conj().T).real
    variance = np.maximum(((basis @ whole) * basis).sum(1), np.finfo(float).tiny)
    return np.array([((basis @ one) * basis).sum(1) / variance for one in missed]).T
