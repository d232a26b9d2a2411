"""Find hyperparameters: evidence of the Gaussian model, and what the SyFu rule needs."""

from __future__ import annotations

import logging
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.ndimage as ndi

from jwst_fusion.fusion.solver.determined import count_determined
from jwst_fusion.numerics.conjugate_gradients import Solution
from jwst_fusion.numerics.progress import Progress
from jwst_fusion.numerics.robust import DONOHO_MEDIAN, sigma_of_median

__all__ = [
    "LocalWeights",
    "Tuning",
    "TuningStep",
    "difference_noise",
    "gradient_energy",
    "maximise_evidence",
    "reweighted_solution",
]

log = logging.getLogger(__name__)

_EMPTY = 1e-4  # weight, relative to the lightest data, that stands for no data
_THRESHOLD = 0.02  # smoothed weight, relative to the lightest data, below which there are no data
# Accuracy of linear solves on the way, in posterior standard deviations; hyperparameters
# are wanted to 3 % only.
_LOOSE = 0.05
# Factor on the given errors within which the noise scales stay, against runaways.
_SCALE_LIMIT = 100.0
# Factor on the first weights of the prior within which they stay: without data, that of a component
# would grow faster with every step.
_MU_LIMIT = 1e6
# Effective parameters of a component below which its weight does not grow any more. One is left of
# any component: its mean, which the prior does not see.
_OFF = 2.0
# Fine pixels over which the weight of the prior is averaged to what determines the variance of one.
_REACH = 1.5
# Nodes of the weight of the prior: logarithmic distance, and number at most; share of the domain
# below which a node of another weight stands for one.
_LEVEL, _LEVELS, _RARE = 1.2, 4, 5e-3
# Groups of frequencies at all nodes together, and at most and at least at each.
_BUDGET, _MOST, _LEAST = 1600, 200, 40
# Steps at most in which spatial weights of the prior are fitted; then they are kept. These are
# fitted once no hyperparameter moves by more than a factor of e, and their own change, root mean
# square of the logarithm, counts as much as the accuracy of the hyperparameters if it is a tenth.
_REWEIGHTED, _ROUGH, _MOVED = 3, 1.0, 0.1
# Exponents of the prior are fitted from there on as well, so many times at first and once for every
# similar problem after it; their change counts as much as the accuracy of the hyperparameters if it
# is a tenth, and less is the last.
_REFITTED, _TURNED = 3, 0.1


class LocalWeights:
    """Neighbourhoods that see different amounts of data, for the block-diagonal posterior.

    The exact posterior covariance of weighted data is not block-diagonal. Each pixel is given the
    covariance of a uniform field with the weights found around it; a few nodes of (imager weight,
    cube weight) are computed and interpolated, logarithmically in the weights.

    Parameters
    ----------
    image_weight : ndarray (F, Y, X)
        Relative inverse variances of the images.
    spaxel_weight : ndarray (h, w)
        Relative inverse variances of the spaxels.

    Attributes
    ----------
    nodes : list of tuple (ndarray (F,), float)
        Imager weights and cube weight of every node.
    prior : ndarray (node,)
        Weight of the prior at every node, relative to that of the blocks.
    share : ndarray (node, Y, X)
        Interpolation weights of the nodes at every fine pixel, summing to one.
    fractions : ndarray (node,)
        Their means.
    """

    def __init__(self, image_weight, spaxel_weight):
        factor = image_weight.shape[1] // spaxel_weight.shape[0]
        self.shape = image_weight.shape[1:]
        per_filter = np.array([_typical(w) for w in image_weight])
        used = per_filter > 0
        pooled = (image_weight[used] / per_filter[used, None, None]).mean(0)
        spread = np.repeat(np.repeat(spaxel_weight, factor, 0), factor, 1)
        axes = [_axis(pooled, 1.5), _axis(spread, 0.5 * factor)]
        levels = [(image, cube) for image in axes[0][0] for cube in axes[1][0]]
        shares = [
            np.broadcast_to(image * cube, self.shape) for image in axes[0][1] for cube in axes[1][1]
        ]
        levels, shares = _common(np.array(levels), shares)
        self.nodes = [(per_filter * image, float(cube)) for image, cube in levels]
        self.prior, self.plain = np.ones(len(self.nodes)), None
        self._divide(shares)

    def _divide(self, shares):
        self.share = np.array(shares)
        self.share /= self.share.sum(0)
        self.fractions = self.share.mean((1, 2))

    def with_prior(self, weight):
        """Give the neighbourhoods a weight of the prior that varies over the domain.

        Parameters
        ----------
        weight : ndarray (Y, X)
            Weight of the prior relative to that of the blocks.

        Returns
        -------
        LocalWeights
            A copy with up to four nodes, of different weights of the prior, in place of each one.
        """
        plain = self.plain or self
        other = copy(plain)
        levels, parts = _levels(weight)
        other.nodes, other.prior, shares, other.plain = [], [], [], plain
        for node, share in zip(plain.nodes, plain.share, strict=True):
            products = share * parts
            common = products.mean((1, 2))
            kept = np.flatnonzero(common >= min(_RARE, common.max()))
            nearest = np.abs(kept - np.arange(len(levels))[:, None]).argmin(1)
            for j, level in enumerate(kept):
                other.nodes.append(node)
                other.prior.append(levels[level])
                shares.append(products[nearest == j].sum(0))
        other.prior = np.array(other.prior)
        other._divide(shares)
        return other

    @property
    def informed(self):
        """Nodes (node,) at which both instruments have data."""
        seen = np.array([(image.max(), cube) for image, cube in self.nodes])
        return np.all(seen > 10 * _EMPTY * seen.max(0), axis=1)

    @property
    def budget(self):
        """Groups of frequencies to work on at each node, see `BlockSystem.covariances`."""
        return int(np.clip(_BUDGET // len(self.nodes), _LEAST, _MOST))

    def weights(self, scales, mu):
        """Weights for `BlockSystem` at every node.

        Parameters
        ----------
        scales : tuple of float
            Factors on the inverse variances of images and cube.
        mu : ndarray (k,)
            Weight of the prior per component.

        Returns
        -------
        list of tuple
            Weights of the images (F,), of the cube, and of the prior (k,).
        """
        return [
            (scales[0] * image, scales[1] * cube, mu * prior)
            for (image, cube), prior in zip(self.nodes, self.prior, strict=True)
        ]


def _levels(weight):
    """Nodes of the weight of the prior and the interpolation weight of each at every pixel."""
    smooth = ndi.gaussian_filter(np.log(weight), _REACH, mode="wrap")
    low, high = np.quantile(smooth, (0.002, 0.998))
    count = min(1 + int(np.ceil((high - low) / _LEVEL)), _LEVELS)
    if count == 1 or high - low < 0.1:
        return np.exp([smooth.mean()]), np.ones((1, *weight.shape))
    levels = np.linspace(low, high, count)
    at = (np.clip(smooth, low, high) - low) / (high - low) * (count - 1)
    return np.exp(levels), np.maximum(1 - np.abs(at - np.arange(count)[:, None, None]), 0)


def _typical(weight):
    valid = weight[weight > 0]
    return float(valid.mean()) if valid.size else 0.0


def _axis(weight, width):
    """Nodes of one weight map and the interpolation weight of each at every pixel."""
    if np.all(weight == weight.flat[0]) and weight.flat[0] > 0:
        return [weight.flat[0]], [np.ones(())]
    smooth = ndi.gaussian_filter(weight, width, mode="constant")
    inside = smooth[(weight > 0) & (smooth > 0)]
    low, high = np.quantile(inside, (0.1, 0.9))
    levels = [low, high]
    if high < 1.1 * low:
        levels = [inside.mean()]
    # Bright light is noisy: its weight lies far from that of other data, and from that of none.
    there = ndi.gaussian_filter((weight > 0).astype(float), width, mode="constant")
    least = np.quantile(smooth[weight > 0] / there[weight > 0], 0.002)
    least = np.clip(least, 2 * _THRESHOLD * low, levels[0])
    steps = int(np.ceil(np.log(levels[0] / least) / _LEVEL - 0.2))
    levels = [*np.geomspace(least, levels[0], max(steps, 0) + 1)[:-1], *levels]
    at = np.log(np.maximum(smooth, 1e-300))
    empty = np.clip((at - np.log(levels[0])) / np.log(_THRESHOLD * low / levels[0]), 0, 1)
    shares = [np.interp(at, np.log(levels), one) * (1 - empty) for one in np.eye(len(levels))]
    return [*levels, _EMPTY * low], [*shares, empty]


def _common(levels, shares):
    """Nodes (node, 2) that are met, and shares with those of rare ones given to the nearest."""
    means = np.array([one.mean() for one in shares])
    largest = np.array([one.max() for one in shares])
    kept = np.flatnonzero((means >= min(_RARE, means.max())) | ((means > 1e-4) & (largest > 0.5)))
    distance = np.log(levels)[:, None] - np.log(levels[kept])
    nearest = (distance**2).sum(2).argmin(1)
    given = [sum(shares[i] for i in np.flatnonzero(nearest == j)) for j in range(len(kept))]
    return levels[kept], given


@dataclass(frozen=True)
class TuningStep:
    """One step on the way to the hyperparameters.

    Attributes
    ----------
    run : int
        Which of the fixed-point iterations, each with its own data and subspace, from 1.
    mu : ndarray (k,)
        Weights of the prior after the step.
    scale_image, scale_cube : float
        Factors on the inverse variances after the step.
    change : float
        Largest change of the logarithm of any of these.
    """

    run: int
    mu: np.ndarray
    scale_image: float
    scale_cube: float
    change: float


@dataclass
class Tuning:
    """Hyperparameters and the solution they lead to.

    Attributes
    ----------
    mu : ndarray (k,)
        Weight of the prior per component.
    scale_image, scale_cube : float
        Factors on the inverse variances of images and cube.
    solution : Solution
        The last linear solve; its iterations and history are those of all solves together.
    steps : int
        Fixed-point steps, 0 if the hyperparameters were given.
    converged : bool
        Whether the hyperparameters settled.
    path : list of TuningStep
        All fixed-point steps, those of earlier iterations before; empty if the hyperparameters
        were given.
    amplitudes : ndarray (J, k) or None
        Amplitudes of the sources, if another prior than the quadratic one has decided on them.
    """

    mu: np.ndarray
    scale_image: float
    scale_cube: float
    solution: Solution
    steps: int
    converged: bool
    path: list = field(default_factory=list)
    amplitudes: np.ndarray | None = None


def maximise_evidence(
    system,
    local,
    mu,
    *,
    tolerance,
    max_iterations,
    fit_mu=True,
    noise_scales=True,
    scales=(1.0, 1.0),
    start=None,
    path=(),
    reweight=None,
    fit_exponents=None,
    fresh=False,
    max_steps=25,
    accuracy=0.03,
):
    r"""Fixed point of the evidence for the prior's weights and exponents, and the noise scales.

    Parameters
    ----------
    system : WeightedSystem
        The fusion problem.
    local : LocalWeights
        Amount of data around every pixel.
    mu : ndarray (k,)
        Initial weights of the prior.
    tolerance : float
        Accuracy of the last solve, in posterior standard deviations.
    max_iterations : int
        Upper limit of the iterations of each linear solve.
    fit_mu : bool
        Fit the weights of the prior.
    noise_scales : bool
        Fit one factor per instrument on the inverse variances as well.
    scales : tuple of float
        These factors for images and cube: the first guess, or what is used.
    start : ndarray (group, d * d, k), optional
        Component groups to begin with.
    path : sequence of TuningStep
        Steps of earlier iterations, which those of this one follow.
    reweight : callable, optional
        Fit spatial weights of the prior: from system, local weights, component groups, mu and the
        effective parameters per pixel at every node, make another system, its local weights, a
        factor on mu, and the root mean square of the change of the logarithm of the weights.
    fit_exponents : callable, optional
        Fit the exponents of the prior: from system, component groups, mu and what data determine,
        `~jwst_fusion.fusion.solver.determined.Determined`, make another system, factors (k,) on mu,
        and the largest change of an exponent.
    fresh : bool
        Whether hyperparameters are first guesses although there is a path.
    max_steps : int
        Upper limit of the fixed-point iterations.
    accuracy : float
        Stop when no hyperparameter changes by more than this fraction.

    Returns
    -------
    Tuning
        Hyperparameters and the solution.

    Notes
    -----
    MacKay's update (1992, Neural Computation 4, 415), per component and exact for uniform weights:

    .. math:: \mu_a \leftarrow \frac{\sum_f (1 - \mu_a |D_f|^2 \Sigma_{aa,f})}
                                    {\sum_f |D_f|^2 |z_{a,f}|^2}, \quad
              g \leftarrow \frac{n - \mathrm{tr}(\Sigma A^T A) g}{|y - A z|^2}

    Exponents are those of `~jwst_fusion.fusion.solver.exponents.exponent_step`.

    With masks or weights, the traces are averages over the nodes of `local`. Of images with pixels
    larger than those of the grid, n and the trace count what has noise: low frequencies.
    """
    mu, scales = np.array(mu, float), np.array(scales, float)
    first = mu
    groups, settled, total, history = start, False, 0, []
    before, weighted = np.zeros(len(mu) + 2), 0
    path = list(path)
    run = path[-1].run + 1 if path else 1
    fresh = fresh or run == 1
    exponents_left = 0 if fit_exponents is None else _REFITTED if fresh else 1
    progress = Progress()
    for step in range(1, max_steps + 1):
        solution = system.solve(
            mu,
            *scales,
            tolerance=max(tolerance, _LOOSE),
            max_iterations=max_iterations,
            start=groups,
        )
        groups = solution.solution
        total, history = total + solution.iterations, history + solution.history
        determined = count_determined(system, local, mu, scales)
        wanted = np.zeros(len(mu) + 2)
        if fit_mu:
            energy = np.maximum(system.prior.energy(groups), np.finfo(float).tiny)
            new = np.maximum(determined.effective, 1e-3) / energy
            wanted[:-2] = np.log(np.clip(new, first / _MU_LIMIT, first * _MU_LIMIT) / mu)
            # A component that is as good as off: what is more only makes sums inexact.
            wanted[:-2][(determined.effective < _OFF) & (new > mu)] = 0.0
        if noise_scales:
            counts = np.array([system.count_image, system.count_cube])
            misfit = np.maximum(system.misfit(groups), np.finfo(float).tiny)
            new = np.maximum(counts - determined.fitted, 0.01 * counts) * system.scatter / misfit
            wanted[-2:] = np.log(np.clip(new, _SCALE_LIMIT**-2, _SCALE_LIMIT**2) / scales)
        change = np.abs(wanted).max()
        if reweight is not None and weighted < _REWEIGHTED and (weighted or change < _ROUGH):
            system, local, factor, moved = reweight(system, local, groups, mu, determined.free)
            weighted, mu = weighted + 1, mu * factor
            change = max(change, accuracy * moved / _MOVED)
        if exponents_left and (exponents_left < _REFITTED or change < _ROUGH):
            system, factor, moved = fit_exponents(system, groups, mu, determined)
            exponents_left, mu = exponents_left - 1 if moved > _TURNED else 0, mu * factor
            change = max(change, accuracy * moved / _TURNED)
        # Halve updates whose sign alternates.
        taken = np.exp(np.where(wanted * before < 0, wanted / 2, wanted))
        mu, scales, before = mu * taken[:-2], scales * taken[-2:], wanted
        path.append(TuningStep(run, mu, float(scales[0]), float(scales[1]), float(change)))
        if progress.due():
            log.info("Evidence: step %d, change %.2f, %.0f s", step, change, progress.seconds)
        if change < accuracy:
            settled = True
            break
    solution = system.solve(
        mu, *scales, tolerance=tolerance, max_iterations=max_iterations, start=groups
    )
    solution = replace(
        solution,
        iterations=total + solution.iterations,
        history=history + solution.history,
    )
    return Tuning(mu, float(scales[0]), float(scales[1]), solution, step, settled, path)


def reweighted_solution(system, local, mu, scales, *, reweight, tolerance, max_iterations, start):
    """Solution with spatial weights of the prior that fit it, for given hyperparameters.

    Parameters
    ----------
    system : WeightedSystem
        The fusion problem.
    local : LocalWeights
        Amount of data around every pixel.
    mu : ndarray (k,)
        Mean weights of the prior.
    scales : tuple of float
        Factors on the inverse variances of images and cube.
    reweight : callable
        As in `maximise_evidence`; mu stays.
    tolerance : float
        Accuracy of the last solve, in posterior standard deviations.
    max_iterations : int
        Upper limit of the iterations of each linear solve.
    start : ndarray (group, d * d, k) or None
        Component groups to begin with.

    Returns
    -------
    Solution
        The last solve; its iterations and history are those of all together.
    """
    total, history = 0, []
    for step in range(_REWEIGHTED + 1):
        last = step == _REWEIGHTED
        solution = system.solve(
            mu,
            *scales,
            tolerance=tolerance if last else max(tolerance, _LOOSE),
            max_iterations=max_iterations,
            start=start,
        )
        start = solution.solution
        total, history = total + solution.iterations, history + solution.history
        if not last:
            free = count_determined(system, local, mu, scales).free
            system, local, _, _ = reweight(system, local, start, mu, free)
    return replace(solution, iterations=total, history=history)


def gradient_energy(scores, factor):
    """Mean squared gradient of coarse maps, per fine pixel and component.

    Parameters
    ----------
    scores : ndarray (k, h, w)
        Coordinates of the spaxels in the subspace, NaN where unknown.
    factor : int
        Fine pixels per spaxel.

    Returns
    -------
    ndarray (k,)
        Mean of the squared differences along both axes of linearly interpolated maps.
    """
    energy = np.zeros(len(scores))
    for axis in (1, 2):
        difference = np.diff(scores, axis=axis).reshape(len(scores), -1)
        known = np.isfinite(difference).all(0)
        if known.any():
            energy += np.mean(difference[:, known] ** 2, axis=1) / factor**2
    return np.maximum(energy, np.finfo(float).tiny)


def difference_noise(images):
    """Noise of images from the median of their finest diagonal wavelet coefficients.

    Parameters
    ----------
    images : ndarray (n, y, x)
        Images; blocks with NaN are left out.

    Returns
    -------
    float
        Noise standard deviation, Donoho & Johnstone 1995 (JASA 90, 1200), Haar wavelet.
    """
    y, x = (size // 2 * 2 for size in images.shape[1:])
    block = images[:, :y, :x]
    detail = block[:, ::2, ::2] - block[:, 1::2, ::2] - block[:, ::2, 1::2] + block[:, 1::2, 1::2]
    detail = detail[np.isfinite(detail)] / 2
    if not detail.size:
        msg = "images holds no 2 x 2 block of finite pixels: the noise cannot be estimated"
        raise ValueError(msg)
    return float(sigma_of_median(np.median(np.abs(detail)), of_normal=DONOHO_MEDIAN))
