"""Offsets of exposures on the sky, fitted together with the scene."""

import numpy as np

from jwst_fusion.numerics.conjugate_gradients import conjugate_gradients

__all__ = ["offset_step"]

_TOLERANCE = 1e-2  # of the solves that say how the scene follows an offset; enters the step squared
_ITERATIONS = 8
_RIDGE = 1e-9  # relative: two offsets that no data tell apart stay where they are


def offset_step(problem, groups, free):
    r"""
    One step of Gauss-Newton for the offsets of exposures.

    Parameters
    ----------
    problem : SceneProblem
        The problem at the present positions.
    groups : array (group, 1, k)
        Its solution.
    free : list of tuple of int
        The exposures to move: index of the set of pixels, and of the exposure in it.

    Returns
    -------
    step : array (n, 2)
        By how much the pixels of each are to be moved in x and y, fine pixels.
    covariance : array (2 n, 2 n)
        Covariance of the offsets, the scene unknown as well; x before y for each exposure.

    Notes
    -----
    With the derivatives J of the pixels by the offsets, which differ from zero in one exposure
    each, and the normal matrix N of the scene, prior included, the scene is eliminated:

    .. math:: S = J^T W J - J^T W A N^{-1} A^T W J, \quad \delta = S^{-1} J^T W r

    S is the inverse of the covariance. It takes two linear solves for each exposure.
    """
    grid = problem.grid
    slopes = (
        2j * np.pi * np.fft.rfftfreq(grid.columns)[None, :],
        2j * np.pi * np.fft.fftfreq(grid.rows)[:, None],
    )
    # The highest frequency of an even number of samples has no derivative.
    slopes[0][:, -1], slopes[1][grid.rows // 2] = 0, 0
    residuals = problem.residuals(groups)
    precondition = problem.preconditioner()
    columns, spread, gradient = [], [], []
    for index in sorted({one for one, _ in free}):
        data = problem.data[index]
        weights = data.weights
        for slope_number, slope in enumerate(slopes):
            slope = np.broadcast_to(slope, (grid.rows, grid.half)).astype(np.complex64)
            derivative = data.operator.forward(groups, slope)
            for number, (owner, part_number) in enumerate(free):
                if owner != index:
                    continue
                part = data.operator.parts[part_number]
                column = np.zeros_like(derivative)
                column[part] = derivative[part] * weights[part]
                columns.append((2 * number + slope_number, index, part, derivative[part]))
                spread.append(data.operator.adjoint(column))
                gradient.append(np.dot(column[part].astype(float), residuals[index][part]))
    options = {"tolerance": _TOLERANCE, "max_iterations": _ITERATIONS}
    solved = [
        conjugate_gradients(problem.normal, rhs, precondition, problem.inner, **options).solution
        for rhs in spread
    ]
    size = 2 * len(free)
    matrix, vector = np.zeros((size, size)), np.zeros(size)
    for (i, index, part, first), value, rhs in zip(columns, gradient, spread, strict=True):
        vector[i] = value
        weights = problem.data[index].weights[part]
        for (j, other, elsewhere, second), answer in zip(columns, solved, strict=True):
            if other == index and elsewhere == part:
                matrix[i, j] += np.dot((first * weights).astype(float), second)
            matrix[i, j] -= problem.inner(rhs, answer)
    matrix = (matrix + matrix.T) / 2
    matrix += _RIDGE * np.trace(matrix) / size * np.eye(size)
    covariance = np.linalg.inv(matrix)
    return (covariance @ vector).reshape(-1, 2), covariance
