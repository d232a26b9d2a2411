"""From prepared data to a solution: tuning, low-rank or full-cube solve, errors, checkpoints."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from jwst_fusion.hifred.solver.posterior import low_rank_errors
from jwst_fusion.hifred.solver.prepared import Pilot
from jwst_fusion.hifred.solver.subspace import Subspace
from jwst_fusion.hifred.solver.wavelets import Cubes, local_errors

__all__ = ["Outcome", "solve"]

log = logging.getLogger(__name__)

_PILOT = "low_rank_sobolev"


@dataclass
class Outcome:
    """
    Solution in the scale of the solvers.

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
    strength : float
        Strength of the penalty.
    table : list of dict
        Trials.
    maps : ndarray (r, M, N) or None
        Coefficients of a low-rank solution.
    state : dict
        What a continuation needs.
    """

    cube: np.ndarray
    error: np.ndarray | None
    value: float
    accuracy: float
    history: list
    converged: bool
    iterations: int
    strength: float
    table: list
    maps: np.ndarray | None
    state: dict


def solve(pilot: Pilot, start, checkpoint):
    """
    Tune and solve.

    Parameters
    ----------
    pilot : Pilot
        Prepared data.
    start : dict or None
        State of an earlier fusion of the same data and regularisation.
    checkpoint : Checkpoint
        Where states go.

    Returns
    -------
    Outcome
    """
    with threadpool_limits(limits=1, user_api="blas"):
        if start is not None:
            # the maps belong to the subspace in which they were found
            pilot.subspace = Subspace(start["directions"], start["scale"], start["singular"])
            pilot.chosen[0] = f"rank {start['directions'].shape[1]} of the start"
        solver = _low_rank if pilot.options.low_rank else _full
        return solver(pilot, start, checkpoint)


def _state(pilot, maps, strength, mu, **more):
    return {
        "regularisation": np.array(pilot.options.regularisation),
        "directions": pilot.subspace.directions,
        "scale": pilot.subspace.scale,
        "singular": pilot.subspace.singular,
        "maps": maps,
        "strength": np.array(strength),
        "mu": np.array(mu),
        **more,
    }


def _given(wanted, start, name):
    """Strength that is given by the user or by the start, with the words for it; None to tune."""
    if wanted is None:
        return 0.0, "no strength to choose"
    if wanted != "auto":
        return wanted, f"{name} = {wanted:.3g} as given"
    if start is not None:
        return float(start["strength"]), f"{name} = {float(start['strength']):.3g} of the start"
    return None, ""


def _low_rank(pilot, start, checkpoint):
    options, table = pilot.options, []
    relative = options.prior == "relative"
    kind = options.regularisation
    strength, text = _given(options.strength, start, "mu")
    if strength is None:
        strength, table, text, _ = pilot.tune(kind, *pilot.halves(), relative=relative)
    pilot.chosen.append(text)
    problem = pilot.problem(kind, relative=relative)
    maps = problem.start(pilot.spectrum, pilot.image) if start is None else start["maps"]
    size = _size(problem, maps)
    found, objective = problem.solve(
        strength,
        maps,
        tolerance=options.tolerance * size,
        most=options.maximum_iterations,
        draft=start is not None,
    )
    error = None
    if options.errors:
        log.info("Errors from %d samples", options.error_samples)
        error = _errors(pilot, objective, found.maps)
    state = _state(pilot, found.maps, strength, strength)
    checkpoint.write(state)
    return Outcome(
        cube=problem.cube(found.maps),
        error=error,
        value=found.value,
        accuracy=found.decrement / size,
        history=found.history,
        converged=found.converged,
        iterations=found.iterations,
        strength=strength,
        table=table,
        maps=found.maps,
        state=state,
    )


def _errors(pilot, objective, maps):
    options = pilot.options
    return low_rank_errors(
        objective,
        pilot.subspace.basis,
        maps,
        samples=options.error_samples,
        seed=options.seed,
    )


def _size(problem, maps):
    """Half the number of data that are used: about the half deviance of a good model."""
    total = 0
    for one in problem.likelihoods:
        total += one.data.size if one.weights is None else np.count_nonzero(one.weights)
    return 0.5 * total


def _full(pilot, start, checkpoint):
    options, table = pilot.options, []
    strength, text = _given(options.strength, start, "kappa")
    halves = None
    if start is None:
        halves = pilot.halves()
        mu, _, said, maps = pilot.tune(_PILOT, *halves)
        pilot.chosen.append(f"low rank that it starts from: {said}")
    else:
        mu, maps = float(start["mu"]), start["maps"]
    problem = pilot.problem(_PILOT)
    if strength is None:
        train, held, subspace = halves
        draft = pilot.problem(_PILOT, observations=train, subspace=subspace)
        first, _ = draft.solve(mu, maps, tolerance=3.0, most=60, draft=True)
        trial = Cubes(train, draft.cube(first.maps), options)
        strength, table, text = trial.tune(held)
        del trial
    pilot.chosen.append(text)
    begin = problem.start(pilot.spectrum, pilot.image) if start is None else maps
    found, objective = problem.solve(
        mu,
        begin,
        tolerance=1e-6 * _size(problem, begin),
        most=200,
        draft=start is not None,
    )
    errors = None
    if options.errors:
        errors = _errors(pilot, objective, found.maps)
    del objective
    cubes = Cubes(pilot.observations, problem.cube(found.maps), options)
    solver = cubes.solver(strength)
    cube = cubes.pilot
    if start is not None and "cube" in start:
        cube = start["cube"]
        solver.restore(start)

    def state():
        return _state(pilot, found.maps, strength, mu, **solver.state())

    def on_check(now):
        if checkpoint.due:
            checkpoint.write({**state(), "cube": now.cube})

    now = solver.run(
        cube,
        tolerance=options.tolerance,
        most=options.maximum_iterations,
        what=options.regularisation,
        on_check=on_check,
    )
    last = {**state(), "cube": now.cube}
    checkpoint.write(last)
    if errors is not None:
        errors = local_errors(errors, cubes.pilot, now.cube, cubes.shape)
    return Outcome(
        cube=now.cube,
        error=errors,
        value=now.value,
        accuracy=now.accuracy,
        history=now.history,
        converged=now.converged,
        iterations=now.iterations,
        strength=strength,
        table=table,
        maps=None,
        state=last,
    )
