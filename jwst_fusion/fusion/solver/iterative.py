"""Solve with masks and weights: conjugate gradients preconditioned by the direct block solve."""

from __future__ import annotations

import logging
import time
from copy import copy
from dataclasses import dataclass, field

import numpy as np

from jwst_fusion.fusion.solver.direct import BlockSystem
from jwst_fusion.fusion.solver.regularisation import SobolevPrior
from jwst_fusion.messages import warn

__all__ = ["Solution", "WeightedSystem", "conjugate_gradients"]

log = logging.getLogger(__name__)

_LOG_INTERVAL = 10.0  # seconds between progress lines
# Iterations that tell how large the error was before them: a third of all, at least so many; and a
# margin for those that do not tell enough.
_DELAY, _MARGIN = 10, 4.0


@dataclass
class Solution:
    """FusedObservation of a linear solve.

    Attributes
    ----------
    solution : ndarray
        The solution, or the best iterate.
    converged : bool
        Whether the tolerance was reached.
    iterations : int
        Number of iterations; 0 for a direct solve.
    history : list of float
        Relative residual after every iteration.
    """

    solution: np.ndarray
    converged: bool
    iterations: int
    history: list = field(default_factory=list)


def conjugate_gradients(
    operator,
    rhs,
    precondition,
    inner,
    *,
    start=None,
    scale=None,
    tolerance=1e-4,
    error=None,
    max_iterations=200,
):
    """Preconditioned conjugate gradients for a positive definite operator.

    Parameters
    ----------
    operator, precondition : callable
        Apply the operator and the preconditioner to an array like `rhs`.
    rhs : ndarray
        Right-hand side.
    inner : callable
        Real inner product of two arrays.
    start : ndarray, optional
        First iterate; zero by default.
    scale : float, optional
        What residuals are compared with; the norm of `rhs` by default.
    tolerance : float
        Stop when the residual has fallen below this fraction of `scale`. It is taken in the norm of
        the preconditioner, in which it measures the error in the norm of the operator.
    error : float, optional
        Stop as well when the squared error, in the norm of the operator, is below this. By
        Hestenes & Stiefel (1952, eq. 6:2), each iteration says what it takes off that error; what
        the last third of them took off, times four, stands for it (after Strakos & Tichy 2002).
    max_iterations : int
        Upper limit.

    Returns
    -------
    Solution
        The solution, or the best iterate if the limit is reached or rounding breaks the recursion;
        and the history of relative residuals.

    Raises
    ------
    numpy.linalg.LinAlgError
        If no step can be made because the operator is not positive definite.
    """
    if not rhs.any():
        return Solution(np.zeros_like(rhs), True, 0)
    if scale is None:
        scale = np.sqrt(inner(rhs, precondition(rhs)))
    x = np.zeros_like(rhs) if start is None else start.copy()
    residual = rhs - operator(x) if start is not None else rhs.copy()
    conditioned = precondition(residual)
    energy = inner(residual, conditioned)
    direction, history, best, taken = conditioned, [], x, []
    logged = time.monotonic()
    for iteration in range(max_iterations + 1):
        relative = np.sqrt(max(energy, 0.0)) / scale
        history.append(relative)
        if relative <= min(history):
            best = x.copy()
        if relative <= tolerance or (error is not None and _left(taken) <= error):
            return Solution(x, True, iteration, history)
        if iteration == max_iterations:
            break
        image = operator(direction)
        curvature = inner(direction, image)
        if not curvature > 0 or not np.isfinite(curvature):
            if iteration == 0:
                msg = "the normal equations are not positive definite: check errors and weights"
                raise np.linalg.LinAlgError(msg)
            warn(log, "Conjugate gradients break down after %d iterations", iteration)
            return Solution(best, False, iteration, history)
        step = energy / curvature
        taken.append(step * energy)
        x += step * direction
        residual = residual - step * image  # not in place: it may be what `precondition` returned
        previous, conditioned_old = energy, conditioned
        conditioned = precondition(residual)
        energy = inner(residual, conditioned)
        # Polak-Ribiere form: forgives the rounding of a single-precision preconditioner.
        direction = conditioned + (energy - inner(residual, conditioned_old)) / previous * direction
        if time.monotonic() - logged > _LOG_INTERVAL:
            logged = time.monotonic()
            log.info("Conjugate gradients: iteration %d, residual %.2e", iteration + 1, relative)
    return Solution(best, False, max_iterations, history)


def _left(taken):
    """Squared error that is left, from what each iteration took off it."""
    if len(taken) < _DELAY:
        return np.inf
    return _MARGIN * sum(taken[-max(_DELAY, len(taken) // 3) :])


class WeightedSystem:
    """The fusion problem on a periodic domain, with a weight for every pixel and spaxel.

    Parameters
    ----------
    imager : Imager
        Imager on noise-whitened images.
    spectrometer : Spectrometer
        Spectrometer on noise-whitened, compressed rows.
    images : ndarray (F, Y, X)
        Whitened images, minus the response to the mean spectrum; any finite value at weight 0.
    image_weight : ndarray (F, Y, X)
        Relative inverse variances.
    rows : ndarray (n, h, w)
        Whitened, compressed cube, minus the mean spectrum.
    spaxel_weight : ndarray (h, w)
        Relative inverse variances.
    gaps : tuple of (ndarray (g,), ndarray (g, n, n)), optional
        Flat indices of spaxels that lack voxels, and the Gram matrix of the compression over the
        voxels that are there.
    prior : SobolevPrior, optional
        Penalty of the component maps; that of their gradients by default.
    independent : ndarray (F,), optional
        Share of the pixels of each image whose noise is independent; 1 by default.
    """

    def __init__(
        self,
        imager,
        spectrometer,
        images,
        image_weight,
        rows,
        spaxel_weight,
        gaps=None,
        prior=None,
        independent=None,
    ):
        self.imager, self.spectrometer, self.grid = imager, spectrometer, imager.grid
        self.prior = SobolevPrior(self.grid) if prior is None else prior
        self.blocks = BlockSystem(imager, spectrometer, self.prior.power)
        self.images, self.image_weight = images, image_weight
        self.rows, self.spaxel_weight, self.gaps = rows, spaxel_weight, gaps
        complete = np.all(image_weight == 1) and np.all(spaxel_weight == 1) and not gaps
        self.uniform = bool(complete and self.prior.diagonal)
        self.filters, self.rank = len(images), spectrometer.rank
        self.rhs_image = imager.adjoint_groups(self.grid.analyse(image_weight * images))
        # Rows of spaxels with gaps are sums over the voxels that are there: no Gram matrix.
        self.rhs_cube = spectrometer.adjoint_groups(self.grid.analyse_coarse(spaxel_weight * rows))
        share = np.ones(len(images)) if independent is None else np.asarray(independent)
        # Pixels larger than those of the grid have noise at low frequencies only.
        self.image_bands = [(share == one, self.grid.band(one)) for one in np.unique(share)]
        self.count_image = float(share @ np.count_nonzero(image_weight, axis=(1, 2)))
        share = np.array(spaxel_weight > 0, float)
        if gaps:
            flat = share.reshape(-1)
            flat[gaps[0]] *= np.trace(gaps[1], axis1=1, axis2=2) / len(rows)
        self.count_cube = len(rows) * float(share.sum())

    def with_prior(self, prior):
        """The same problem with another prior."""
        other = copy(self)
        other.prior, other.blocks = prior, self.blocks.with_power(prior.power)
        other.uniform = self.uniform and prior.diagonal
        return other

    @property
    def norm(self):
        """Norm of an error of one posterior standard deviation in each coefficient."""
        return float(np.sqrt(self.rank * self.images[0].size))

    def inner(self, a, b):
        """Inner product of component groups that equals the one of the real maps."""
        return float(np.einsum("g,gda,gda->", self.grid.multiplicity, a.conj(), b).real)

    def observe(self, rows):
        """Restrict rows (n, h, w) to the voxels that are there, spaxel by spaxel."""
        if not self.gaps:
            return rows
        index, gram = self.gaps
        flat = rows.reshape(len(rows), -1).copy()
        flat[:, index] = (gram @ flat[:, index].T[..., None].astype(gram.dtype))[..., 0].T
        return flat.reshape(rows.shape)

    def apply(self, groups, scale_image, scale_cube, mu):
        """Normal operator on component groups (group, d * d, k)."""
        grid = self.grid
        images = grid.synthesise(self.imager.forward_groups(groups))
        out = scale_image * self.imager.adjoint_groups(grid.analyse(self.image_weight * images))
        rows = grid.synthesise_coarse(self.spectrometer.forward_groups(groups))
        coarse = grid.analyse_coarse(self.spaxel_weight * self.observe(rows))
        out += scale_cube * self.spectrometer.adjoint_groups(coarse)
        return out + mu * self.prior.apply(groups)

    def typical_weights(self):
        """Mean weights over the pixels (F,) and spaxels that have data."""
        valid = np.maximum((self.image_weight > 0).sum((1, 2)), 1)
        spaxels = max(np.count_nonzero(self.spaxel_weight), 1)
        return self.image_weight.sum((1, 2)) / valid, self.spaxel_weight.sum() / spaxels

    def solve(
        self,
        mu,
        scale_image=1.0,
        scale_cube=1.0,
        *,
        rhs=None,
        start=None,
        tolerance,
        error=None,
        max_iterations,
    ):
        """Component groups for given hyperparameters.

        Parameters
        ----------
        mu : ndarray (k,)
            Weight of the prior per component.
        scale_image, scale_cube : float
            Factors on the inverse variances of the two instruments.
        rhs : ndarray (group, d * d, k), optional
            Right-hand side; that of the data by default.
        start : ndarray, optional
            First iterate.
        tolerance : float
            Accuracy of an iterative solve in units of the posterior standard deviation, which is
            what the norm of the operator measures: root mean square over all coefficients.
        error : float, optional
            Squared error in that norm, not averaged, at which an iterative solve stops as well.
        max_iterations : int
            Limit of an iterative solve.

        Returns
        -------
        Solution
            Direct (0 iterations) if all weights are one, iterative otherwise.
        """
        if rhs is None:
            rhs = scale_image * self.rhs_image + scale_cube * self.rhs_cube
        image_weight, cube_weight = self.typical_weights()
        weights = (scale_image * image_weight, scale_cube * cube_weight, mu)
        if self.uniform:
            return Solution(self.blocks.solve(rhs, *weights), True, 0)
        return conjugate_gradients(
            lambda groups: self.apply(groups, scale_image, scale_cube, mu),
            rhs,
            self.blocks.preconditioner(*weights),
            self.inner,
            start=start,
            scale=self.norm,
            tolerance=tolerance,
            error=error,
            max_iterations=max_iterations,
        )

    def misfit(self, groups):
        """Weighted sums of squared residuals of the whitened images and of the cube's rows."""
        grid = self.grid
        images = self.images - grid.synthesise(self.imager.forward_groups(groups))
        rows = grid.synthesise_coarse(self.spectrometer.forward_groups(groups))
        rows = self.rows - self.observe(rows)
        return (
            float(np.sum(self.image_weight * images**2)),
            float(np.sum(self.spaxel_weight * rows**2)),
        )
