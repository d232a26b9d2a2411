"""Offsets, rolls, factors, levels and widths of PSFs, fitted together with the scene."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from jwst_fusion.fusion.solver.psf_modes import WIDTHS, mode
from jwst_fusion.fusion.solver.reactions import told_covariance

__all__ = ["Elimination", "Parameter"]

# By which squared errors of reactions exceed what the preconditioner makes of their residuals.
_UNSEEN = 2.0
_ROUNDS = 4  # of solves for the reactions at most
_INDEPENDENT = 1e-6  # of the largest eigenvalue: combinations below depend on the others
_BLOCK = 65536  # values at once in single precision
_MEMORY = 2.5e8  # bytes of the reactions that are found together; the solve takes ten times that
# Standard deviations, as if the scene were known, that stand for no prior at all: parameters that
# no data tell apart stay where they are.
_FREE = 1e4


@dataclass(frozen=True)
class Parameter:
    """
    A parameter that is not part of the scene.

    Attributes
    ----------
    kind : {"x", "y", "roll", "gain", "level", "mean", "xx", "yy", "xy"}
        Offset of the pixels in fine pixels; rotation of the pixels about the middle of the product,
        from columns to rows, degree; relative change of the brightness; brightness that is added,
        MJy/sr; relative change of the mean spectrum alone; variances and covariance of the Gaussian
        that widens a PSF, fine pixels squared.
    places : tuple of tuple of int
        Sets of pixels, and exposure or image in each (None: all of the set), that it changes. Empty
        for the width that all PSFs share.
    width : float, optional
        Standard deviation of its prior about zero; no prior by default.
    least : float, optional
        Smallest value.
    floor : float, optional
        Standard deviation that the model itself leaves, whatever the noise.
    """

    kind: str
    places: tuple
    width: float = np.inf
    least: float = -np.inf
    floor: float = 0.0

    @property
    def spectral(self):
        """Whether it changes the mean spectrum of the scene."""
        everywhere = bool(self.places) and self.places[0][1] is None
        return everywhere and self.kind in ("level", "mean")


class Elimination:
    r"""
    How the scene follows parameters of exposures and images, and steps of Gauss-Newton for these.

    Parameters
    ----------
    problem : SceneProblem
        The problem at the present parameters.
    groups : array (group, 1, k)
        Its solution.
    parameters : list of Parameter
        What is to be fitted.
    middle : tuple of float
        Column and row about which exposures and images roll.
    precision : float
        Part of the information on any combination of parameters by which it may come out too large:
        errors are too small by half of that, and steps are repeated anyway.

    Attributes
    ----------
    covariance : array (n, n)
        Covariance of the parameters, the scene unknown as well.
    errors : array (n,)
        Their standard deviations.
    own : array (m, m)
        Covariance of those that do not change the mean spectrum of the scene.
    alike : bool array (m,)
        Which of these are widths that all PSFs share, and move point sources alone.

    Notes
    -----
    With the derivatives J of the pixels by the parameters and the normal matrix Q of the scene,
    prior included, the scene is eliminated:

    .. math:: S = J^T W J - J^T W A Q^{-1} A^T W J, \quad
              \delta = S^{-1} (J^T W r - J^T W A Q^{-1} g)

    where g is what the scene's own equations leave, if they are not solved exactly. S is the
    inverse of the covariance. It takes a linear solve for all parameters; several steps share it.

    A Gaussian that widens all PSFs alike can hardly be told from a scene that is smoother than it
    seems. As in `~jwst_fusion.fusion.solver.psf_fit.fit_psf`, such a width moves the point sources
    alone, and the diffuse scene stays as it is seen. The width of one set of pixels moves all that
    it sees; from its gradient the penalty of the diffuse scene is taken as far as these pixels
    determine the scene, which is the gradient of the determinant in the evidence.
    """

    def __init__(self, problem, groups, parameters, middle, *, precision):
        self.parameters, self.middle = list(parameters), middle
        weights = [one.weights for one in problem.data]
        derivatives = self._derivatives(problem, groups)
        columns, right, own = [], [], []
        for one, pieces in zip(self.parameters, derivatives, strict=True):
            if one.places:
                column = [(d, part, values * weights[d][part]) for d, part, values in pieces]
                right.append(_spread(problem, column))
                own.append(_overlap(column, pieces))
            else:
                column = pieces  # the halo of the sources
                right.append(problem.mu * problem.prior.sources.apply(pieces))
                own.append(problem.inner(pieces, right[-1]))
            columns.append(column)
        free = np.array([_FREE / np.sqrt(max(one, np.finfo(float).tiny)) for one in own])
        self._width = np.minimum([one.width for one in self.parameters], free)
        size = len(self.parameters)
        matrix = np.zeros((size, size))
        for i, (one, column) in enumerate(zip(self.parameters, columns, strict=True)):
            for j, (other, pieces) in enumerate(zip(self.parameters, derivatives, strict=True)):
                if one.places and other.places:
                    matrix[i, j] = _overlap(column, pieces)
                elif not one.places and not other.places:
                    matrix[i, j] = problem.inner(column, right[j])
        # The scene loses what the pixels gain, but gives the sources what their halo takes.
        signs = np.array([1.0 if one.places else -1.0 for one in self.parameters])
        self._reactions, shared = _react(
            problem, right, signs[:, None] * matrix * signs, self._width, precision
        )
        matrix -= signs[:, None] * shared * signs
        self.covariance, self._told = told_covariance((matrix + matrix.T) / 2, self._width)
        self.covariance = self.covariance + np.diag([one.floor**2 for one in self.parameters])
        self.errors = np.sqrt(np.diag(self.covariance))
        self.spectral = np.array([one.spectral for one in self.parameters])
        self.alike = np.array([not one.places for one in self.parameters])[~self.spectral]
        self.own = self.covariance[np.ix_(~self.spectral, ~self.spectral)]
        # The mean spectrum follows these as they let it.
        beside = self.covariance[np.ix_(~self.spectral, self.spectral)]
        unit = np.sqrt(np.diag(self.own))[:, None]
        self._follows = np.linalg.lstsq(self.own / unit / unit.T, beside / unit)[0] / unit

    def folded(self, changes):
        """
        Let the mean spectrum of the scene follow the other parameters.

        What it varies by on its own is a part of the scene and of its errors.

        Parameters
        ----------
        changes : array (n, ...)
            Derivatives of something by each parameter.

        Returns
        -------
        array (m, ...)
            Derivatives by those whose covariance is `own`.
        """
        more = np.tensordot(self._follows.astype(changes.dtype), changes[self.spectral], 1)
        return changes[~self.spectral] + more

    def step(self, problem, groups, values):
        """
        Next step of Gauss-Newton.

        Parameters
        ----------
        problem : SceneProblem
            The problem at the present parameters.
        groups : array (group, 1, k)
            Its solution.
        values : array (n,)
            The present parameters, for their priors.

        Returns
        -------
        array (n,)
            Change of each parameter.
        """
        weights = [one.weights for one in problem.data]
        residuals = problem.residuals(groups)
        left = problem.rhs() - problem.normal(groups)
        penalty = _penalty(problem, groups)
        energy = None
        pulls = np.empty(len(self.parameters))
        derivatives = self._derivatives(problem, groups)
        for i, (one, pieces) in enumerate(zip(self.parameters, derivatives, strict=True)):
            settled = problem.inner(self._reactions[i], left)
            if not one.places:
                pulls[i] = problem.inner(pieces, penalty) + settled
                continue
            pulls[i] = -settled
            for d, part, derivative in pieces:
                pulls[i] += np.sum(derivative * weights[d][part] * residuals[d][part], dtype=float)
            if one.kind in WIDTHS:
                if energy is None:
                    energy = _determined(problem, groups, penalty)
                pulls[i] -= energy[one.places[0][0]] @ _mode(problem.grid, one.kind).ravel()
        step = self._told @ (pulls - values / self._width**2)
        largest = np.array([one.width for one in self.parameters])
        step = np.clip(step, -largest, largest)
        return np.maximum(step, np.array([one.least for one in self.parameters]) - values)

    def moved(self, problem, groups, step):
        """
        Scene after a step, to begin the next solve with.

        Parameters
        ----------
        problem : SceneProblem
            The problem before the step.
        groups : array (group, 1, k)
            Its solution.
        step : array (n,)
            Change of each parameter.

        Returns
        -------
        array (group, 1, k)
            Component groups.
        """
        result = groups.copy()
        # The scene behind a wider PSF is sharper.
        for change, slope in zip(step, self.changes(problem, groups), strict=True):
            result += change * slope
        return result

    def changes(self, problem, groups):
        """
        How the scene follows the parameters, one at a time.

        Parameters
        ----------
        problem : SceneProblem
            The problem.
        groups : array (group, 1, k)
            Its solution.

        Yields
        ------
        array (group, 1, k)
            Derivative of the component groups by each parameter, once they have settled.
        """
        for one, reaction in zip(self.parameters, self._reactions, strict=True):
            if one.places:
                yield -reaction
            else:
                yield reaction - groups * _mode(problem.grid, one.kind)

    def amplitudes(self, problem, groups):
        """
        How amplitudes of the point sources follow the parameters.

        Parameters
        ----------
        problem : SceneProblem
            The problem, with sources.
        groups : array (group, 1, k)
            Its solution.

        Returns
        -------
        array (m, J, k)
            Derivatives of the amplitudes by the parameters whose covariance is `own`.
        """
        sources, found = problem.prior.sources, []
        for one, reaction in zip(self.parameters, self._reactions, strict=True):
            if one.places:
                found.append(-sources.amplitudes(reaction))
            else:
                points = groups - sources.diffuse(groups)
                halo = points * _mode(problem.grid, one.kind)
                found.append(sources.amplitudes(reaction - halo))
        return self.folded(np.array(found))

    def _derivatives(self, problem, groups):
        """Derivatives by each parameter: pieces (data, slice, values) of the pixels, or halos."""
        grid, known, found = problem.grid, {}, []
        slopes = {
            "x": 2j * np.pi * np.fft.rfftfreq(grid.columns)[None, :],
            "y": 2j * np.pi * np.fft.fftfreq(grid.rows)[:, None],
        }
        # The highest frequency of an even number of samples has no derivative.
        slopes["x"][:, -1], slopes["y"][grid.rows // 2] = 0, 0

        def seen(d, kind):
            if (d, kind) not in known:
                operator = problem.data[d].operator
                if kind == "gain":
                    values = operator.forward(groups) + operator.mean(problem.spectra)
                elif kind == "mean":
                    values = operator.mean(problem.spectra).astype(np.float32)
                elif kind == "level":
                    values = np.ones(operator.size, np.float32)
                elif kind in slopes:
                    slope = np.broadcast_to(slopes[kind], (grid.rows, grid.half))
                    values = operator.forward(groups, slope.astype(np.complex64))
                else:
                    factors = _mode(grid, kind).reshape(grid.rows, grid.half)
                    values = operator.forward(groups, factors.astype(np.float32))
                known[d, kind] = values
            return known[d, kind]

        for one in self.parameters:
            if not one.places:
                sources = problem.prior.sources
                points = groups - sources.diffuse(groups)
                found.append(points * _mode(grid, one.kind))
                continue
            pieces = []
            for d, index in one.places:
                data = problem.data[d]
                part = slice(0, data.operator.size)
                if index is not None:
                    part = data.operator.parts[index]
                if one.kind == "roll":
                    across = (data.x[part] - self.middle[0]) * seen(d, "y")[part]
                    values = across - (data.y[part] - self.middle[1]) * seen(d, "x")[part]
                    values = np.radians(values)
                else:
                    values = seen(d, one.kind)[part]
                pieces.append((d, part, values))
            found.append(pieces)
        return found


def _mode(grid, name):
    """Mode of a width in groups (group, 1, 1)."""
    return mode(grid.shape, name)[:, : grid.half].reshape(-1, 1, 1)


def _spread(problem, pieces):
    """Adjoint of pieces of pixels, component groups."""
    total = 0.0
    for d in sorted({one[0] for one in pieces}):
        operator = problem.data[d].operator
        values = np.zeros(operator.size, np.float32)
        for other, part, piece in pieces:
            if other == d:
                values[part] = piece
        total = total + operator.adjoint(values)
    return total


def _overlap(first, second):
    """Inner product of pieces of pixels."""
    total = 0.0
    for d, part, values in first:
        for other, beside, piece in second:
            low, high = max(part.start, beside.start), min(part.stop, beside.stop)
            if d == other and low < high:
                left = values[low - part.start : high - part.start]
                right = piece[low - beside.start : high - beside.start]
                total += float(np.sum(left * right, dtype=float))
    return total


def _react(problem, right, known, width, precision):
    r"""Reactions of the scene to all parameters, exact enough for the information on them.

    Parameters
    ----------
    problem : SceneProblem
        The problem.
    right : list of array (group, 1, k)
        What each parameter changes, b; emptied on the way.
    known : array (n, n)
        Information on the parameters if the scene were known.
    width : array (n,)
        Standard deviations of their priors.
    precision : float
        As of `Elimination`.

    Returns
    -------
    reactions : array (n, group, 1, k)
        :math:`Q^{-1} b`, single precision.
    shared : array (n, n)
        The information that the scene takes, :math:`b^T Q^{-1} b`.

    Notes
    -----
    Those of a block of parameters, of all if memory allows, are found together in the space that
    the preconditioned residuals of the block span (Galerkin; O'Leary 1980, Linear Algebra and its
    Applications 29, 293, but without a recursion, as two or three rounds suffice). The information
    is too large by the squared errors, in the norm of Q; so it is between two blocks, with
    :math:`x_i^T b_j + b_i^T x_j - x_i^T Q x_j` for reactions x.
    """
    root = np.sqrt(problem.grid.multiplicity)[:, None, None]
    shape, count = right[0].shape, len(right)
    # What no pixel tells changes nothing, and the scene does not react to it.
    told = np.diag(known) > np.finfo(np.float32).tiny
    scale = np.where(told, 1 / np.sqrt(np.where(told, np.diag(known), 1.0)), 0.0)
    back = np.where(told, np.sqrt(np.where(told, np.diag(known), 1.0)), 0.0)

    def flat(groups):  # so that products of rows are inner products
        return np.ravel(root * groups).astype(np.complex64).view(np.float32)

    def groups_of(row):
        return row.view(np.complex64).reshape(shape) / root

    first = known * np.outer(scale, scale) + np.diag((scale / width) ** 2)
    rhs = np.empty((count, 2 * int(np.prod(shape))), np.float32)
    for index in range(count):
        rhs[index] = flat(right[index]) * scale[index]
        right[index] = None
    size = max(1, int(_MEMORY / rhs[0].nbytes))
    found, left, shared = np.empty_like(rhs), None, np.zeros(known.shape)
    if count > size:
        left = np.empty_like(rhs)
    for low in range(0, count, size):
        part = slice(low, low + size)
        found[part], rest, shared[part, part] = _reacted(
            problem, rhs[part], first[part, part], precision, flat, groups_of
        )
        if left is not None:
            left[part] = rest
    if left is not None:
        # Of pairs of blocks: the residual of each is left over b.
        between = _products(found, rhs)
        between = between + _products(left, found)
        block = np.arange(count) // size
        shared = np.where(block[:, None] == block, shared, (between + between.T) / 2)
    found *= back[:, None].astype(np.float32)
    reactions = np.empty((count, *shape), np.complex64)
    for index, row in enumerate(found):
        reactions[index] = groups_of(row)
    return reactions, shared * np.outer(back, back)


def _reacted(problem, rhs, first, precision, flat, groups_of):
    """Reactions (n, m) to a block of parameters, what is left of `rhs`, and shared information."""
    precondition = problem.preconditioner()
    left, shared = rhs, np.zeros(first.shape)
    space = images = np.zeros((0, rhs.shape[1]), np.float32)
    matrix = np.zeros((0, 0))
    for number in range(_ROUNDS):
        trial = np.array([flat(precondition(groups_of(one))) for one in left])
        if number:
            # About the squared errors, as the preconditioner is nearly the inverse.
            chosen = _prominent(_UNSEEN * _products(left, trial), first - shared, precision)
            if not chosen.shape[1]:
                break
            trial = chosen.T.astype(np.float32) @ trial
        image = np.array([flat(problem.normal(groups_of(one))) for one in trial])
        beside = _products(space, image)
        matrix = np.block([[matrix, beside], [beside.T, _products(trial, image)]])
        space, images = np.concatenate([space, trial]), np.concatenate([images, image])
        target = _products(space, rhs)
        size = np.diag(matrix)
        size = np.where(size > 0, 1 / np.sqrt(np.where(size > 0, size, 1.0)), 0.0)
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2 * np.outer(size, size))
        kept = values > _INDEPENDENT * values[-1]
        vectors = size[:, None] * vectors[:, kept] / np.sqrt(values[kept])
        share = vectors @ (vectors.T @ target)
        left = rhs - share.T.astype(np.float32) @ images
        shared = target.T @ share
    return share.T.astype(np.float32) @ space, left, shared


def _products(first, second):
    """Inner products of the rows of two arrays, summed up in double precision."""
    parts = np.arange(0, first.shape[1] + _BLOCK, _BLOCK)
    return sum((first[:, a:b] @ second[:, a:b].T).astype(float) for a, b in pairwise(parts))


def _prominent(part, whole, least):
    """Combinations (n, m) of parameters for which a quadratic form is a large part of another."""
    values, vectors = np.linalg.eigh((whole + whole.T) / 2)
    vectors = vectors / np.sqrt(np.maximum(values, np.finfo(float).eps * values[-1]))
    ratio, turned = np.linalg.eigh(vectors.T @ (part + part.T) @ vectors / 2)
    return vectors @ turned[:, ratio > least]


def _penalty(problem, groups):
    """Gradient of half the penalty of the diffuse scene."""
    sources = problem.prior.sources
    if sources is None:
        return problem.mu * problem.prior.apply(groups)
    return problem.mu * sources.base.apply(sources.diffuse(groups))


def _determined(problem, groups, penalty):
    """Penalty (group,) of the diffuse scene that each set of pixels has determined."""
    grams = problem.grams()
    covariance = problem.covariance(grams)
    shares = np.array([np.einsum("gdab,gdba->gda", covariance, one).real for one in grams])
    shares = np.maximum(shares, 0)
    shares /= np.maximum(shares.sum(0), np.finfo(float).tiny)
    sources = problem.prior.sources
    diffuse = groups if sources is None else sources.diffuse(groups)
    energy = (diffuse.conj() * penalty).real * problem.grid.multiplicity[:, None, None]
    return np.sum(energy * shares, axis=(2, 3))
