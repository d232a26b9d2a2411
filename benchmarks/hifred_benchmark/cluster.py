"""Section of the benchmark of HIFReD: velocities in a cluster with as many counts as there are."""

from dataclasses import replace

import numpy as np
from fusion_benchmark.lines import Line

from jwst_fusion.hifred import HifredSettings, error_of, fuse
from jwst_fusion.hifred.line_maps import Line as SpectralLine
from jwst_fusion.hifred.line_maps import map_lines
from jwst_fusion.hifred.solver.brightness import brightness
from jwst_fusion.hifred.solver.instrument_data import check_data
from jwst_fusion.hifred.solver.prepared import mean_spectrum
from jwst_fusion.metrics import nmse
from jwst_fusion.simulation.xray_cluster import (
    LINES,
    REDSHIFT,
    ClusterSetup,
    cluster_pair,
    line_velocity,
)

__all__ = ["cluster"]

_COUNTS = ((2e5, 2.9e4), (1.4e6, 2e5), (1.4e7, 2e6))
_BAND = 20  # channels of 1 eV
_SLOPE = 0.8
_GROUP = 5  # lines of the strongest group, that of Fe XXV
_WIDER = 1.15  # PSF that makes the data of the twin, relative to the one that is believed


def _sums(pair, cube):
    return np.asarray(cube, float).reshape(len(cube), -1) @ pair.pixels[pair.good].T


def _flat(pair):
    """Mean spectrum of Y times the image of X, scaled to the brightness of the truth."""
    x, y = (
        check_data(name, data, response, "poisson", None, [])
        for name, data, response in (
            ("x", pair.x, pair.response_x),
            ("y", pair.y, pair.response_y),
        )
    )
    cube = mean_spectrum(y)[:, None, None] * brightness([x.likelihood], [x.response])
    return cube * (pair.truth.sum() / cube.sum())


def _pulls(pair, result):
    """Errors of sums over pixels of Y and 20 channels in units of what is stated."""
    energies = len(pair.truth)
    bands = np.kron(np.eye(energies // _BAND), np.ones((1, _BAND)))
    error = bands @ (_sums(pair, result.cube) - _sums(pair, pair.truth))
    rows = list(enumerate(np.flatnonzero(pair.good)))[::3]
    masks = (pair.pixels[[row]].toarray().reshape(pair.truth.shape[1:]) for _, row in rows)
    stated = [error_of(result, mask, bands) for mask in masks]
    return np.array([error[:, k] / one for (k, _), one in zip(rows, stated, strict=True)])


def _mapped(pair, result):
    """Row of the errors of maps of lines against the maps of the truth, in units of the stated."""
    lines = [SpectralLine(f"line {k}", one[0]) for k, one in enumerate(LINES[:_GROUP])]
    found, true = (
        map_lines(one, pair.edges, lines, unit="", redshift=REDSHIFT)
        for one in (result, replace(result, cube=pair.truth, posterior=None))
    )
    field = np.asarray(pair.pixels[pair.good].sum(axis=0)).reshape(pair.truth.shape[1:]) > 0.5
    values, rms = {}, 0.0
    for name in ("velocity", "width", "flux"):
        off = getattr(found, name)[0] - getattr(true, name)[0]
        known = field & np.isfinite(off)
        values[name] = _quantile(off[known] / getattr(found, f"{name}_error")[0][known])
        if name == "velocity":
            rms, part = np.sqrt(np.mean(off[known] ** 2)), known.sum() / field.sum()
    beside = f"width {values['width']:.2f}, flux of the first line {values['flux']:.2f}; "
    beside += f"velocities known in {part:.0%} of the pixels, rms {rms:.0f} km/s"
    return f"{values['velocity']:.2f}", beside


def _quantile(values):
    return float(np.quantile(np.abs(values), 0.68))


def cluster(*, quick=False):
    """
    Velocities, distance from the truth and errors of a cluster at three exposures.

    Parameters
    ----------
    quick : bool
        The shortest exposure only.

    Returns
    -------
    list of Line
    """
    lines = []
    cases = [(counts, wider) for counts in _COUNTS for wider in (1.0, _WIDER)]
    for counts, wider in cases[: 1 if quick else None]:
        pair = cluster_pair(ClusterSetup(counts=counts, wider=wider))
        true = line_velocity(_sums(pair, pair.truth), pair.edges)[0]
        observed = (pair.y - pair.response_y.background).reshape(len(pair.y), -1)[:, pair.good]
        model = pair.response_y.observe(pair.truth).reshape(len(pair.y), -1)[:, pair.good]
        limit = np.sqrt(np.mean(line_velocity(model, pair.edges, model)[1] ** 2))
        alone = line_velocity(observed, pair.edges)[0]
        least = nmse(pair.truth, _flat(pair), decibel=True)
        for changes in ("never", "auto") if wider == 1 else ("auto",):
            settings = HifredSettings(line_changes=changes)
            result = fuse(pair.x, pair.y, pair.response_x, pair.response_y, settings)
            found = line_velocity(_sums(pair, result.cube), pair.edges)[0]
            name = f"{counts[1]:.1e} counts, line_changes {changes}"
            if wider != 1:
                name = f"{counts[1]:.1e} counts, PSF of Y {100 * (wider - 1):.0f} % wider"
            slope, rms = _fit(true, found)
            beside = f"rms {rms:.0f} km/s of {true.std():.0f}; counts allow {limit:.0f}; "
            beside += "spectra of Y one by one {:.2f}, {:.0f}".format(*_fit(true, alone))
            what = f"{name}: slope of velocities"
            pull = (result.cube - pair.truth) / result.error
            value = nmse(pair.truth, result.cube, decibel=True)
            if changes == "never":
                lines.append(Line(what, f"{slope:.2f}", beside=beside))
                lines.append(Line(f"{name}: NMSE", f"{value:.1f} dB"))
                continue
            lines.append(Line.at_least(what, slope, _SLOPE, digits=2, beside=beside))
            said = f"{least:.1f} dB are the mean spectrum times the image of X; "
            said += f"{result.seconds:.0f} s CPU"
            lines.append(
                Line.at_least(f"{name}: NMSE", value, round(float(least), 1), "dB", beside=said)
            )
            beside = f"voxels {_quantile(pull):.2f}, their rms {np.sqrt(np.mean(pull**2)):.2f}"
            text = f"{_quantile(_pulls(pair, result)):.2f}"
            lines.append(Line(f"{name}: 68 % of errors of 30 arcsec x 20 eV", text, beside=beside))
            text, beside = _mapped(pair, result)
            lines.append(
                Line(f"{name}: 68 % of errors of velocities, map of lines", text, beside=beside)
            )
    return lines


def _fit(true, found):
    slope = float(np.polyfit(true, found, 1)[0])
    return slope, float(np.sqrt(np.mean((found - true) ** 2)))
