"""Section of the benchmark of HIFReD: four observations of a cluster against the best two."""

from dataclasses import replace

import numpy as np
from fusion_benchmark.lines import Line

from jwst_fusion.hifred import fuse
from jwst_fusion.metrics import nmse
from jwst_fusion.simulation.xray_cluster import ClusterSetup, line_velocity
from jwst_fusion.simulation.xray_observations import FOUR, cluster_observations

__all__ = ["several"]

_SEEDS = (1, 2, 3)
# Fewer and larger pixels, and the brightest lines alone, so that several scenes take a minute.
_SETUP = ClusterSetup(energies=(6.4, 6.7), fine=150, coarse=15, shape=(36, 36), pixels=(8.0, 30.0))
_FOUR = (
    replace(FOUR[0], pixel=8.0, shape=(36, 36)),
    replace(FOUR[1], pixel=10.0, shape=(32, 32), fwhm=12.0),
    *FOUR[2:],
)
_WIDER = 1.15  # PSF that makes the data of the twin, relative to the one that is believed


def _sums(cluster, cube):
    return np.asarray(cube, float).reshape(len(cube), -1) @ cluster.pixels[cluster.good].T


def _scores(cluster, result, true):
    """NMSE in dB and rms error of the velocities of squares of 30 arcsec, km/s."""
    found = line_velocity(_sums(cluster, result.cube), cluster.edges)[0]
    rms = float(np.sqrt(np.mean((found - true) ** 2)))
    return nmse(cluster.truth, result.cube, decibel=True), rms


def _fused(xs, ys):
    return fuse(
        [one.counts for one in xs],
        [one.counts for one in ys],
        [one.response for one in xs],
        [one.response for one in ys],
    )


def several(*, quick=False):
    """
    Distance from the truth, velocities and normalisations of four observations and of two.

    Parameters
    ----------
    quick : bool
        One scene only.

    Returns
    -------
    list of Line
        Least and mean gains, and normalisations in units of their errors.

    Notes
    -----
    The best two are the camera and the calorimeter that give the highest NMSE, and those that give
    the lowest error of velocities, of all that have the sharper camera: the pixels of the result
    are its own. In the twin one calorimeter has a PSF that is 15 % wider than is believed.
    """
    lines = []
    for wider in (1.0, _WIDER):
        observations = (*_FOUR[:3], replace(_FOUR[3], wider=wider))
        gains, ratios, pulls, texts, seconds = [], [], [], [], 0.0
        for seed in _SEEDS[: 1 if quick else None]:
            cluster = cluster_observations(observations, _SETUP, seed=seed)
            true = line_velocity(_sums(cluster, cluster.truth), cluster.edges)[0]
            cameras, calorimeters = cluster.cameras, cluster.calorimeters
            pairs = [_scores(cluster, _fused(cameras[:1], [one]), true) for one in calorimeters]
            all_four = _fused(cameras, calorimeters)
            four = _scores(cluster, all_four, true)
            best = max(one[0] for one in pairs), min(one[1] for one in pairs)
            gains.append(four[0] - best[0])
            ratios.append(four[1] / best[1])
            texts.append(
                f"{four[0]:.2f} for {best[0]:.2f} dB, {four[1]:.0f} for {best[1]:.0f} km/s"
            )
            order = [*cameras, *calorimeters]
            known = np.array([one.observation.normalisation for one in order])
            off = all_four.normalisations - known
            pulls += list(off[1:] / all_four.normalisation_errors[1:])
            seconds = max(seconds, all_four.seconds)
        name = "four observations" if wider == 1 else "twin, one PSF 15 % wider"
        beside = "; ".join(texts)
        what = f"{name}: least gain in NMSE over the best two"
        lines.append(Line.at_least(what, min(gains), 0.0, "dB", digits=2, beside=beside))
        what = f"{name}: mean gain in NMSE"
        said = f"{seconds:.0f} s CPU at most"
        lines.append(Line.at_least(what, np.mean(gains), 0.0, "dB", digits=2, beside=said))
        what = f"{name}: largest error of velocities over that of the best two"
        lines.append(Line.at_most(what, max(ratios), 1.0))
        text = f"{np.sqrt(np.mean(np.square(pulls))):.2f}"
        beside = ", ".join(f"{one:+.1f}" for one in pulls)
        lines.append(Line(f"{name}: rms of normalisations over their errors", text, beside=beside))
    return lines
