"""Section of the benchmark of HIFReD: offsets on the sky and along the spectrum that are found."""

import numpy as np
from fusion_benchmark.lines import Line
from scipy.ndimage import shift

from jwst_fusion.simulation.xray_cluster import ClusterSetup, cluster_pair

__all__ = ["displaced"]

_COUNTS = ((1e5, 3e4), (1e6, 2e5))
_SEEDS = range(1, 25)
_OFFSET = 15.0, -10.0  # arcsec, of Y along x and y
_GAIN = 0.015  # keV, by which energies of X are too high
_PIXEL = 6.0  # arcsec, of X
_SETUP = {"fine": 400, "coarse": 40, "shape": (48, 48), "pixels": (_PIXEL, 30.0)}
_WIDER = 1.15  # PSF that makes the data of the twin, relative to the one that is believed


def displaced(*, quick=False):
    """
    Offsets of a cluster of which one observation is displaced, and the other's energies are wrong.

    Parameters
    ----------
    quick : bool
        Two scenes at the shorter exposure only.

    Returns
    -------
    list of Line
    """
    lines = []
    cases = [(counts, wider) for counts in _COUNTS for wider in (1.0, _WIDER)]
    for counts, wider in cases[: 1 if quick else None]:
        found = [_offsets(counts, wider, seed) for seed in list(_SEEDS)[: 2 if quick else None]]
        name = f"{counts[1]:.0e} counts of Y"
        name += ", its PSF 15 % wider" if wider != 1 else ""
        for k, (what, unit, scale, true) in enumerate(
            (
                ("offset along x", "arcsec", _PIXEL, _OFFSET[0]),
                ("offset along y", "arcsec", _PIXEL, _OFFSET[1]),
                ("energies of X", "eV", 1e3, 1e3 * _GAIN),
            )
        ):
            values, errors = scale * np.array([one[k] for one in found]).T
            pull = np.sqrt(np.mean(((values - true) / errors) ** 2))
            beside = f"errors {np.mean(errors):.2g}, rms of error over stated {pull:.2f}"
            lines.append(
                Line(f"{name}: {what}, true {true:g}", f"{values.mean():.1f} {unit}", beside=beside)
            )
    return lines


def _offsets(counts, wider, seed):
    """Offsets along x and y, pixels, and of the energies, keV, each with its error."""
    pair = cluster_pair(ClusterSetup(**_SETUP, counts=counts, wider=wider), seed=seed)
    rng = np.random.default_rng(seed)
    place = _OFFSET[1] / _PIXEL, _OFFSET[0] / _PIXEL
    moved = np.stack([shift(plane, place, order=1, mode="nearest") for plane in pair.truth])
    energy = 0.5 * (pair.edges[1:] + pair.edges[:-1])
    spectra = pair.truth.reshape(len(energy), -1).T
    higher = np.stack([np.interp(energy - _GAIN, energy, one) for one in spectra], axis=1)
    data = pair.data(
        x=rng.poisson(pair.response_x.observe(higher.reshape(pair.truth.shape))).astype(float),
        y=rng.poisson(pair.true_y.observe(moved)).astype(float),
    )
    found = data.offsets
    return found.x, found.y, found.gain
