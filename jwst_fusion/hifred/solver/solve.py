"""From prepared data to a solution: tuning, low-rank or full-cube solve, errors, checkpoints."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from jwst_fusion.hifred.solver.full_cube import FullCube, local_errors
from jwst_fusion.hifred.solver.low_rank_tuning import by_evidence, tune_low_rank
from jwst_fusion.hifred.solver.posterior import LowRankPosterior, low_rank_errors
from jwst_fusion.hifred.solver.prepared import TRIAL_NATS, TRIAL_STEPS, PreparedData
from jwst_fusion.hifred.solver.subspace import SpectralSubspace

__all__ = ["ScaledSolution", "solve"]

log = logging.getLogger(__name__)

_STARTS_FROM = "low_rank_sobolev"  # regularisation of the solution that a full cube starts from
# Accuracy of that solution: Newton decrement per half datum, and steps.
_FIRST_TOLERANCE, _FIRST_STEPS = 1e-6, 200


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
    fusion = prepared.low_rank(kind, relative=relative)
    maps = fusion.start(prepared.spectrum, prepared.image) if begin is None else begin
    if start is not None:
        maps = start["maps"]
    size = _size(fusion)
    found, objective = fusion.solve(
        mu,
        maps,
        tolerance=settings.tolerance_in_use * size,
        max_iterations=settings.max_iterations_in_use,
        draft=start is not None,
    )
    error = posterior = None
    if settings.errors:
        log.info("Errors from %d samples", settings.error_samples)
        error, posterior = _errors(prepared, objective, found.maps)
    state = _state(prepared, found.maps, mu, mu)
    checkpoint.write(state)
    return ScaledSolution(
        cube=fusion.cube(found.maps),
        error=error,
        value=found.value,
        accuracy=found.decrement / size,
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
        notes=(*prepared.notes, *_at_the_end("mu", mu, bracketed)),
    )


def _at_the_end(name, weight, bracketed):
    if bracketed:
        return ()
    return (
        f"{name} = {weight:.3g} is the last that was tried, and the data may ask for more or less "
        "of it: structure may be smoothed away, or noise be taken for it",
    )


def _errors(prepared, objective, maps, *, subspace=True):
    settings = prepared.settings
    return low_rank_errors(
        objective,
        prepared.subspace.basis,
        maps,
        samples=settings.error_samples,
        seed=settings.seed,
        subspace=subspace,
        known=prepared.subspace.known,
        width=prepared.subspace.width,
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
    fusion = prepared.low_rank(_STARTS_FROM)
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
        if maps is None:
            maps = fusion.start(prepared.spectrum, prepared.image)
    found, objective = fusion.solve(
        mu,
        maps,
        tolerance=_FIRST_TOLERANCE * _size(fusion),
        max_iterations=_FIRST_STEPS,
        draft=start is not None,
    )
    errors = posterior = None
    if settings.errors:
        errors, posterior = _errors(prepared, objective, found.maps, subspace=False)
    del objective
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
        notes=(*prepared.notes, *_at_the_end("kappa", weight, bracketed)),
    )
