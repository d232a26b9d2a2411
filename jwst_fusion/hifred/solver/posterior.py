"""Errors of a low-rank source: posterior variances by sampling with exact conditional variances."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import uniform_filter

from jwst_fusion.hifred.solver.subspace_error import SubspaceError, pulls_of, subspace_error

__all__ = [
    "WINDOW",
    "LowRankPosterior",
    "covariances",
    "draw",
    "local_square",
    "low_rank_errors",
    "shrinkage",
    "voxel_errors",
]

_ORDERS = 3  # how often the bias of the bias is taken into account; further terms are small
#: Energies and pixels over which squares are averaged, about one response.
WINDOW = (9, 3, 3)
_ACCURACY = 1e-2  # part of the residual of a solve: far below the noise of sampling


@dataclass(frozen=True)
class LowRankPosterior:
    """
    What is known of the errors of a low-rank source, compact enough to be kept with it.

    Attributes
    ----------
    basis : ndarray (L, r)
        Spectra.
    maps : ndarray (r, M, N)
        Their maps, the solution.
    samples : ndarray (S, r, M, N) of float32
        Deviations of the maps from the solution, drawn from the posterior.
    lost : ndarray (r, M, N)
        Estimate of what the penalty takes away from the maps.
    subspace : SubspaceError or None
        Errors of the spectra; None where the source has left the subspace, as full cubes do.
    """

    basis: np.ndarray
    maps: np.ndarray
    samples: np.ndarray
    lost: np.ndarray
    subspace: SubspaceError | None

    def scaled(self, factor):
        """
        Return the posterior of a source that is multiplied by a number.

        Parameters
        ----------
        factor : float
            The number.

        Returns
        -------
        LowRankPosterior
            A new object.
        """
        return replace(
            self,
            maps=self.maps * factor,
            samples=self.samples * np.float32(factor),
            lost=self.lost * factor,
            subspace=None if self.subspace is None else self.subspace.scaled(factor),
        )


def draw(objective, *, samples=12, seed=0, inner=100):
    r"""
    Draw from the posterior of the coefficients.

    Parameters
    ----------
    objective : Objective
        Objective with its curvature H frozen at the solution.
    samples : int
        Number of samples.
    seed : int
        Seed.
    inner : int
        Largest number of steps of conjugate gradients for each sample.

    Returns
    -------
    list of ndarray (r, M * N)
        Deviations from the solution.

    Notes
    -----
    Laplace's approximation: the covariance is :math:`H^{-1}`. A sample x of it solves
    :math:`H x = \xi` with noise :math:`\xi` of covariance H (Papandreou & Yuille 2010).
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(samples):
        noise = objective.sample(rng)
        found.append(objective.solve(noise, tolerance=_ACCURACY, max_iterations=inner).solution)
    return found


def covariances(objective, drawn):
    r"""
    Posterior covariance of the coefficients of every pixel.

    Parameters
    ----------
    objective : Objective
        Objective with its curvature H frozen at the solution.
    drawn : list of ndarray (r, M * N)
        Samples, see `draw`.

    Returns
    -------
    ndarray (M * N, r, r)
        Covariance matrix of the r coefficients of each pixel.

    Notes
    -----
    The block of a pixel is its conditional covariance :math:`H_{pp}^{-1}`, which is exact, plus the
    mean over samples of the outer product of its conditional mean
    :math:`x_p - H_{pp}^{-1} \xi'_p`, :math:`\xi' = H x`, as in Siden et al. (2018): only the
    second part carries noise of sampling.
    """
    total = 0.0
    for x in drawn:
        mean = (x - objective.precondition(objective.hessian(x))).T
        total = total + mean[:, :, None] * mean[:, None, :]
    return objective.inverse_blocks + total / len(drawn)


def voxel_errors(basis, blocks):
    """
    Errors of the voxels from the covariances of coefficients.

    Parameters
    ----------
    basis : ndarray (L, r)
        Spectra.
    blocks : ndarray (P, r, r)
        Covariances.

    Returns
    -------
    ndarray (L, P) of float32
        Standard deviations.
    """
    i, j = np.triu_indices(basis.shape[1])
    twice = np.where(i == j, 1.0, 2.0)
    products = (basis[:, i] * basis[:, j] * twice).astype(np.float32)
    variance = products @ blocks[:, i, j].T.astype(np.float32)
    return np.sqrt(np.maximum(variance, 0.0))


def shrinkage(objective, maps, *, inner=200):
    r"""
    Estimate of what the penalty takes away from the coefficients.

    Parameters
    ----------
    objective : Objective
        Objective with its curvature H frozen at the solution.
    maps : ndarray (r, M, N)
        Solution w.
    inner : int
        Largest number of steps of conjugate gradients.

    Returns
    -------
    ndarray (r, M, N)
        Estimate of the true coefficients minus the solution.

    Notes
    -----
    A solution is a linear function of the data nearby, with the bias :math:`-S w_0`,
    :math:`S = H^{-1} R`, for the true coefficients :math:`w_0` and the curvature R of the penalty.
    With the solution in place of the truth, and the bias of that again, three times: the estimate
    is :math:`(S + S^2 + S^3) w`.
    """
    total, part = 0.0, maps
    for _ in range(_ORDERS):
        pull = objective.penalty.hessian(part).reshape(objective.rank, -1)
        part = objective.solve(pull, tolerance=_ACCURACY, max_iterations=inner).solution
        part = part.reshape(maps.shape)
        total = total + part
    return total


def local_square(cube, shape):
    """
    Mean square of a cube over 9 energies and 3 by 3 pixels.

    Parameters
    ----------
    cube : ndarray (L, P)
        Cube with flattened images.
    shape : tuple of int
        Its shape (L, M, N).

    Returns
    -------
    ndarray (L, P) of float32
        The mean around each voxel; beyond the edges, the outermost values are repeated.
    """
    square = np.square(cube, dtype=np.float32).reshape(shape)
    mean = uniform_filter(square, size=WINDOW, mode="nearest")
    return np.maximum(mean, 0.0).reshape(cube.shape)


def _with_scales(drawn, scales, seed):
    """Samples of the source with those of the normalisations that it goes with."""
    values, vectors = np.linalg.eigh(scales.covariance)
    roots = vectors * np.sqrt(np.maximum(values, 0.0))
    steps = np.random.default_rng([seed, 11]).standard_normal((len(drawn), len(values))) @ roots.T
    return [one + np.tensordot(s, scales.response, 1) for one, s in zip(drawn, steps, strict=True)]


def low_rank_errors(
    objective,
    basis,
    maps,
    *,
    samples,
    seed,
    subspace=True,
    known=0,
    width=0.0,
    sharp=1,
    scales=None,
):
    r"""
    Errors of a low-rank source.

    Parameters
    ----------
    objective : Objective
        Objective with its curvature frozen at the solution.
    basis : ndarray (L, r)
        Spectra.
    maps : ndarray (r, M, N)
        Solution.
    samples, seed : int
        Number of samples for the posterior covariance, and their seed.
    subspace : bool
        Whether errors of the spectra are to be included.
    known : int
        Number of spectra after the first that follow from the mean spectrum.
    width : float
        Standard deviation of the Gaussian with which that was smoothed, channels.
    sharp : int
        Number of instruments of the objective before those that the spectra were found in.
    scales : Normalisations, optional
        Errors of the normalisations of the observations, which the source shares.

    Returns
    -------
    errors : ndarray (L, P) of float32
        Square root of the posterior variance plus the local mean square of `shrinkage` plus the
        variance of `SubspaceError`.
    posterior : LowRankPosterior
        What errors of sums need.
    """
    drawn = draw(objective, samples=samples, seed=seed)
    blocks = covariances(objective, drawn)
    if scales is not None:
        # with normalisations of their own, the samples are those of source and normalisations
        shared = scales.response.transpose(2, 1, 0)
        blocks = blocks + shared @ scales.covariance @ shared.transpose(0, 2, 1)
        drawn = _with_scales(drawn, scales, seed)
    errors = voxel_errors(basis, blocks)
    lost = shrinkage(objective, maps)
    cube = basis.astype(np.float32) @ lost.reshape(len(maps), -1).astype(np.float32)
    variance = errors**2 + local_square(cube, (len(basis), *maps.shape[1:]))
    more = None
    if subspace:
        found = {"known": known, "width": width, "lost": lost}
        more = subspace_error(objective.instruments[sharp:], basis, maps, **found)
        more = replace(more, pulls=pulls_of(objective, basis, maps, more.lengths[0]))
        source = np.tensordot(basis, maps, axes=1)
        variance = variance + more.variance(basis, maps, source).reshape(variance.shape)
    kept = np.array([one.reshape(maps.shape) for one in drawn], np.float32)
    return np.sqrt(variance), LowRankPosterior(basis, maps, kept, lost, more)
