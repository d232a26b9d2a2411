"""Solve linear systems by preconditioned conjugate gradients."""

import logging
from dataclasses import dataclass, field

import numpy as np

from jwst_fusion.numerics.progress import Progress

__all__ = ["Solution", "conjugate_gradients"]

log = logging.getLogger(__name__)

# Iterations that tell how large the error was before them: a third of all, at least so many; and a
# margin for those that do not tell enough.
_DELAY, _MARGIN = 10, 4.0


@dataclass(frozen=True)
class Solution:
    """
    Result of a linear solve.

    Attributes
    ----------
    solution : ndarray
        The solution, or the iterate that stands for it.
    converged : bool
        Whether what was asked for was reached.
    iterations : int
        Number of iterations; 0 for a direct solve.
    history : list of float
        Relative residual before the first and after every iteration.
    broken_down : bool
        Whether the operator looked as if it were not positive definite, from the first iteration
        on, or later by rounding.
    """

    solution: np.ndarray
    converged: bool
    iterations: int
    history: list = field(default_factory=list)
    broken_down: bool = False


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
    stop=None,
    inexact=False,
    max_iterations=200,
):
    """
    Solve a linear system with a positive definite operator.

    Parameters
    ----------
    operator : callable
        Apply the operator to an array like `rhs`.
    rhs : ndarray
        Right-hand side.
    precondition : callable
        Apply the preconditioner, an approximate inverse of the operator, to an array like `rhs`.
    inner : callable
        Real inner product of two arrays.
    start : ndarray, optional
        First iterate; zero by default.
    scale : float, optional
        What residuals are compared with; the norm of `rhs` by default.
    tolerance : float, optional
        Stop when the residual has fallen to this fraction of `scale`. It is taken in the norm of
        the preconditioner, in which it measures the error in the norm of the operator.
    error : float, optional
        Stop as well when the squared error, in the norm of the operator, is below this. By
        Hestenes & Stiefel (1952, eq. 6:2), each iteration says what it takes off that error; what
        the last third of them took off, times four, stands for it (after Strakos & Tichy 2002).
    stop : callable, optional
        In place of both: whether to stop, from the list of the squared norms of the residual so
        far, the first one that of `rhs` or of what `start` leaves of it.
    inexact : bool, optional
        Whether the preconditioner rounds, as one in single precision: then directions follow the
        form of Polak & Ribiere, and the best iterate is returned where the last has not converged.
    max_iterations : int, optional
        Largest number of iterations.

    Returns
    -------
    Solution
        The solution; the last or, if `inexact`, the best iterate where the limit is reached or the
        recursion breaks down.
    """
    if not rhs.any():
        return Solution(np.zeros_like(rhs), True, 0)
    x = np.zeros_like(rhs) if start is None else start.copy()
    residual = rhs - operator(x) if start is not None else rhs.copy()
    conditioned = precondition(residual)
    squares = [inner(residual, conditioned)]
    if scale is None:
        first = squares[0] if start is None else inner(rhs, precondition(rhs))
        scale = np.sqrt(max(first, 0.0))
    direction = previous = conditioned
    history, gained, best = [], [], x
    progress = Progress()
    for iteration in range(max_iterations + 1):
        square = squares[-1]
        relative = np.sqrt(max(square, 0.0)) / scale
        history.append(relative)
        if inexact and relative <= min(history):
            best = x.copy()
        if stop is not None:
            reached = stop(squares)
        else:
            reached = relative <= tolerance or (error is not None and _error_left(gained) <= error)
        if reached:
            return Solution(x, True, iteration, history)
        if iteration == max_iterations:
            break
        if iteration:
            if inexact:
                square = square - inner(residual, previous)
            direction = conditioned + square / squares[-2] * direction
        image = operator(direction)
        curvature = inner(direction, image)
        if not curvature > 0 or not np.isfinite(curvature):
            return Solution(best if inexact else x, False, iteration, history, broken_down=True)
        step = squares[-1] / curvature
        gained.append(step * squares[-1])
        x += step * direction
        residual = residual - step * image  # not in place: it may be what `precondition` returned
        previous, conditioned = conditioned, precondition(residual)
        squares.append(inner(residual, conditioned))
        if progress.due():
            log.info("Conjugate gradients: iteration %d, residual %.2e", iteration + 1, relative)
    return Solution(best if inexact else x, False, max_iterations, history)


def _error_left(gained):
    """Squared error that is left, from what each iteration took off it."""
    if len(gained) < _DELAY:
        return np.inf
    return _MARGIN * sum(gained[-max(_DELAY, len(gained) // 3) :])
