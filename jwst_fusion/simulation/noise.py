"""Noise and defects of simulated detector images."""

from dataclasses import dataclass

import numpy as np
from stdatamodels.jwst.datamodels import dqflags

__all__ = ["Noise", "expose"]


@dataclass(frozen=True)
class Noise:
    """
    Noise and defects of a simulated exposure.

    Parameters
    ----------
    read : float
        Read noise per pixel, MJy/sr.
    gain : float
        Variance per signal, MJy/sr: the Poisson variance of a signal F is ``gain * F``.
    flat : float
        Relative uncertainty of the flat field.
    bad_fraction : float
        Fraction of single bad pixels.
    bad_clusters : int
        Number of 3 x 3 clusters of bad pixels.
    residues : int
        Number of cosmic-ray residues that no flag marks, up to 4 pixels long.
    """

    read: float = 0.4
    gain: float = 0.02
    flat: float = 0.002
    bad_fraction: float = 0.01
    bad_clusters: int = 400
    residues: int = 800

    @classmethod
    def none(cls):
        """Noise small enough to see through: for checks against truth."""
        return cls(1e-4, 0.0, 0.0, 0.0, 0, 0)


def expose(truth, *, noise=None, rng, light=None):
    """
    Add noise and defects to noiseless light.

    Parameters
    ----------
    truth : ndarray
        Image, MJy/sr; NaN at pixels that see no sky.
    noise : Noise, optional
        Default: `Noise()`.
    rng : numpy.random.Generator
        Source of the randomness.
    light : ndarray, optional
        Light that the detector has seen, where a nod has been subtracted since. Default: the truth
        where it is positive.

    Returns
    -------
    dict of str to ndarray
        ``data``, ``err``, ``var_rnoise``, ``var_poisson``, ``var_flat`` and ``dq``, shape of the
        truth; NaN and flagged DO_NOT_USE at bad pixels and where no sky is seen.
    """
    noise = Noise() if noise is None else noise
    sky = np.isfinite(truth)
    signal = np.where(sky, np.maximum(truth if light is None else light, 0), 0)
    variances = {
        "var_rnoise": np.full(truth.shape, noise.read**2),
        "var_poisson": noise.gain * signal,
        "var_flat": (noise.flat * signal) ** 2,
    }
    sigma = np.sqrt(variances["var_rnoise"] + variances["var_poisson"])
    data = truth + sigma * rng.standard_normal(truth.shape)
    data *= 1 + noise.flat * rng.standard_normal(truth.shape)
    _add_residues(data, noise.residues, rng, scale=noise.read)
    bad = _bad_pixels(truth.shape, noise, rng)
    dead = ~sky | bad
    arrays = {"data": data, "err": np.sqrt(sum(variances.values())), **variances}
    arrays = {k: np.where(dead, np.nan, v).astype(np.float32) for k, v in arrays.items()}
    dq = np.zeros(truth.shape, np.uint32)
    dq[~sky] = dqflags.pixel["DO_NOT_USE"] | dqflags.pixel["NON_SCIENCE"]
    dq[sky & bad] = dqflags.pixel["DO_NOT_USE"]
    return arrays | {"dq": dq}


def _add_residues(data, count, rng, scale):
    """Leave unflagged cosmic-ray tails of up to four pixels."""
    for _ in range(count):
        y, x = rng.integers(0, data.shape[0] - 5), rng.integers(0, data.shape[1] - 5)
        length, amplitude = rng.integers(1, 5), scale * 10 ** rng.uniform(1.0, 2.5)
        if rng.random() < 0.5:
            data[y : y + length, x] += amplitude
        else:
            data[y, x : x + length] += amplitude


def _bad_pixels(shape, noise, rng):
    bad = rng.random(shape) < noise.bad_fraction
    for _ in range(noise.bad_clusters):
        y, x = rng.integers(0, shape[0] - 3), rng.integers(0, shape[1] - 3)
        bad[y : y + 3, x : x + 3] = True
    return bad
