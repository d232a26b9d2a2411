"""Fit point sources to the data: positions, and spectra that no subspace confines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg as sla

from jwst_fusion.fusion.solver.deviations import Deviations
from jwst_fusion.fusion.solver.operators import Imager, Spectrometer
from jwst_fusion.fusion.solver.point_sources import point_groups

__all__ = [
    "Moves",
    "PointImages",
    "confusion",
    "fit_deviations",
    "fit_positions",
    "light_of",
    "position_step",
    "without_light",
]

_CHUNK = 16_000_000  # bytes of design matrices at once
_RIDGE = 1e-9  # relative to the information on a source: decides where two cannot be told apart
_LARGEST_STEP = 0.5  # fine pixels: beyond, the derivative of a PSF is no guide
_LEAST = 0.25  # of the variance of an amplitude, whatever the structure around the source


class PointImages:
    """
    Sources as the two instruments see them, at each node of the PSF and of unit flux.

    They are made one by one whenever they are needed: of many sources in a large field, all of them
    together would take more memory than anything else.

    Parameters
    ----------
    problem : LowRankProblem
        With sources.

    Attributes
    ----------
    count : int
        Number of sources, J.
    """

    def __init__(self, problem):
        grid, data = problem.system.grid, problem.data
        identity = np.eye(data.psf_weights.shape[1])[:, :, None]
        self.spectrometer = Spectrometer(grid, data.psf_cube, identity)
        self.imager = Imager(grid, data.psf_image, identity)
        self.points, self.grid = problem.system.prior.sources.points, grid
        self.count = self.points.shape[2]
        self.shape, self.window = data.cube.shape[1:], problem.window

    def in_cube(self, index):
        """
        One source as the spectrometer sees it.

        Parameters
        ----------
        index : int
            The source.

        Returns
        -------
        ndarray (R, h, w)
            Per spaxel.
        """
        seen = self.spectrometer.forward_groups(self.points[:, :, index : index + 1])
        h, w = self.shape
        return self.grid.synthesise_coarse(seen)[:, :h, :w]

    def in_images(self, index):
        """
        One source as the imager sees it.

        Parameters
        ----------
        index : int
            The source.

        Returns
        -------
        ndarray (R, d * h, d * w) of float32
            Per fine pixel.
        """
        seen = self.imager.forward_groups(self.points[:, :, index : index + 1])
        return self.grid.synthesise(seen)[(slice(None), *self.window)].astype(np.float32)


def fit_deviations(problem, tuned, *, believed=None, points=None):
    r"""Fit the flux of every source in every channel to what a solution leaves of the cube.

    Parameters
    ----------
    problem : LowRankProblem
        With sources; the deviations that are `believed` are taken off its data.
    tuned : Tuning
        Its solution.
    believed : ndarray (J, L), optional
        Deviations that were taken off before; they are part of the result.
    points : PointImages, optional
        Images of the sources.

    Returns
    -------
    Deviations
        The fluxes and their noise.

    Notes
    -----
    Per channel, over the voxels s that are there,

    .. math:: \min_\delta \sum_s w_s \bigl(y_{ls} - \hat y_{ls} - \sum_j \delta_{jl} g_{jls}\bigr)^2

    with the PSFs g of all sources: photometry of blended stars, over a model of their surroundings.
    """
    data, count = problem.data, len(problem.data.sources)
    if points is None:
        points = PointImages(problem)
    result = Deviations.none(count, len(data.cube))
    if believed is not None:
        result.spectra[:] = believed
    model = problem.cube_of(tuned.solution.solution)
    power = sum((points.in_cube(j) ** 2).sum(0) for j in range(count))
    good = (data.spaxel_weight > 0) & (power > 1e-6 * power.max())
    maps = np.empty((data.psf_weights.shape[1], count, np.count_nonzero(good)))
    for j in range(count):
        maps[:, j] = points.in_cube(j)[:, good]
    maps = maps.reshape(len(maps), -1)
    weight, valid = data.spaxel_weight[good], np.flatnonzero(problem.subspace.valid)
    noise = data.cube_sigma / np.sqrt(tuned.scale_cube)
    step = max(1, _CHUNK // (24 * count * max(len(weight), 1)))
    for start in range(0, len(valid), step):
        part = valid[start : start + step]
        design = (data.psf_weights[part] @ maps).reshape(len(part), count, -1)
        residual = data.cube[part][:, good] - model[part][:, good]
        there = np.isfinite(residual)
        weighted = design * (weight * there)[:, None, :]
        normal = weighted @ design.transpose(0, 2, 1)
        change, variance = _solved(normal, weighted @ np.where(there, residual, 0.0)[..., None])
        result.spectra[:, part] += change.T
        result.errors[:, part] = np.sqrt(variance.T) * noise[part]
    return result


def _solved(normal, rhs):
    """Solutions and variances (l, J) of small systems (l, J, J), 0 and infinite if unseen."""
    index = np.arange(normal.shape[1])
    diagonal = normal[:, index, index].copy()
    seen = diagonal > 1e-3 * diagonal.max(0)
    normal[:, index, index] += _RIDGE * diagonal.max(0) + ~seen
    inverse = np.linalg.inv(normal)
    change = np.where(seen, (inverse @ rhs)[..., 0], 0.0)
    return change, np.where(seen, inverse[:, index, index], np.inf)


@dataclass(frozen=True)
class Moves:
    """How far sources are from where they were assumed, and what speaks for them.

    Attributes
    ----------
    steps : ndarray (J, 2)
        Along x and y, fine pixels.
    errors : ndarray (J, 2)
        Their 1-sigma errors.
    excess : ndarray (J,)
        Twice the logarithm of the likelihood ratio of the source being there: chi-square of as many
        degrees of freedom as there are components, if there is none.
    """

    steps: np.ndarray
    errors: np.ndarray
    excess: np.ndarray


def fit_positions(problem, tuned):
    r"""Newton step of the positions of all sources, their surroundings and fluxes adapted to it.

    Parameters
    ----------
    problem : LowRankProblem
        With sources.
    tuned : Tuning
        Its solution.

    Returns
    -------
    Moves
        The steps, and what the data say of each source.

    Notes
    -----
    A step moves the scene along :math:`c = \partial D / \partial x\, a`. The penalised likelihood,
    diffuse part and amplitudes eliminated, has the gradient :math:`c^T P Z_{diffuse}` and the
    curvature of `PointInformation`; its inverse is the covariance of the positions. Without source
    j, its amplitudes would be those of a diffuse scene, :math:`(D_j^T P D_j)^{-1}` about zero.
    """
    system, mu = problem.system, tuned.mu
    image_weight, cube_weight = system.typical_weights()
    weights = (tuned.scale_image * image_weight, tuned.scale_cube * cube_weight, mu)
    known = system.point_information(*weights)
    return position_step(system.prior.sources, _improved(problem, tuned), mu, known)


def position_step(prior, groups, mu, known):
    """Newton step of the positions of the sources of a prior, see `fit_positions`.

    Parameters
    ----------
    prior : SourcePrior
        Prior that does not see the sources.
    groups : ndarray (group, d * d, k)
        Component groups of the scene, solved for.
    mu : ndarray (k,)
        Weights of the prior.
    known : PointInformation
        What is known of the amplitudes.

    Returns
    -------
    Moves
        The steps, and what the data say of each source.
    """
    grid, count, rank = prior.grid, len(prior.positions), len(mu)
    amplitudes = prior.amplitudes(groups)
    along = [point_groups(grid, prior.positions, order=order) for order in ((1, 0), (0, 1))]
    force = mu * prior.apply(groups)
    slopes = np.array(
        [
            np.einsum("g,gdj,jk,gdk->j", grid.multiplicity, one.conj(), amplitudes, force).real
            for one in along
        ]
    )
    both = np.concatenate([amplitudes, amplitudes])
    information = known.along(np.concatenate(along, axis=2), both)
    # A source of no light has no position: what is known of it is made more than rounding.
    values, vectors = np.linalg.eigh(information)
    values = np.maximum(values, 1e-9 * max(values[-1], np.finfo(float).tiny))
    covariance = (vectors / values) @ vectors.T
    steps = (covariance @ slopes.ravel()).reshape(2, count).T
    errors = np.sqrt(np.diag(covariance)).reshape(2, count).T
    excess = np.empty(count)
    cells = known.covariance().reshape(count, rank, count, rank)
    before = prior.gram[:, range(count), range(count)] * mu[:, None]
    for j in range(count):
        spread = cells[j, :, j] + np.diag(1 / before[:, j])
        excess[j] = amplitudes[j] @ sla.solve(spread, amplitudes[j], assume_a="pos")
    return Moves(np.clip(steps, -_LARGEST_STEP, _LARGEST_STEP), errors, excess)


def _improved(problem, tuned):
    """Component groups after one more step of the solve.

    What an inexact solve leaves would be taken for the pull of a bright source on its surroundings.
    """
    system, groups = problem.system, tuned.solution.solution
    scales = tuned.scale_image, tuned.scale_cube
    rhs = scales[0] * system.rhs_image + scales[1] * system.rhs_cube
    left = rhs - system.apply(groups, *scales, tuned.mu)
    return groups + system.precondition(left, tuned.mu, *scales)


def light_of(data, spectra, points):
    """What sources of given spectra add to the data.

    Parameters
    ----------
    data : FusionData
        Observations.
    spectra : ndarray (J, L)
        MJy/sr times fine pixel.
    points : PointImages
        Images of the sources.

    Returns
    -------
    cube : ndarray (L, h, w) of float32
        Their light in the cube.
    images : ndarray (F, d * h, d * w)
        Their light in the images.
    """
    cube = np.zeros((len(data.cube), data.cube[0].size), np.float32)
    images = np.zeros((len(data.images), data.images[0].size))
    for j in np.flatnonzero(spectra.any(axis=1)):
        table = data.psf_weights * spectra[j, :, None]
        seen = points.in_cube(j).reshape(table.shape[1], -1).astype(np.float32)
        _add_product(cube, table.astype(np.float32), seen)
        seen = points.in_images(j).reshape(table.shape[1], -1)
        images += (data.response @ table) @ seen
    return cube.reshape(data.cube.shape), images.reshape(data.images.shape)


def _add_product(total, left, right):
    """Add a product of matrices to their sum, in place, rows by rows."""
    step = max(1, _CHUNK // (4 * total.shape[1]))
    for start in range(0, len(total), step):
        part = slice(start, start + step)
        total[part] += left[part] @ right


def without_light(data, spectra, points):
    """Data without the light of sources of given spectra.

    Parameters
    ----------
    data : FusionData
        Observations.
    spectra : ndarray (J, L)
        MJy/sr times fine pixel.
    points : PointImages
        Images of the sources.

    Returns
    -------
    FusionData
        A copy.
    """
    cube, images = light_of(data, spectra, points)
    cube = (data.cube - cube).astype(data.cube.dtype, copy=False)
    return replace(data, cube=cube, images=data.images - images)


def confusion(problem, tuned, structure=None):
    r"""Uncertainty of the surroundings under each source, as photometry of the cube sees it.

    Parameters
    ----------
    problem : LowRankProblem
        With sources.
    tuned : Tuning
        Its solution.
    structure : Structure, optional
        Structure of the diffuse scene; what the prior expects by default.

    Returns
    -------
    amplitudes : ndarray (J, k, k)
        Posterior covariance of the amplitudes of each source.
    surroundings : ndarray (J, k, k)
        Posterior covariance of the diffuse part, averaged with the PSF of the cube as the
        photometry of the source does it.

    Notes
    -----
    With the average :math:`\kappa_j`, blocks B and information T of the amplitudes, frequency by
    frequency,

    .. math:: \kappa_j^T B^{-1} \kappa_j + K_j T^{-1} K_j^T, \quad
        K_j = \kappa_j^T (D - B^{-1} P D)

    Of :math:`B^{-1}` and T, the parts that come from structure of the diffuse scene,
    :math:`B^{-1} P_a B^{-1}` and :math:`D^T P^{1/2} (1 - H) E_a (1 - H) P^{1/2} D` of component a
    with :math:`H = P^{1/2} B^{-1} P^{1/2}`, are scaled by its amount around the source.
    """
    system, mu = problem.system, tuned.mu
    prior, grid = system.prior.sources, system.grid
    image_weight, cube_weight = system.typical_weights()
    weights = (tuned.scale_image * image_weight, tuned.scale_cube * cube_weight, mu)
    known = system.point_information(*weights)
    covariance = known.covariance()
    count, rank = len(prior.positions), system.rank
    transfer = system.spectrometer.transfer[:, system.spectrometer.nodes // 2]
    seen = np.abs(transfer) ** 2
    pixels = grid.shape[0] * grid.shape[1]
    seen = seen / np.sum(grid.multiplicity[:, None] * seen) * pixels
    own = np.einsum("g,gd,gdab->ab", grid.multiplicity, seen**2, known.covariances).real / pixels
    reaction = known.sums(np.eye(rank) - known.reaction, left=seen)
    rows = reaction.reshape(count, rank, -1)
    if structure is None:
        surroundings = own + rows @ covariance @ rows.transpose(0, 2, 1)
        cells = covariance.reshape(count, rank, count, rank)
        index = np.arange(count)
        return cells[index, :, index], surroundings
    root = np.sqrt(known.strength)
    beyond = structure.around - 1
    # (k, k, k) by component of the structure: what it leaves in maps, and in the pull on a point
    left = known.covariances * root[:, :, None, :]
    pull = np.eye(rank) * root[..., None] - known.strength[..., None] * left
    missed, pulled = (
        np.einsum("g,gd,gdba,gdca->abc", grid.multiplicity, weight, one, one.conj(), optimize=True)
        for weight, one in ((seen**2, left), (np.ones_like(seen), pull))
    )
    missed, pulled = missed.real / pixels, pulled.real / pixels
    own = own + np.einsum("ja,abc->jbc", beyond, missed)
    more = np.zeros_like(covariance).reshape(count, rank, count, rank)
    index = np.arange(count)
    more[index, :, index] = np.einsum("ja,abc->jbc", beyond, pulled)
    changed = _scaled(covariance, more.reshape(covariance.shape))
    surroundings = own + rows @ changed @ rows.transpose(0, 2, 1)
    cells = changed.reshape(count, rank, count, rank)
    return cells[index, :, index], surroundings


def _scaled(covariance, more):
    """Covariance C plus C M C, of which no direction becomes less than a quarter."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    change, turn = np.linalg.eigh(root.T @ more @ root)
    root = root @ turn
    return (root * np.maximum(1 + change, _LEAST)) @ root.T
