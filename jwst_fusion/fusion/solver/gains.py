"""Fit calibration gains of the images together with the scene."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from jwst_fusion.fusion.solver.reactions import settled_reaction
from jwst_fusion.messages import warn

__all__ = ["Gains", "fit_gains"]

log = logging.getLogger(__name__)

_PRECISION = 0.01  # of the information on a gain that the solve for its column leaves, or twice it
_SCENE = 0.5  # part of what an image tells that is needed for the scene, at first
_UNSEEN = 40  # by which errors exceed residuals, at most, where data are weighted unevenly
_STEPS = 16  # at most, each with one solve; as the problem is nearly linear, few are needed
# Widths of the prior that gains of sound data do not reach; without an earlier calibration a factor
# of two, if that is more. With good images beside a noisy cube the fit may be off by more, with an
# error that does not say so: the calibration by means is nearer then.
_FAR = 4
_FLOOR = 5e-4  # relative error that PSFs and responses leave, whatever the noise


@dataclass
class Gains:
    """Factors on the responses of the images.

    Attributes
    ----------
    values : ndarray (F,)
        By how much each image is brighter than its response says.
    errors : ndarray (F,)
        Their 1-sigma errors; 0 if the gains were not fitted.
    reactions : ndarray (F, group, d * d, k), optional
        What the scene would change with each gain, from which the next fit starts.
    """

    values: np.ndarray
    errors: np.ndarray
    reactions: np.ndarray | None = None

    @classmethod
    def fixed(cls, count):
        """Gains that are not fitted.

        Parameters
        ----------
        count : int
            Number of images, F.

        Returns
        -------
        Gains
            Gains of one, with errors of zero.
        """
        return cls(np.ones(count), np.zeros(count))


def fit_gains(problem, tuned, gains, settings, *, scales, tolerance):
    r"""Fit the gains together with the scene, at fixed hyperparameters.

    Parameters
    ----------
    problem : LowRankProblem
        Problem whose responses contain the gains.
    tuned : Tuning
        Its hyperparameters and solution.
    gains : Gains
        Gains so far.
    settings : FusionSettings
        Options.
    scales : tuple of float
        Factors on the inverse variances of images and cube.
    tolerance : float
        Accuracy of the solution in posterior standard deviations.

    Returns
    -------
    problem : LowRankProblem
        The problem with the responses that belong to the gains.
    tuned : Tuning
        Its solution, with `scales`.
    gains : Gains
        Gains, with errors that hold the uncertainty of the scene. Those that run away, as of images
        that do not show the scene, stay at a limit; if one contradicts an earlier calibration,
        all stay as they were. Either is logged.

    Notes
    -----
    With gain changes :math:`\delta`, columns :math:`C = \mathrm{diag}(\hat y_1 \dots \hat y_F)` of
    the images that the solution predicts, data weights W, the normal matrix Q of the scene and the
    width p of the prior, elimination of the scene leaves the Schur complement

    .. math:: (C^T W C - C^T W A Q^{-1} A^T W C + p^{-2}) \delta
        = C^T W (y - \hat y) - U^T r - \nu - p^{-2} (g - 1), \qquad g \leftarrow g (1 + \delta)

    where :math:`U = Q^{-1} A^T W C` costs one linear solve per image, and the residual r of the
    normal equations makes up for a solution that is not exact. The inverse of the matrix is the
    covariance of the gains; as the problem is nearly linear, one matrix serves for all steps.

    :math:`\nu_f = \mathrm{tr}(Q^{-1} A_f^T W_f A_f)`, the number of coefficients that image f
    determines, is the gradient of :math:`\ln |Q| / 2`: the gains are those of maximum evidence.
    Without it the prior, which likes small maps, would raise all gains where the cube is noisy.
    The spectra of the subspace come from the same cube: no gain is known better than the brightness
    of the scene in the cube through this filter, whose variance is added.

    The solves for U may be rough: what conjugate gradients have not reached yet, in the squared
    norm of the operator, is what the diagonal of the matrix has too much. They are continued until
    that is one or two per cent of it, or more where the error that PSFs leave is larger. That error
    is estimated from the progress of the iteration, since the residual, in the norm of the
    preconditioner, is much smaller where data are weighted unevenly: for images that are noisier
    than the others, fifteen times and more.
    """
    tuned = replace(tuned, scale_image=scales[0], scale_cube=scales[1])
    reactions, matrix = _eliminate(problem, tuned, settings, gains.reactions)
    determined = _determined(problem, tuned)
    width = _width(problem.data, settings)
    precision = width**-2
    began = problem, tuned, gains
    # The inverse of the matrix, and with it the information, has the variance of the spectra added.
    dilution = np.linalg.inv(np.eye(len(matrix)) + matrix * _spectral_variance(problem, tuned))
    information = dilution @ matrix
    covariance = np.linalg.inv((information + information.T) / 2 + np.diag(precision))
    errors = np.hypot(np.sqrt(np.diag(covariance)), _FLOOR)
    values = gains.values
    told = np.isfinite(problem.data.response_error)
    far = np.where(told, _FAR * width, np.maximum(np.log(2), _FAR * width))
    for _ in range(_STEPS):
        target = dilution @ (_target(problem, tuned, reactions) - determined)
        target -= precision * (values - 1)
        change = np.maximum(covariance @ target, -0.5)
        bounded = np.clip(values * (1 + change), np.exp(-far), np.exp(far))
        values, change = bounded, bounded / values - 1
        response = problem.data.response * (1 + change)[:, None]
        data = replace(problem.data, response=response)
        problem = problem.posed_again(data, problem.subspace, settings)
        start = tuned.solution.solution - np.einsum("f,f...->...", change, reactions)
        solution = problem.system.solve(
            tuned.mu,
            *scales,
            start=start,
            tolerance=tolerance,
            max_iterations=settings.max_iterations,
        )
        tuned = replace(tuned, solution=solution)
        if np.all(np.abs(change) < 0.3 * errors):
            break
    else:
        warn(log, "The gains still change by more than their errors after %d steps", _STEPS)
    stuck = np.abs(np.log(values)) > 0.999 * far
    if np.any(stuck & told):
        # Scene, noise scales and gains have run away together.
        warn(
            log,
            "The gains of %d of %d images, fitted with the scene, contradict their calibration by "
            "means, which is kept. PSFs, backgrounds or errors of the images do not fit",
            np.sum(stuck & told),
            len(values),
            kind="gains_contradict",
        )
        problem, tuned, gains = began
        return problem, tuned, replace(gains, errors=width * gains.values)
    if np.any(stuck):
        warn(
            log,
            "The gains of %d of %d images cannot be fitted and stay at a limit. Look for images of "
            "something else, outliers, saturated stars and backgrounds that are not in all data",
            np.sum(stuck),
            len(values),
        )
    log.info("Gains of the images %s", np.array2string(values, precision=4))
    return problem, tuned, Gains(values, values * errors, reactions)


def _width(data, settings):
    """Width (F,) of the prior of each gain."""
    told = np.where(np.isfinite(data.response_error), data.response_error, np.inf)
    return np.minimum(told, settings.gain_prior)


def _columns(problem, tuned):
    """Weights of the pixels, predicted whitened images, and residuals, each (F, Y, X)."""
    system, data = problem.system, problem.data
    seen = system.grid.synthesise(system.imager.forward_groups(tuned.solution.solution))
    valid = problem.subspace.valid
    level = data.response[:, valid] @ problem.subspace.mean[valid] / data.image_sigma
    weight = tuned.scale_image * system.image_weight
    columns = np.where(weight > 0, seen + level[:, None, None], 0.0)
    return weight, columns, np.where(weight > 0, system.images - seen, 0.0)


def _eliminate(problem, tuned, settings, earlier=None):
    """Reactions (F, group, d * d, k) of the scene to each gain, and the matrix (F, F) left."""
    weight, columns, _ = _columns(problem, tuned)
    count = len(columns)
    matrix, reactions = np.zeros((count, count)), []
    for f in range(count):
        start = None if earlier is None else earlier[f]
        reaction, matrix[f] = _react(problem, tuned, settings, weight, columns, f, start)
        reactions.append(reaction)
    return np.array(reactions), (matrix + matrix.T) / 2


def _react(problem, tuned, settings, weight, columns, f, reaction):
    """Reaction (group, d * d, k) of the scene to one gain, and its row of the matrix left."""
    system = problem.system
    one = np.zeros_like(columns)
    one[f] = weight[f] * columns[f]
    rhs = system.imager.adjoint_groups(system.grid.analyse(one))
    own = np.sum(one[f] * columns[f])

    def solve(**accuracy):
        return system.solve(
            tuned.mu,
            tuned.scale_image,
            tuned.scale_cube,
            rhs=rhs,
            max_iterations=settings.max_iterations,
            **accuracy,
        )

    reaction = settled_reaction(
        solve,
        lambda reaction: max(own - system.inner(rhs, reaction), 0.0),
        _enough,
        first=own * (1 - _SCENE),
        unseen=_UNSEEN,
        norm=system.norm,
        start=reaction,
    )
    follows = system.grid.synthesise(system.imager.forward_groups(reaction))
    row = -np.sum(weight * columns * follows, axis=(1, 2))
    row[f] += own
    return reaction, row


def _enough(information):
    """Squared error of a reaction that does no harm to a gain of so much information."""
    return _PRECISION * information * (1 + information * _FLOOR**2)


def _target(problem, tuned, reactions):
    """Gradient (F,) with respect to the gains once the scene has settled."""
    system, groups = problem.system, tuned.solution.solution
    weight, columns, residual = _columns(problem, tuned)
    rhs = tuned.scale_image * system.rhs_image + tuned.scale_cube * system.rhs_cube
    left = rhs - system.apply(groups, tuned.scale_image, tuned.scale_cube, tuned.mu)
    settled = np.array([system.inner(reaction, left) for reaction in reactions])
    return np.sum(weight * columns * residual, axis=(1, 2)) - settled


def _determined(problem, tuned):
    """Number (F,) of coefficients of the scene that each image determines."""
    system, local = problem.system, problem.local
    transfer = system.imager.transfer
    band = np.zeros(transfer.shape[:3])
    for alike, inside in system.image_bands:
        band[..., alike] = inside[..., None]
    count = np.zeros(system.filters)
    nodes = local.weights((tuned.scale_image, tuned.scale_cube), tuned.mu)
    for given, fraction in zip(nodes, local.fractions, strict=True):
        for part, share, covariance in system.blocks.covariances(*given):
            seen = transfer[part]
            known = np.einsum("gdfa,gdab,gdfb->gdf", seen, covariance, seen.conj(), optimize=True)
            found = np.einsum("g,gdf,gdf->f", share, band[part], known.real)
            count += fraction * given[0] * found
    return count


def _spectral_variance(problem, tuned):
    """Relative variance (F,) of what the cube tells of the brightness in each filter."""
    data, valid = problem.data, problem.subspace.valid
    response = data.response[:, valid]
    model = problem.cube_of(tuned.solution.solution)[valid]
    seen = np.tensordot(response, model, axes=1)
    signal = tuned.scale_cube * np.sum(data.spaxel_weight * seen**2, axis=(1, 2))
    noise = np.sum((response * data.cube_sigma[valid]) ** 2, axis=1)
    return np.minimum(noise / np.maximum(signal, np.finfo(float).tiny), 1e6)
