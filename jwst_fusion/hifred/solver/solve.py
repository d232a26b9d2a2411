"""From prepared data to a solution: tuning, low-rank or full-cube solve, errors, checkpoints."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from jwst_fusion.hifred.solver.full_cube import FullCube, local_errors
from jwst_fusion.hifred.solver.low_rank_tuning import by_evidence, tune_low_rank
from jwst_fusion.hifred.solver.normalisation import (
    Normalisations,
    normalisations,
    sky_offsets,
)
from jwst_fusion.hifred.solver.posterior import LowRankPosterior, low_rank_errors
from jwst_fusion.hifred.solver.prepared import TRIAL_NATS, TRIAL_STEPS, PreparedData
from jwst_fusion.hifred.solver.subspace import SpectralSubspace

__all__ = ["ScaledSolution", "solve"]

log = logging.getLogger(__name__)

_STARTS_FROM = "low_rank_sobolev"  # regularisation of the solution that a full cube starts from
# Accuracy of that solution: Newton decrement per half datum, and steps.
_FIRST_TOLERANCE, _FIRST_STEPS = 1e-6, 200
# Solves for the normalisations of observations, most, and the step, in units of its error, after
# which they are known.
_ROUNDS, _CLOSE = 8, 0.05
# Error of a normalisation above which the data do not tell it; cross-calibrations are better.
_LOOSE = 0.3
# Sky offset, pixels of the result, and in units of its error, above which the user is told.
_OFFSET, _SURE = 0.3, 4.0


@dataclass(frozen=True)
class ScaledSolution:
    """
    Solution in the scale of the solvers, where the mean response is one.

    Attributes
    ----------
    cube : ndarray (L, P)
        Source, before the projection onto values that are not negative.
    error : ndarray (L, P) or None
        Errors.
    value, accuracy : float
        Objective, and what is compared with the tolerance.
    history : list of tuple
        Objective, decrement or gap, and CPU seconds.
    converged : bool
        Whether the tolerance was reached.
    iterations : int
        Number of iterations.
    mu : float
        Weight of the penalty, of "wavelet_2d1d" `kappa`.
    table : list of dict
        Trials.
    maps : ndarray (r, M, N) or None
        Coefficients of a low-rank solution.
    subspace : SpectralSubspace
        Subspace of the low-rank solution, the result or what it starts from.
    chosen : tuple of str
        How settings were chosen.
    state : dict
        What a continuation needs.
    posterior : LowRankPosterior or None
        What errors of sums need.
    notes : tuple of str
        What the user should know.
    factors : ndarray (n,) or None
        Normalisations of the observations relative to the first; None if they were not fitted.
    factor_errors : ndarray (n,) or None
        Relative errors of these.
    offsets, offset_errors : ndarray (n, 2) or None
        Sky offsets of the observations relative to the first along x and y, pixels, and errors.
    """

    cube: np.ndarray
    error: np.ndarray | None
    value: float
    accuracy: float
    history: list
    converged: bool
    iterations: int
    mu: float
    table: list
    maps: np.ndarray | None
    subspace: SpectralSubspace
    chosen: tuple
    state: dict
    posterior: LowRankPosterior | None
    notes: tuple
    factors: np.ndarray | None = None
    factor_errors: np.ndarray | None = None
    offsets: np.ndarray | None = None
    offset_errors: np.ndarray | None = None


def solve(prepared: PreparedData, start, checkpoint):
    """
    Tune and solve.

    Parameters
    ----------
    prepared : PreparedData
        The data.
    start : dict or None
        State of an earlier fusion of the same data and regularisation.
    checkpoint : Checkpoint
        Where states go.

    Returns
    -------
    ScaledSolution
        The solution.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        if start is not None:
            # the maps belong to the subspace in which they were found
            names = ("directions", "scale", "singular")
            numbers = int(start.get("known", 0)), float(start.get("width", 0.0))
            found = SpectralSubspace(*(start[name] for name in names), *numbers)
            prepared = prepared.within(found, start.get("weights"))
        solver = _low_rank if prepared.settings.low_rank else _full
        return solver(prepared, start, checkpoint)


def _state(prepared, maps, weight, mu, **more):
    """State for a continuation: the weight of the penalty, and `mu` of the low-rank solution."""
    return {
        "regularisation": np.array(prepared.settings.regularisation),
        "directions": prepared.subspace.directions,
        "scale": prepared.subspace.scale,
        "singular": prepared.subspace.singular,
        "known": np.array(prepared.subspace.known),
        "width": np.array(prepared.subspace.width),
        **({} if prepared.weights is None else {"weights": prepared.weights}),
        **({} if prepared.factors is None else {"normalisations": prepared.factors}),
        "maps": maps,
        # the name that it has in all checkpoints of this version
        "strength": np.array(weight),
        "mu": np.array(mu),
        **more,
    }


def _given(wanted, start, name):
    """Weight that is given by the user or by the start, with the words for it; None to tune."""
    if wanted is None:
        return 0.0, "no strength to choose"
    if wanted != "auto":
        return wanted, f"{name} = {wanted:.3g} as given"
    if start is not None:
        return float(start["strength"]), f"{name} = {float(start['strength']):.3g} of the start"
    return None, ""


def _low_rank(prepared, start, checkpoint):
    settings, table = prepared.settings, []
    relative = settings.prior == "relative"
    kind = settings.regularisation
    mu, text = _given(settings.weight, start, "mu")
    begin, bracketed = None, True
    if mu is None:
        tuned = tune_low_rank(prepared, kind, prepared.held_out_split(), relative=relative)
        mu, table, text, prepared = tuned.mu, tuned.table, tuned.text, tuned.prepared
        begin, bracketed = tuned.maps, tuned.bracketed
    elif start is None and settings.line_changes == "always":
        fusion, weights, begin, said = by_evidence(prepared, kind, prepared.observations)
        prepared = replace(prepared.within(fusion.subspace, weights), chosen=(said,))
    if start is not None:
        begin = start["maps"]
    solved = _solved(
        prepared,
        kind,
        mu,
        begin,
        relative=relative,
        tolerance=settings.tolerance_in_use,
        max_iterations=settings.max_iterations_in_use,
        draft=start is not None,
    )
    prepared, fusion, found = solved.prepared, solved.fusion, solved.found
    error = posterior = None
    if settings.errors:
        log.info("Errors from %d samples", settings.error_samples)
        error, posterior = _errors(solved)
    state = _state(prepared, found.maps, mu, mu)
    checkpoint.write(state)
    return ScaledSolution(
        cube=fusion.cube(found.maps),
        error=error,
        value=found.value,
        accuracy=found.decrement / _size(fusion),
        history=found.history,
        converged=found.converged,
        iterations=found.iterations,
        mu=mu,
        table=table,
        maps=found.maps,
        subspace=prepared.subspace,
        chosen=(*prepared.chosen, text),
        state=state,
        posterior=posterior,
        notes=(*prepared.notes, *_at_the_end("mu", mu, bracketed), *solved.notes),
        **solved.normalisations,
    )


@dataclass(frozen=True)
class _Solved:
    """A low-rank solution with its normalisations."""

    prepared: PreparedData
    fusion: object
    found: object
    objective: object
    scales: Normalisations | None
    offsets: tuple | None = None

    @property
    def normalisations(self):
        """Normalisations and their relative errors, as `ScaledSolution` takes them."""
        if self.scales is None:
            return {}
        return {
            "factors": self.prepared.factors,
            "factor_errors": self.scales.error,
            "offsets": self.offsets[0],
            "offset_errors": self.offsets[1],
        }

    @property
    def notes(self):
        """What the user should know of the normalisations."""
        if self.scales is None:
            return ()
        found = []
        if self.scales.furthest > 1.0:
            found.append(
                f"the normalisations were still changing by {self.scales.furthest:.2g} of their "
                f"errors after {_ROUNDS} rounds"
            )
        size, error = self.offsets
        for k, (one, its) in enumerate(zip(size, error, strict=True)):
            significant = np.hypot(*one) > _OFFSET and (np.abs(one) > _SURE * its).any()
            if significant:
                found.append(
                    f"{self._label(k)} is offset on the sky by {one[0]:.2f} +- {its[0]:.2f} and "
                    f"{one[1]:.2f} +- {its[1]:.2f} pixels along x and y: correct its WCS"
                )
        loose = np.flatnonzero(self.scales.error > _LOOSE)
        if loose.size:
            names = ", ".join(self._label(k) for k in loose)
            found.append(
                f"the data hardly tell the normalisation of {names}: the relative "
                f"error is {self.scales.error[loose].max():.2g}; do all observations overlap?"
            )
        return tuple(found)

    def _label(self, k):
        """Name of an observation, as in products: X, X2, ..., Y, Y2, ..."""
        sharp = self.prepared.sharp
        letter, number = ("X", k) if k < sharp else ("Y", k - sharp)
        return f"{letter}{number + 1}" if number else letter


def _solved(prepared, kind, mu, maps, *, relative=True, tolerance, max_iterations, draft):
    """Solve for source and, if they are to be fitted, normalisations."""
    history, steps = [], 0
    for count in range(_ROUNDS):
        fusion = prepared.low_rank(kind, relative=relative)
        if maps is None:
            maps = fusion.start(prepared.spectrum, prepared.image)
        found, objective = fusion.solve(
            mu,
            maps,
            tolerance=tolerance * _size(fusion),
            max_iterations=max_iterations,
            draft=draft,
        )
        if prepared.factors is None:
            return _Solved(prepared, fusion, found, objective, None)
        history, steps = [*history, *found.history], steps + found.iterations
        scales = normalisations(objective, found.maps)
        log.info("Normalisations, round %d: largest step %.2g errors", count + 1, scales.furthest)
        if scales.furthest < _CLOSE:
            break
        if count < _ROUNDS - 1:
            prepared = prepared.normalised(np.exp(scales.step))
            change = np.tensordot(scales.step, scales.response, axes=1)
            maps, draft = found.maps + change.reshape(found.maps.shape), True
    found = replace(found, history=history, iterations=steps)
    return _Solved(prepared, fusion, found, objective, scales, sky_offsets(objective, found.maps))


def _at_the_end(name, weight, bracketed):
    if bracketed:
        return ()
    return (
        f"{name} = {weight:.3g} is the last that was tried, and the data may ask for more or less "
        "of it: structure may be smoothed away, or noise be taken for it",
    )


def _errors(solved, *, subspace=True):
    prepared, settings = solved.prepared, solved.prepared.settings
    return low_rank_errors(
        solved.objective,
        prepared.subspace.basis,
        solved.found.maps,
        samples=settings.error_samples,
        seed=settings.seed,
        subspace=subspace,
        known=prepared.subspace.known,
        width=prepared.subspace.width,
        sharp=prepared.sharp,
        scales=solved.scales,
    )


def _size(fusion):
    """Half the number of data that are used: about the half deviance of a good model."""
    total = 0
    for one in fusion.likelihoods:
        total += one.data.size if one.weights is None else np.count_nonzero(one.weights)
    return 0.5 * total


def _full(prepared, start, checkpoint):
    settings, table, chosen = prepared.settings, [], list(prepared.chosen)
    weight, text = _given(settings.weight, start, "kappa")
    parts, bracketed = None, True
    if start is None:
        parts = prepared.held_out_split()
        tuned = tune_low_rank(prepared, _STARTS_FROM, parts)
        mu, prepared = tuned.mu, tuned.prepared
        chosen = [*prepared.chosen, f"low rank that it starts from: {tuned.text}"]
    else:
        mu, maps = float(start["mu"]), start["maps"]
    if weight is None:
        train, held, _ = parts
        draft = tuned.draft
        first, _ = draft.solve(
            mu,
            tuned.draft_maps,
            tolerance=TRIAL_NATS,
            max_iterations=TRIAL_STEPS,
            draft=True,
        )
        trial = FullCube(train, draft.cube(first.maps), settings)
        weight, table, text, bracketed = trial.tune(held)
        del trial
    chosen.append(text)
    if start is None:
        maps = tuned.maps
    solved = _solved(
        prepared,
        _STARTS_FROM,
        mu,
        maps,
        tolerance=_FIRST_TOLERANCE,
        max_iterations=_FIRST_STEPS,
        draft=start is not None,
    )
    prepared, fusion, found = solved.prepared, solved.fusion, solved.found
    errors = posterior = None
    if settings.errors:
        errors, posterior = _errors(solved, subspace=False)
    known, notes = solved.normalisations, solved.notes
    del solved
    full = FullCube(prepared.observations, fusion.cube(found.maps), settings)
    solver = full.solver(weight)
    cube = full.low_rank
    if start is not None and "cube" in start:
        cube = start["cube"]
        solver.restore(start)

    def state():
        return _state(prepared, found.maps, weight, mu, **solver.state())

    def on_check(now):
        if checkpoint.due:
            checkpoint.write({**state(), "cube": now.cube})

    now = solver.run(
        cube,
        tolerance=settings.tolerance_in_use,
        max_iterations=settings.max_iterations_in_use,
        what=settings.regularisation,
        on_check=on_check,
    )
    last = {**state(), "cube": now.cube}
    checkpoint.write(last)
    if errors is not None:
        errors = local_errors(errors, full.low_rank, now.cube, full.shape)
    return ScaledSolution(
        cube=now.cube,
        error=errors,
        value=now.value,
        accuracy=now.accuracy,
        history=now.history,
        converged=now.converged,
        iterations=now.iterations,
        mu=weight,
        table=table,
        maps=None,
        subspace=prepared.subspace,
        chosen=tuple(chosen),
        state=last,
        posterior=posterior,
        notes=(*prepared.notes, *_at_the_end("kappa", weight, bracketed), *notes),
        **known,
    )
