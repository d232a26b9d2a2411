"""Search for point sources in images and exposures, through the scene that explains both."""

import logging
from itertools import pairwise

import numpy as np
from scipy import ndimage, stats

from jwst_fusion.fusion.exposures.inputs import data_of, shared
from jwst_fusion.fusion.exposures.operator import psf_modes
from jwst_fusion.fusion.exposures.positions import fit_sources
from jwst_fusion.fusion.exposures.problem import SceneProblem
from jwst_fusion.fusion.solver.operators import Imager

__all__ = ["search_sources"]

log = logging.getLogger(__name__)

_BANDS = 4  # equal parts of the channels whose light is searched: a source may be a line, or blue
# Part of the typical weight that pixels of the fine grid have which no pixel of a detector hits:
# the scene is known there, but not independently.
_UNSEEN = 1e-3
_ROUNDS = 3  # solves after which sources that are none are left out
_ITERATIONS = 12  # of each
# Pixels of exposures that the scene does not explain are cosmic rays, and no sources: beyond so
# many standard deviations and this part of the brightness there.
_OUTLIER, _PART = 15.0, 0.3
_GAP = 7  # fine pixels: side of the square in which pixels that were hit stand for the others
_SAME = 0.3  # fine pixels: two sources nearer than that cannot be told apart


def search_sources(inputs, problem, groups, *, false_alarms, max_iterations):
    """
    Search for point sources.

    Every image, and the light of the exposures in a few bands, is what the scene without sources
    looks like there plus what it leaves of the pixels, each at the nearest pixel of the fine grid:
    nothing of the data is lost, and nothing resampled. These planes are searched together as in the
    fusion of cubes. What is found must raise the likelihood of all pixels as well.

    Parameters
    ----------
    inputs : Inputs
        The observations.
    problem : SceneProblem
        Problem of a part of the pixels, without sources.
    groups : array (group, 1, k)
        Its solution.
    false_alarms : float
        Expected number of sources in the field that are noise.
    max_iterations : int
        Upper limit of the iterations of a linear solve.

    Returns
    -------
    array (J, 2)
        Columns and rows on the domain, fine pixels; None if there are no sources.
    """
    # photutils loads the coordinates of astropy: only for those who look for sources.
    from jwst_fusion.fusion.sources.detection import find_in_images

    planes, weights, psfs = _planes(inputs, problem, groups)
    rows, columns = _searched(inputs.domain)
    found = find_in_images(
        planes[:, rows, columns], weights[:, rows, columns], psfs, false_alarms=false_alarms
    )
    positions = np.column_stack([found.x + columns.start, found.y + rows.start])
    positions = positions[inputs.domain.near(*positions.T)]
    pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
    count = len(positions)
    start = positions.copy()
    for _ in range(_ROUNDS):
        if not len(positions):
            break
        sourced = SceneProblem(problem.grid, problem.spectra, problem.data, problem.mu, positions)
        solved = sourced.solve(start=groups, max_iterations=min(_ITERATIONS, max_iterations))
        moved = fit_sources(sourced, solved.solution, start=start)
        sure = stats.chi2.logsf(moved.excess, len(problem.mu)) < np.log(false_alarms / pixels)
        sure &= _apart(moved.positions, moved.excess)
        positions, start = moved.positions[sure], start[sure]
        if sure.all():
            break
    log.info("%d of %d point sources that were found are kept", len(positions), count)
    return positions if len(positions) else None


def _searched(domain):
    """Rows and columns of the product and the margin around it."""
    ny, nx = domain.product.shape
    return slice(0, ny + 2 * domain.margin), slice(0, nx + 2 * domain.margin)


def _apart(positions, excess):
    """Which positions are none of another one that is surer."""
    keep = np.zeros(len(positions), bool)
    for j in np.argsort(-excess, kind="stable"):
        keep[j] = not (np.hypot(*(positions[keep] - positions[j]).T) < _SAME).any()
    return keep


def _planes(inputs, problem, groups):
    """Planes on the fine grid, inverse variances of their pixels, and their PSFs of unit sum."""
    sets, data = [*shared(inputs.psfs), *shared(inputs.image_psfs)], problem.data
    if not inputs.images:  # every pixel of the exposures counts
        data = data_of(inputs)
        for one, old in zip(data, problem.data, strict=True):
            one.operator.set_spectra(problem.spectra)
            one.scales = old.scales
    planes, weights, psfs = [], [], []
    for members, one in zip(sets, data, strict=True):
        model = one.operator.mean(problem.spectra) + one.operator.forward(groups)
        left = one.values - model
        used = np.ones(len(left), bool)
        if one.operator.source is None:
            psf, responses = inputs.image_psfs[members[0]], one.operator.responses
            sizes = [part.stop - part.start for part in one.operator.parts]
            which = np.repeat(np.arange(len(sizes)), sizes)
        else:
            psf = inputs.psfs[members[0]]
            which, responses = _bands(inputs, members, one.operator)
            used = np.abs(one.normalised(left)) < _OUTLIER
            used |= np.abs(left) < _PART * np.abs(model)
        precision = one.normalised(np.ones(len(left))) ** 2
        modes, nodes = psf_modes(psf, inputs.axis.wavelength)
        table = responses @ nodes
        mean, basis = problem.spectra.at(inputs.axis.wavelength)
        mixing = np.einsum("nl,lr,lk->nrk", responses, nodes, basis, optimize=True)
        seen = Imager(problem.grid, modes, mixing).forward_groups(groups)
        seen = problem.grid.synthesise(seen) + (responses @ mean)[:, None, None]
        for number, plane in enumerate(seen):
            here = used & (which == number)
            if not here.any():
                continue
            shape = np.tensordot(table[number], modes, 1)
            psfs.append(shape / shape.sum())
            for kept, found in zip(
                (planes, weights),
                _filled(plane, one.x[here], one.y[here], left[here], precision[here]),
                strict=True,
            ):
                kept.append(found)
    size = max(len(one) for one in psfs)
    psfs = [np.pad(one, (size - len(one)) // 2) for one in psfs]
    return np.array(planes), np.array(weights), np.array(psfs)


def _bands(inputs, members, operator):
    """Band of every pixel of exposures, and weights (band, L) of the channels in each."""
    channels = len(inputs.axis.wavelength)
    number = min(_BANDS, channels)
    edges = np.linspace(0, channels, number + 1)
    responses = np.zeros((number, channels))
    for one, (low, high) in zip(responses, pairwise(np.rint(edges).astype(int)), strict=True):
        one[low:high] = 1 / (high - low)
    at = [
        inputs.axis.channel(inputs.placed[i].wavelength[index])
        for i, index in zip(members, operator.source, strict=True)
    ]
    which = np.searchsorted(edges[1:-1], np.concatenate(at) + 0.5, side="right")
    return which, responses


def _filled(plane, x, y, left, precision):
    """What a plane looks like with what is left of the pixels, and its inverse variance."""
    shape = plane.shape
    index = (np.rint(y).astype(np.intp) % shape[0]) * shape[1] + np.rint(x).astype(np.intp) % (
        shape[1]
    )
    weight = np.bincount(index, precision, plane.size)
    total = np.bincount(index, precision * left, plane.size)
    hit = weight > 0
    mean = np.divide(total, weight, out=np.zeros(plane.size), where=hit)
    weight = weight.reshape(shape)
    near = ndimage.uniform_filter((weight > 0).astype(float), _GAP) > 0
    weight[near & (weight == 0)] = _UNSEEN * np.median(weight[weight > 0])
    return plane + mean.reshape(shape), weight
