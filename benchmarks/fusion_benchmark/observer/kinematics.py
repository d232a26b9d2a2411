"""Gaussian lines fitted to all spectra of a cube at once: flux, velocity, width and errors."""

from dataclasses import dataclass

import numpy as np

from fusion_benchmark.observer.spectral import LIGHT, RESOLVING_POWER

__all__ = ["LineFit", "fit_line"]

_STEPS = 40
_REACH = 1100.0  # km/s on either side of the line
# Bounds of the width, km/s: the spectrograph shows nothing much narrower than its own profile.
_NARROWEST, _WIDEST = 0.5 * LIGHT / RESOLVING_POWER / 2.3548, 400.0


@dataclass(frozen=True)
class LineFit:
    """
    Lines fitted to spectra; of several components the first axis is that of the components.

    Parameters
    ----------
    flux, velocity, width : ndarray
        Flux in the unit of the spectra times km/s, velocity and standard deviation, km/s, shape
        (components, n).
    flux_error, velocity_error, width_error : ndarray
        1-sigma errors if those of the spectra are independent.
    channels : ndarray
        Indices (L') of the channels that were fitted.
    gain : dict of str to ndarray
        "flux", "velocity", "width": change of those of the first component for a small change of
        the spectrum, shape (n, L'): weights with which they are sums over channels.
    """

    flux: np.ndarray
    velocity: np.ndarray
    width: np.ndarray
    flux_error: np.ndarray
    velocity_error: np.ndarray
    width_error: np.ndarray
    channels: np.ndarray
    gain: dict


def fit_line(wavelength, spectra, sigma, centre, *, start=None):
    """
    Fit Gaussian lines on a straight continuum to many spectra (Levenberg-Marquardt).

    Parameters
    ----------
    wavelength : ndarray
        Micrometre, shape (L,).
    spectra, sigma : ndarray
        Spectra and errors, shape (L, n).
    centre : float
        Wavelength of the line at rest, micrometre.
    start : sequence of tuple, optional
        Velocity (n,) and width of each component to begin with, km/s; by default one component
        at the brightest channel.

    Returns
    -------
    LineFit
    """
    speed = np.log(wavelength / centre) * LIGHT
    near = np.abs(speed) < _REACH
    speed, data, inverse = speed[near], spectra[near].T, 1 / sigma[near].T
    level = np.quantile(data, 0.3, axis=1)
    if start is None:
        inner = np.abs(speed) < 0.6 * _REACH
        above = np.where(inner, data - level[:, None], -np.inf)
        start = [(speed[np.argmax(above, axis=1)], 60.0)]
    values = [level, np.zeros(len(data))]
    for velocity, width in start:
        at = np.argmin(np.abs(speed - np.reshape(velocity, (-1, 1))), axis=1)
        peak = np.maximum(data[np.arange(len(data)), at] - level, 1e-3 * np.abs(level) + 1e-12)
        values += [
            peak / len(start),
            velocity + np.zeros(len(data)),
            np.full(len(data), float(width)),
        ]
    values = np.stack(values, axis=1)
    damping = np.full(len(data), 1e-2)
    model, slope = _model(speed, values)
    chi2 = np.sum(((data - model) * inverse) ** 2, axis=1)
    for _ in range(_STEPS):
        step = _step(slope, data - model, inverse, damping)
        trial = _bounded(values + step)
        seen, steeper = _model(speed, trial)
        reached = np.sum(((data - seen) * inverse) ** 2, axis=1)
        better = reached < chi2
        values[better], chi2[better] = trial[better], reached[better]
        model[better], slope[better] = seen[better], steeper[better]
        damping = np.clip(np.where(better, damping / 5, damping * 4), 1e-9, 1e9)
    white = slope * inverse[:, :, None]
    covariance = np.linalg.pinv(np.einsum("nla,nlb->nab", white, white), hermitian=True)
    peak, velocity, width = (values[:, 2 + i :: 3].T for i in range(3))
    root = np.sqrt(2 * np.pi)
    variance = np.einsum("naa->an", covariance)
    gain = np.einsum("nab,nlb->anl", covariance, white * inverse[:, :, None])
    flux_gain = root * (gain[2] * width[0, :, None] + gain[4] * peak[0, :, None])
    mixed = np.array([covariance[:, i, i + 2] for i in range(2, values.shape[1], 3)])
    flux_variance = width**2 * variance[2::3] + peak**2 * variance[4::3]
    flux_variance += 2 * peak * width * mixed
    return LineFit(
        root * peak * width,
        velocity,
        width,
        root * np.sqrt(np.maximum(flux_variance, 0)),
        np.sqrt(variance[3::3]),
        np.sqrt(variance[4::3]),
        np.flatnonzero(near),
        {"flux": flux_gain, "velocity": gain[3], "width": gain[4]},
    )


def _bounded(values):
    values[:, 3::3] = np.clip(values[:, 3::3], -_REACH, _REACH)
    values[:, 4::3] = np.clip(values[:, 4::3], _NARROWEST, _WIDEST)
    return values


def _model(speed, values):
    """Spectra (n, L') and their derivatives (n, L', parameters)."""
    slope = np.empty((len(values), len(speed), values.shape[1]))
    slope[:, :, 0], slope[:, :, 1] = 1, speed / _REACH
    model = values[:, :1] + values[:, 1:2] * speed / _REACH
    for i in range(2, values.shape[1], 3):
        peak, velocity, width = (values[:, i + j, None] for j in range(3))
        away = (speed - velocity) / width
        profile = np.exp(-0.5 * away**2)
        model = model + peak * profile
        slope[:, :, i] = profile
        slope[:, :, i + 1] = peak * profile * away / width
        slope[:, :, i + 2] = peak * profile * away**2 / width
    return model, slope


def _step(slope, residual, inverse, damping):
    white = slope * inverse[:, :, None]
    normal = np.einsum("nla,nlb->nab", white, white)
    rhs = np.einsum("nla,nl->na", white, residual * inverse)
    diagonal = np.einsum("naa->na", normal)
    size = np.sqrt(np.maximum(diagonal, 1e-30))
    normal = normal / size[:, :, None] / size[:, None, :]
    normal += damping[:, None, None] * np.eye(normal.shape[1]) + 1e-10 * np.eye(normal.shape[1])
    return np.linalg.solve(normal, (rhs / size)[:, :, None])[:, :, 0] / size
