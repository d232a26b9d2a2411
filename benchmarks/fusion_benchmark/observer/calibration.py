"""Simulation-based calibration: where the truth lies in the stated errors of random scenes."""

import numpy as np
from scipy.special import ndtr

from fusion_benchmark.lines import Line
from fusion_benchmark.observer import measures
from fusion_benchmark.observer.case import make_scene
from fusion_benchmark.observer.fused import fuse_case

__all__ = ["calibration"]

_SCENES = 20
_BINS = 10
_VOXELS, _SUMS = 40, 15  # of each scene: far enough apart to be nearly independent
_DEVIATION = 3.0  # binomial standard deviations: the worst of ten bins exceeds it in 3 % of cases
_FIELD, _CHANNELS = (18, 18), 220


def calibration(*, quick=False, filters=None, **others):
    """
    Histograms of the probability that the stated errors give to less than the truth.

    Parameters
    ----------
    quick : bool
        Fewer scenes.
    filters : sequence of str, optional
        Choices of filters; one, three and five by default.
    **others
        Not used: the data are as their model assumes, each with a seed of its own.

    Returns
    -------
    list of Line

    Notes
    -----
    Talts et al. (2018), "Validating Bayesian Inference Algorithms with Simulation-Based
    Calibration": ranks of the truth among draws of a posterior that is right are uniform. Here the
    posterior is the normal distribution of value and stated error, so the ranks are its quantiles.
    """
    del others
    lines = []
    for chosen in filters or ("one", "three", "five"):
        ranks = {"voxels": [], "sums": []}
        for seed in range(6 if quick else _SCENES):
            rng = np.random.default_rng(1000 + seed)
            case = _random_case(chosen, seed, rng)
            estimate = fuse_case(case).estimate
            for kind, (error, sigma) in _draws(case, estimate, rng).items():
                ranks[kind].extend(ndtr(-error / sigma))
        for kind, values in ranks.items():
            lines.append(_flat(f"{chosen}: {kind}", np.array(values)))
    return lines


def _random_case(filters, seed, rng):
    """Stars over clouds, or a galaxy, of random brightness."""
    noise = (float(rng.uniform(10, 60)), float(rng.uniform(60, 250)))
    options = {"field": _FIELD, "channels": _CHANNELS, "noise": noise}
    if seed % 2:
        return make_scene("galaxy", filters=filters, seed=seed, clumps=4, **options)
    count = int(rng.integers(3, 13))
    return make_scene("stars", filters=filters, seed=seed, count=count, pairs=1, **options)


def _draws(case, estimate, rng):
    """Errors and stated errors of random voxels, and of random sums."""
    channels, *shape = case.truth.shape
    error = estimate.cube.astype(float) - case.truth
    at = tuple(rng.integers(0, size, _VOXELS) for size in case.truth.shape)
    sums, sigma = [], []
    for _ in range(_SUMS):
        y, x = (int(rng.integers(3, size - 3)) for size in shape)
        mask = measures.aperture(shape, y, x, 29)
        start = int(rng.integers(channels - 20))
        weights = np.zeros((1, channels))
        weights[0, start : start + 20] = 1
        sums.append((weights @ error[:, mask].sum(1))[0])
        sigma.append(estimate.sigma(mask, weights)[0])
    return {"voxels": (error[at], estimate.error[at]), "sums": (np.array(sums), np.array(sigma))}


def _flat(what, ranks):
    """Line of the largest deviation of a histogram from a flat one."""
    counts = np.histogram(ranks, np.linspace(0, 1, _BINS + 1))[0]
    expected = len(ranks) / _BINS
    deviation = (counts - expected) / np.sqrt(expected * (1 - 1 / _BINS))
    return Line.at_most(
        f"{what}, largest deviation of the histogram of ranks",
        np.abs(deviation).max(),
        _DEVIATION,
        "sigma",
        beside=f"{len(ranks)} values in {_BINS} bins: " + ", ".join(map(str, counts)),
    )
