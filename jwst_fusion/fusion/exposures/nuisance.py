"""Offsets of exposures, factors and levels of images, fitted together with the scene."""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.numerics.conjugate_gradients import conjugate_gradients

__all__ = ["Parameter", "joint_step"]

_TOLERANCE = (
    1e-2  # of the solves that say how the scene follows a parameter; enters the step squared
)
_ITERATIONS = 8
_RIDGE = 1e-9  # relative: parameters that no data tell apart stay where they are


@dataclass(frozen=True)
class Parameter:
    """
    A parameter of one exposure or image that is not part of the scene.

    Attributes
    ----------
    data, part : int
        Index of the set of pixels, and of the exposure or image in it.
    kind : {"x", "y", "gain", "level"}
        Offset of the pixels in fine pixels, relative change of the brightness, or brightness that
        is added, MJy/sr.
    """

    data: int
    part: int
    kind: str


def joint_step(problem, groups, parameters):
    r"""
    One step of Gauss-Newton for parameters of exposures and images.

    Parameters
    ----------
    problem : SceneProblem
        The problem at the present parameters.
    groups : array (group, 1, k)
        Its solution.
    parameters : list of Parameter
        What is to be fitted.

    Returns
    -------
    step : array (n,)
        Change of each parameter.
    covariance : array (n, n)
        Their covariance, the scene unknown as well.

    Notes
    -----
    With the derivatives J of the pixels by the parameters, which differ from zero in one exposure
    or image each, and the normal matrix N of the scene, prior included, the scene is eliminated:

    .. math:: S = J^T W J - J^T W A N^{-1} A^T W J, \quad
              \delta = S^{-1} (J^T W r - J^T W A N^{-1} g)

    where g is what the scene's own equations leave, if they are not solved exactly. S is the
    inverse of the covariance. It takes a linear solve for each parameter.
    """
    residuals = problem.residuals(groups)
    weights = [one.weights for one in problem.data]
    derivatives = _derivatives(problem, groups, parameters)
    columns = []
    for parameter, derivative in zip(parameters, derivatives, strict=True):
        data = problem.data[parameter.data]
        part = data.operator.parts[parameter.part]
        column = np.zeros(data.operator.size, np.float32)
        column[part] = derivative * weights[parameter.data][part]
        columns.append((part, column[part].astype(float), data.operator.adjoint(column)))
    precondition = problem.preconditioner()
    options = {"tolerance": _TOLERANCE, "max_iterations": _ITERATIONS}
    solved = [
        conjugate_gradients(problem.normal, rhs, precondition, problem.inner, **options).solution
        for _, _, rhs in columns
    ]
    left = problem.rhs() - problem.normal(groups)
    size = len(parameters)
    matrix, vector = np.zeros((size, size)), np.zeros(size)
    for i, (one, (part, column, rhs)) in enumerate(zip(parameters, columns, strict=True)):
        vector[i] = column @ residuals[one.data][part] - problem.inner(solved[i], left)
        for j, other in enumerate(parameters):
            matrix[i, j] = -problem.inner(rhs, solved[j])
            if (one.data, one.part) == (other.data, other.part):
                matrix[i, j] += column @ derivatives[j]
    matrix = (matrix + matrix.T) / 2
    # Offsets, factors and levels have units of their own.
    unit = np.sqrt(np.maximum(np.diag(matrix), np.finfo(float).tiny))
    scaled = matrix / unit / unit[:, None] + _RIDGE * np.eye(size)
    covariance = np.linalg.inv(scaled) / unit / unit[:, None]
    return covariance @ vector, covariance


def _derivatives(problem, groups, parameters):
    """Derivatives of the pixels of its own part by each parameter."""
    grid, known, found = problem.grid, {}, []
    slopes = {
        "x": 2j * np.pi * np.fft.rfftfreq(grid.columns)[None, :],
        "y": 2j * np.pi * np.fft.fftfreq(grid.rows)[:, None],
    }
    # The highest frequency of an even number of samples has no derivative.
    slopes["x"][:, -1], slopes["y"][grid.rows // 2] = 0, 0
    for one in parameters:
        data = problem.data[one.data]
        key = one.data, one.kind
        if key not in known:
            if one.kind in slopes:
                slope = np.broadcast_to(slopes[one.kind], (grid.rows, grid.half))
                known[key] = data.operator.forward(groups, slope.astype(np.complex64))
            elif one.kind == "gain":
                known[key] = data.operator.forward(groups) + data.operator.mean(problem.spectra)
            else:
                known[key] = np.ones(data.operator.size)
        found.append(known[key][data.operator.parts[one.part]])
    return found
