"""Subspace and weights of a low-rank fusion from the data: graded, or with lines that change."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from jwst_fusion.hifred.solver.line_spectra import line_changes, smoothing_width
from jwst_fusion.hifred.solver.prepared import (
    MOST_COMPONENTS,
    TRIAL_NATS,
    TRIAL_STEPS,
    PreparedData,
    held_out_deviance,
    mean_spectrum,
    mean_spectrum_variance,
)
from jwst_fusion.hifred.solver.strengths import evidence_weights
from jwst_fusion.hifred.solver.subspace import find_subspace
from jwst_fusion.hifred.solver.tuning import search

__all__ = ["Tuned", "by_evidence", "tune_low_rank", "with_line_changes"]

log = logging.getLogger(__name__)

# Where the search for mu begins, for a mean response of one.
_FIRST = {"low_rank_sobolev": 1e-3, "low_rank_wavelet": 0.1, "low_rank": 0.0}
_STEP = 10**0.5  # factor between trials of mu; a parabola through three finds the minimum
_TRIED = 9  # most trials: four decades
# Weight of every component at which evidence starts: maps of hardly any freedom start too smooth.
_FIRST_WEIGHT = 0.1


@dataclass(frozen=True)
class Tuned:
    """
    What a low-rank fusion was tuned to.

    Attributes
    ----------
    prepared : PreparedData
        The data with subspace and relative weights that are to be used.
    mu : float
        Weight of the penalty.
    table : list of dict
        See `~jwst_fusion.hifred.solver.tuning.search`.
    text : str
        How all was chosen.
    bracketed : bool
        Whether worse weights were tried on both sides.
    maps : ndarray (r, M, N) or None
        Where a solve of all data may start; None for the mean spectrum.
    draft : LowRank
        Fusion of the training data.
    draft_maps : ndarray (r, M, N)
        Its maps at the last weight that was tried.
    deviance : float
        Half deviance of the held-out data, the lowest.
    """

    prepared: PreparedData
    mu: float
    table: list
    text: str
    bracketed: bool
    maps: np.ndarray | None
    draft: object
    draft_maps: np.ndarray
    deviance: float


def tune_low_rank(prepared, kind, parts, *, relative=True):
    """
    Find subspace and weights of a low-rank fusion by held-out data.

    Parameters
    ----------
    prepared : PreparedData
        The data.
    kind : str
        Regularisation.
    parts : tuple
        Training and held-out data, and the subspace of the training data, as
        `~jwst_fusion.hifred.solver.prepared.PreparedData.held_out_split` gives them.
    relative : bool
        Whether the penalty is relative to brightness.

    Returns
    -------
    Tuned
        Principal components with weights graded by their significance, or, where that predicts the
        held-out data better or is asked for, the mean spectrum, its changes by lines that move and
        widen, and the components that stand out beside these, each with its own weight.
    """
    train, held, subspace = parts
    asked = prepared.settings.line_changes
    able = relative and kind != "low_rank" and prepared.settings.rank == "auto"
    if not able or asked == "never":
        return _graded(prepared, kind, train, held, subspace, relative=relative)
    if asked == "always":
        return _by_evidence(prepared, kind, train, held)
    first = _graded(prepared, kind, train, held, subspace, relative=relative)
    second = _by_evidence(prepared, kind, train, held)
    gain = first.deviance - second.deviance
    if gain <= 0:
        return replace(first, text=f"{first.text}; spectra of line changes predict it worse")
    return replace(second, text=f"{second.text}; better than principal components by {gain:.1f}")


def with_line_changes(y):
    """
    Make the subspace of a mean spectrum, its changes by lines that move, and what else stands out.

    Parameters
    ----------
    y : InstrumentData
        Data with the fine spectra.

    Returns
    -------
    subspace : SpectralSubspace
        The subspace.
    spectrum : ndarray (L,)
        The mean spectrum, smoothed as far as this takes away noise and no lines.
    text : str
        What is in it.
    """
    spectrum = mean_spectrum(y)
    width = smoothing_width(spectrum, mean_spectrum_variance(y))
    if width:
        spectrum = gaussian_filter1d(spectrum, width, mode="nearest")
    changes = line_changes(spectrum, width)
    subspace = find_subspace(
        y.likelihood, y.response, spectrum, MOST_COMPONENTS, known=changes, width=width
    )
    more = subspace.directions.shape[1] - changes.shape[1] - 1
    text = f"mean spectrum, {changes.shape[1]} spectra of line changes, {more} other components"
    return subspace, spectrum, text


def _graded(prepared, kind, train, held, subspace, *, relative):
    fusion = prepared.low_rank(kind, observations=train, subspace=subspace, relative=relative)
    maps = fusion.start(prepared.spectrum, prepared.image)
    found = _search(prepared, fusion, held, maps, _FIRST[kind], draft=False)
    mu, table, bracketed, maps, deviance = found
    text = _said(prepared, mu, table, bracketed)
    return Tuned(prepared, mu, table, text, bracketed, None, fusion, maps, deviance)


def _by_evidence(prepared, kind, train, held):
    draft, weights, maps, _ = by_evidence(prepared, kind, train)
    begin = 1.0 if kind == "low_rank_sobolev" else _FIRST[kind]
    found = _search(prepared, draft, held, maps, begin, draft=kind == "low_rank_sobolev")
    mu, table, bracketed, draft_maps, deviance = found
    fusion, weights, maps, text = by_evidence(
        prepared, kind, prepared.observations, weights=weights
    )
    ready = replace(prepared.within(fusion.subspace, weights), chosen=(text,))
    said = _said(prepared, mu, table, bracketed)
    said = f"weights by evidence (line_changes = always), times {said}"
    return Tuned(ready, mu, table, said, bracketed, maps, draft, draft_maps, deviance)


def by_evidence(prepared, kind, observations, *, weights=None):
    """
    Fusion with line changes in its subspace and a weight by evidence for each component.

    Parameters
    ----------
    prepared : PreparedData
        Data.
    kind : str
        Regularisation.
    observations : list of InstrumentData
        All of the data, or a part of them.
    weights : ndarray (k,), optional
        Weights that a part of the data gave its components, to begin with.

    Returns
    -------
    fusion : LowRank
        The fusion.
    weights : ndarray (r,)
        Its weights.
    maps : ndarray (r, M, N)
        Maps to start from.
    text : str
        What is in the subspace.
    """
    subspace, spectrum, text = with_line_changes(prepared.fine(observations))
    # the evidence is that of a quadratic penalty
    fusion = prepared.low_rank("low_rank_sobolev", observations=observations, subspace=subspace)
    begin = np.full(fusion.shape[0], _FIRST_WEIGHT)
    if weights is not None:
        # a component more or less that stands out is one of the last
        same = min(len(weights), len(begin))
        begin[:same] = weights[:same]
        begin[same:] = np.median(weights)
    weights, freedom, maps = evidence_weights(
        fusion,
        fusion.start(spectrum, prepared.image),
        begin,
        tolerance=TRIAL_NATS,
        max_iterations=TRIAL_STEPS,
        seed=prepared.settings.seed,
    )
    fusion = fusion.weighted(weights)
    fusion.kind = kind
    text = f"rank {fusion.shape[0]}: {text}, {freedom.sum():.0f} degrees of freedom in their maps"
    log.info("%s", text)
    return fusion, weights, maps, text


def _search(prepared, fusion, held, maps, begin, *, draft):
    state = {"maps": maps, "draft": draft, "lowest": np.inf}

    def evaluate(mu):
        found, _ = fusion.solve(
            mu,
            state["maps"],
            tolerance=TRIAL_NATS,
            max_iterations=TRIAL_STEPS,
            draft=state["draft"],
        )
        cube = fusion.cube(found.maps)
        deviance = held_out_deviance(held, cube, nonnegative=prepared.settings.nonnegative)
        state.update(maps=found.maps, draft=True, lowest=min(deviance, state["lowest"]))
        return deviance

    mu, table, bracketed = search(evaluate, begin, step=_STEP, most=_TRIED, what="mu")
    return mu, table, bracketed, state["maps"], state["lowest"]


def _said(prepared, mu, table, bracketed):
    text = f"mu = {mu:.3g} by {len(table)} trials on {prepared.settings.thinning:.0%} of the "
    return f"{text}data, judged on the rest" + ("" if bracketed else " (at the end of the range)")
