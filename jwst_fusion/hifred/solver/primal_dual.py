"""Preconditioned primal-dual method for counts with sparse starlets and no negative values."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np

from jwst_fusion.numerics.progress import Progress

__all__ = ["PrimalDual", "PrimalDualResult"]

log = logging.getLogger(__name__)

_RELAXATION = 1.8  # takes a tenth fewer iterations than 1; converges for all values below 2
_CHECK = 10  # iterations from one gap to the next


@dataclass(frozen=True)
class PrimalDualResult:
    r"""
    Solution, or where the iteration stands.

    Attributes
    ----------
    cube : ndarray (L, M * N) of float32
        Source.
    converged : bool
        Whether the tolerance was reached.
    iterations : int
        Number of iterations.
    value : float
        Objective.
    accuracy : float
        Gap divided by the size of the objective as the counts define it, the absolute value of
        :math:`\sum m - d \ln m` plus the penalty; with a denoiser, relative change.
    history : list of tuple
        Objective, gap and CPU seconds at every check.
    """

    cube: np.ndarray
    converged: bool
    iterations: int
    value: float
    accuracy: float
    history: list


class PrimalDual:
    r"""
    Minimiser of :math:`\sum_X L(X | K_X Z) + \sum_b \| \lambda_b W_b Z \|_1` over :math:`Z \geq 0`.

    Parameters
    ----------
    likelihoods : list of Poisson or Gaussian
        Data of the instruments.
    responses : list of Response
        Their responses.
    scale : ndarray (L, M * N)
        Typical size D of the source, positive; it sets the steps, not the solution.
    sparse : SparseDual or None
        Transform with its thresholds; None for no penalty.
    bound : ndarray (L, M * N), optional
        Sizes that the source may have at least, for the gap; D by default.
    reference : ndarray (L, M * N), optional
        Source R whose difference is transformed: the penalty is of W (Z - R).
    nonnegative : bool
        Whether the source must not be negative.
    denoiser : callable, optional
        Prior by a denoiser of cubes (L, M, N), before the projection onto positive values.
    balance : float
        Factor of primal steps, and divisor of dual ones.

    Notes
    -----
    Chambolle & Pock (2011) with the diagonal preconditioners of Pock & Chambolle (2011) in the
    variables Z / D: :math:`\tau = D / (K^T 1 + \sum_b \alpha |W_b|^T 1)` and
    :math:`\sigma = 1 / (K D)`, for the transform :math:`\alpha / (|W_b| D)`. A step in the data's
    dual variable is exact for the Poisson likelihood,
    :math:`u = (v + 1 - \sqrt{(v - 1)^2 + 4 \sigma d}) / 2`.

    The gap is that of the problem with an upper bound of twice the largest of Z and `bound` at
    each voxel, for which every dual point is feasible; its minimum is the same as long as the
    bound is not reached.
    """

    def __init__(
        self,
        likelihoods,
        responses,
        scale,
        sparse=None,
        *,
        bound=None,
        reference=None,
        nonnegative=True,
        denoiser=None,
        balance=1.0,
    ):
        kind = np.float32
        self.likelihoods = [one.astype(kind) for one in likelihoods]
        self.responses = [one.astype(kind) for one in responses]
        self.scale = np.maximum(scale, 1e-6 * scale.mean()).astype(kind)
        self.sparse, self.nonnegative, self.denoiser = sparse, nonnegative, denoiser
        self.bound = self.scale if bound is None else bound.astype(kind)
        self.reference = None if reference is None else reference.astype(kind)
        load = 0.0
        self.steps, self.duals = [], []
        for response, likelihood in zip(self.responses, self.likelihoods, strict=True):
            positive = response.replace(terms=[t.absolute() for t in response.terms])
            ones = np.ones(likelihood.data.shape, kind)
            load = load + positive.adjoint_flat(ones)
            rows = positive.forward_flat(self.scale)
            self.steps.append(1.0 / balance / np.maximum(rows, 1e-12 * rows.max()))
            _, slope, _ = likelihood.local(response.forward_flat(self.scale))
            self.duals.append(slope.astype(kind))
        if sparse is not None:
            load = load + sparse.load
        self.tau = balance * self.scale / np.maximum(load, 1e-12 * load.max())

    def _primal(self, cube):
        if self.denoiser is not None:
            shape = self.responses[0].shape
            cube = np.asarray(self.denoiser(cube.reshape(shape)), np.float32)
            if cube.shape != shape or not np.isfinite(cube).all():
                msg = f"denoiser returned the shape {cube.shape}, or values that are not finite: "
                msg += f"expected a finite cube of the shape {shape}"
                raise ValueError(msg)
            cube = cube.reshape(shape[0], -1)
        return np.maximum(cube, 0.0) if self.nonnegative else cube

    def state(self):
        """Dual variables as arrays, for a checkpoint; those of starlets in half precision."""
        out = {f"dual_{k}": dual for k, dual in enumerate(self.duals)}
        if self.sparse is not None:
            flat = np.concatenate([v.ravel() for v in self.sparse.values])
            out["starlets"] = flat.astype(np.float16)
        return out

    def restore(self, state):
        """
        Take dual variables from a checkpoint.

        Parameters
        ----------
        state : dict of ndarray
            What `state` gave, of a problem of the same shape.

        Raises
        ------
        ValueError
            If shapes disagree.
        """
        sizes = [] if self.sparse is None else [v.size for v in self.sparse.values]
        fits = all(
            np.shape(state.get(f"dual_{k}")) == dual.shape for k, dual in enumerate(self.duals)
        )
        if not fits or np.size(state.get("starlets", ())) != sum(sizes):
            msg = "start is a fusion of data of another shape, or with other scales"
            raise ValueError(msg)
        self.duals = [np.array(state[f"dual_{k}"], np.float32) for k in range(len(self.duals))]
        place = 0
        for values in () if self.sparse is None else self.sparse.values:
            values[...] = state["starlets"][place : place + values.size].reshape(values.shape)
            place += values.size

    def rescale_penalty(self, factor):
        """
        Multiply the weight of the penalty; dual variables stay, clipped to their new limits.

        Parameters
        ----------
        factor : float
            The factor.
        """
        self.sparse.rescale(factor)

    def value(self, cube):
        """
        Objective at a source.

        Parameters
        ----------
        cube : ndarray (L, M * N)
            Source.

        Returns
        -------
        float
            Likelihoods as half deviances, plus the penalty.
        """
        pairs = zip(self.likelihoods, self.responses, strict=True)
        total = sum(one.value(response.forward_flat(cube)) for one, response in pairs)
        if self.sparse is not None:
            total += self.sparse.penalty(self._change(cube))
        return total

    def _back(self):
        """Adjoint of data and transform at the dual variables."""
        pairs = zip(self.responses, self.duals, strict=True)
        total = sum(response.adjoint_flat(dual) for response, dual in pairs)
        return total if self.sparse is None else total + self.sparse.back()

    def size(self, value):
        """
        Size of the objective, to which the gap is compared.

        Parameters
        ----------
        value : float
            Objective.

        Returns
        -------
        float
            Its absolute value without the constants that make it half a deviance; positive.
        """
        constant = sum(float(one.offset.sum(dtype=float)) for one in self.likelihoods)
        return max(abs(value - constant), 1e-300)

    def _change(self, cube):
        return cube if self.reference is None else cube - self.reference

    def _gap(self, cube, duals, gradient, back):
        value = self.value(cube)
        pairs = zip(self.likelihoods, duals, strict=True)
        dual = -sum(one.conjugate(dual) for one, dual in pairs)
        bound = 2.0 * np.maximum(np.abs(cube), self.bound)
        slack = np.minimum(gradient, 0.0) if self.nonnegative else -np.abs(gradient)
        dual += float(np.vdot(bound, slack))
        if self.sparse is not None and self.reference is not None:
            dual -= float(np.vdot(back, self.reference))
        return value, value - dual

    def run(
        self, cube, *, tolerance, max_iterations, history=None, what="Primal-dual", on_check=None
    ):
        """
        Iterate.

        Parameters
        ----------
        cube : ndarray (L, M * N)
            Start.
        tolerance : float
            Gap divided by the objective at which to stop; with a denoiser, relative change.
        max_iterations : int
            Largest number of iterations.
        history : list, optional
            History to continue.
        what : str
            For log lines.
        on_check : callable, optional
            Called with the `PrimalDualResult` at every check.

        Returns
        -------
        PrimalDualResult
            Where the iteration stood at its last check.
        """
        cube = np.ascontiguousarray(cube, dtype=np.float32)
        history = [] if history is None else history
        cpu, progress = time.process_time(), Progress()
        state = PrimalDualResult(cube, False, 0, np.nan, np.inf, history)
        ahead = cube
        relaxation = np.float32(_RELAXATION if self.denoiser is None else 1.0)
        relaxed = self._back()
        for count in range(1, max_iterations + 1):
            back = 0.0
            if self.sparse is not None:
                back = self.sparse.update(self._change(ahead), relaxation=relaxation)
            gradient, feasible = back, []
            pairs = zip(self.likelihoods, self.responses, self.steps, self.duals, strict=True)
            for one, response, step, dual in pairs:
                signal = response.forward_flat(ahead)
                signal *= step
                signal = one.dual_step(dual, step, signal)
                gradient = gradient + response.adjoint_flat(signal)
                dual *= 1 - relaxation
                dual += relaxation * signal
                feasible.append(signal)
            relaxed *= 1 - relaxation
            relaxed += relaxation * gradient
            new = self._primal(cube - self.tau * relaxed)
            if count % _CHECK == 0 or count == max_iterations:
                # the gradient belongs to the new dual variables: a point of the dual problem
                if self.denoiser is None:
                    value, gap = self._gap(new, feasible, gradient, back)
                    accuracy = gap / self.size(value)
                else:
                    value = self.value(new)
                    accuracy = float(np.linalg.norm(new - cube) / np.linalg.norm(new))
                    gap = accuracy
                history.append((value, gap, time.process_time() - cpu))
                state = PrimalDualResult(
                    new, accuracy <= tolerance, count, value, accuracy, history
                )
                log.debug("%s: %d, %.7g, accuracy %.3g", what, count, value, accuracy)
                if on_check is not None:
                    on_check(state)
                if state.converged:
                    break
                if progress.due():
                    log.info("%s: iteration %d, accuracy %.2g", what, count, accuracy)
            # where the dual variables look next, and the relaxed source
            ahead = 2.0 * new
            ahead -= cube
            cube = cube + relaxation * (new - cube)
        return state
