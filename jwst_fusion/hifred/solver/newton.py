"""Newton's method in the coefficient maps of a spectral subspace, by conjugate gradients."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np

from jwst_fusion.numerics.conjugate_gradients import conjugate_gradients
from jwst_fusion.numerics.progress import Progress

__all__ = ["NewtonResult", "Objective", "minimise"]

log = logging.getLogger(__name__)

_ARMIJO = 1e-4  # part of the expected decrease that a step must reach (Armijo's rule)
_SMALLEST = 1e-8  # shortest part of a Newton step; below, rounding outweighs what it would gain


@dataclass(frozen=True)
class NewtonResult:
    """
    Result of a minimisation.

    Attributes
    ----------
    maps : ndarray (r, M, N)
        Coefficients.
    converged : bool
        Whether the tolerance was reached.
    iterations : int
        Newton steps.
    value : float
        Objective.
    decrement : float
        Newton decrement of the last step: the decrease that it expects, in nats.
    history : list of tuple
        Objective, decrement and CPU seconds of each step.
    """

    maps: np.ndarray
    converged: bool
    iterations: int
    value: float
    decrement: float
    history: list


class Objective:
    r"""
    Likelihoods of all instruments, a penalty, and a barrier against negative values.

    Parameters
    ----------
    instruments : list of InstrumentLikelihood
        Likelihoods.
    penalty : NoPenalty
        Penalty.
    shape : tuple of int
        Shape (r, M, N) of the maps.
    directions : ndarray (L, r), optional
        Spectra V, each energy divided by the square root of its mean, in single precision; the
        barrier is :math:`\frac{\rho}{2} \| \min(V W, 0) \|^2`. Without them there is none.
    barrier : float
        Weight :math:`\rho` of the barrier.
    """

    def __init__(self, instruments, penalty, shape, directions=None, *, barrier=0.0):
        self.instruments, self.penalty, self.shape = instruments, penalty, shape
        self.rank, self.pixels = shape[0], shape[1] * shape[2]
        self.directions = None if directions is None else directions.astype(np.float32)
        self.barrier = barrier
        self._inverse = self._active = None
        if directions is not None:
            self._upper = np.triu_indices(self.rank)
            i, j = self._upper
            self._products = self.directions[:, i] * self.directions[:, j]

    def local(self, maps):
        """
        Value and gradient.

        Parameters
        ----------
        maps : ndarray (r, M * N)
            Coefficients.

        Returns
        -------
        value : float
            Objective.
        gradient : ndarray (r, M * N)
            Its gradient.
        state : tuple
            What `freeze` needs: the list of the instruments' curvatures, and the negative part
            (L, M * N) of the source divided by the scale of each energy, or None without a barrier.
        """
        value, gradient = self.penalty.local(maps.reshape(self.shape))
        gradient = gradient.reshape(self.rank, -1)
        curvatures = []
        for instrument in self.instruments:
            one, slope, curvature = instrument.local(maps)
            value += one
            gradient = gradient + slope
            curvatures.append(curvature)
        negative = None
        if self.barrier and self.directions is not None:
            negative = np.minimum(self.directions @ maps.astype(np.float32), 0.0)
            value += 0.5 * self.barrier * float(np.einsum("ij,ij->", negative, negative))
            gradient = gradient + self.barrier * (self.directions.T @ negative)
        return value, gradient, (curvatures, negative)

    def freeze(self, maps, state):
        """
        Fix curvature and preconditioner.

        Parameters
        ----------
        maps : ndarray (r, M * N)
            Coefficients.
        state : tuple
            What `local` gave at these maps.
        """
        curvatures, negative = state
        self.penalty.freeze(maps.reshape(self.shape))
        blocks = 0.0
        for instrument, curvature in zip(self.instruments, curvatures, strict=True):
            instrument.freeze(curvature)
            blocks = blocks + instrument.diagonal_blocks()
        self._active = None
        if negative is not None:
            i, j = self._upper
            half = self.barrier * ((negative < 0).astype(np.float32).T @ self._products)
            self._active = np.empty((self.pixels, self.rank, self.rank))
            self._active[:, i, j] = half
            self._active[:, j, i] = half
            blocks = blocks + self._active
        index = np.arange(self.rank)
        blocks[:, index, index] += self.penalty.diagonal(self.shape).reshape(self.rank, -1).T
        trace = blocks[:, index, index].sum(axis=1)
        blocks[:, index, index] += (1e-9 * trace + np.finfo(float).tiny)[:, None]
        self._inverse = np.linalg.inv(blocks)

    @property
    def inverse_blocks(self):
        """Inverses (M * N, r, r) of the diagonal blocks of the curvature."""
        return self._inverse

    def sample(self, rng):
        """
        Draw noise whose covariance is the frozen curvature.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        ndarray (r, M * N)
            One sample.
        """
        out = self.penalty.sample(rng, self.shape).reshape(self.rank, -1)
        for instrument in self.instruments:
            out = out + instrument.sample(rng)
        if self._active is not None:
            noise = rng.standard_normal((self.pixels, self.rank, 1))
            values, vectors = np.linalg.eigh(self._active)
            roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
            out = out + np.matmul(roots, noise)[:, :, 0].T
        return out

    def hessian(self, maps):
        """
        Product of the frozen curvature with maps.

        Parameters
        ----------
        maps : ndarray (r, M * N)
            Coefficients.

        Returns
        -------
        ndarray (r, M * N)
            The product.
        """
        out = self.penalty.hessian(maps.reshape(self.shape)).reshape(self.rank, -1)
        for instrument in self.instruments:
            out = out + instrument.hessian(maps)
        if self._active is not None:
            out = out + np.matmul(self._active, maps.T[:, :, None])[:, :, 0].T
        return out

    def precondition(self, maps):
        """
        Product of the inverse of the diagonal blocks of the frozen curvature with maps.

        Parameters
        ----------
        maps : ndarray (r, M * N)
            Coefficients.

        Returns
        -------
        ndarray (r, M * N)
            The product.
        """
        return np.matmul(self._inverse, maps.T[:, :, None])[:, :, 0].T

    def solve(self, maps, *, tolerance, max_iterations):
        """
        Solve for what the frozen curvature turns into maps.

        Parameters
        ----------
        maps : ndarray (r, M * N)
            Right-hand side.
        tolerance : float
            Part of the residual, in the norm of the preconditioner, at which to stop.
        max_iterations : int
            Largest number of iterations.

        Returns
        -------
        Solution
            Its ``solution`` has the shape of `maps`.
        """
        return conjugate_gradients(
            self.hessian,
            maps,
            self.precondition,
            lambda one, other: float((one * other).sum()),
            stop=lambda squares: len(squares) > 1 and squares[-1] < tolerance**2 * squares[0],
            max_iterations=max_iterations,
        )


def minimise(objective, maps, *, tolerance, max_iterations, inner=60, history=None, what="Newton"):
    """
    Minimise a convex objective.

    Parameters
    ----------
    objective : Objective
        What to minimise.
    maps : ndarray (r, M, N)
        Start.
    tolerance : float
        Newton decrement at which to stop, in nats.
    max_iterations : int
        Largest number of Newton steps.
    inner : int
        Largest number of steps of conjugate gradients in each.
    history : list, optional
        History to continue.
    what : str
        For log lines.

    Returns
    -------
    NewtonResult
        The solution, or where the steps ended.
    """
    maps = np.array(maps, float).reshape(objective.rank, -1)
    history = [] if history is None else history
    value, gradient, state = objective.local(maps)
    decrement, progress, cpu = np.inf, Progress(), time.process_time()
    steps, converged = 0, False
    while True:
        objective.freeze(maps, state)
        accuracy = min(0.1, 0.5 / (steps + 1))
        step = objective.solve(-gradient, tolerance=accuracy, max_iterations=inner)
        direction, count = step.solution, step.iterations
        slope = float((gradient * direction).sum())
        decrement = -0.5 * slope
        history.append((value, decrement, time.process_time() - cpu))
        log.debug("%s: step %d, %.6g, %.3g nats, %d cg", what, steps, value, decrement, count)
        if decrement <= tolerance or steps >= max_iterations:
            converged = decrement <= tolerance
            break
        length = 1.0
        while True:
            trial = maps + length * direction
            after, new_gradient, new_state = objective.local(trial)
            if after <= value + _ARMIJO * length * slope:
                break
            length *= 0.5
            if length < _SMALLEST:
                break
        if length < _SMALLEST:  # rounding: no step makes the objective smaller
            converged = decrement <= max(tolerance, 1e-9 * abs(value))
            break
        maps, value, gradient, state = trial, after, new_gradient, new_state
        steps += 1
        if progress.due():
            log.info("%s: step %d, expected decrease %.3g nats", what, steps, decrement)
    shape = objective.shape
    return NewtonResult(maps.reshape(shape), converged, steps, value, decrement, history)
