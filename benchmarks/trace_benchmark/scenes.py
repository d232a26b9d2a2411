"""Accuracy near sources in single slices of known truth: ours, jwst's and linear interpolation."""

import logging
import warnings
from dataclasses import dataclass, replace

import numpy as np
from jwst.adaptive_trace_model.trace_model import fit_all_regions, oversample_flux

from jwst_fusion.adaptive_trace_model.exposure import ExposureImages, trace_exposure
from jwst_fusion.adaptive_trace_model.geometry_array import ArrayGeometry
from jwst_fusion.adaptive_trace_model.modes import find_mode
from jwst_fusion.adaptive_trace_model.settings import TraceSettings
from jwst_fusion.adaptive_trace_model.slices import oversampled_position
from jwst_fusion.simulation.trace_scenes import SCENES, make_scene
from jwst_fusion.simulation.traces import mrs_grid, nirspec_grid
from trace_benchmark.table import Row

__all__ = ["accuracy"]

log = logging.getLogger(__name__)

#: Scenes that have to reach half of jwst's error; the others must not be worse than it.
_NAMED = {
    "bright": "bright star",
    "faint": "faint star",
    "pair": "pair 2.25 pixels apart, different spectra",
    "emission lines": "emission lines on continuum",
}
#: How far from a source errors count, native pixels.
_NEAR = 3.0
_SEED = 11
# What jwst's step gives its functions in the two modes.
_JWST = {
    "NIRSpec": (
        {"lrange": 50, "space_ratio": 1.6},
        {"pad": 2, "trim_ends": True, "require_ngood": 3},
    ),
    "MRS": (
        {"lrange": 50, "space_ratio": 1.2, "spline_bkpt": 36, "require_ngood": 8},
        {"pad": 3, "trim_ends": False, "require_ngood": 3},
    ),
}
_MODES = {
    "NIRSpec": ("NRS_IFU", "NRS1", "G235H"),
    "MRS": ("MIR_MRS", "MIRIFUSHORT", None),
}
_METRE_PER_PIXEL = 4e-4


@dataclass(frozen=True)
class _Truth:
    """
    Truth on the oversampled rows; arrays (column, row).

    Parameters
    ----------
    flux : ndarray
        Noiseless brightness.
    noise : ndarray
        Noise of the data, interpolated: what every method carries over.
    peak : ndarray
        Brightness of the sources' brightest pixel in each column, shape (column, 1).
    model_noise : ndarray
        Noise of the model of the truth, fitted to each column with one amplitude per source: what
        the best model has.
    counts : ndarray of bool
        Pixels near a source that have native data and no cosmic ray beside them.
    linear : ndarray
        Linearly interpolated data.
    """

    flux: np.ndarray
    noise: np.ndarray
    model_noise: np.ndarray
    peak: np.ndarray
    counts: np.ndarray
    linear: np.ndarray

    def error(self, flux, noise):
        """Error beyond the noise in per cent of the column's peak, NaN where it does not count."""
        return np.where(self.counts, 100 * (flux - self.flux - noise) / self.peak, np.nan)


def accuracy(folder, *, quick=False, reuse=False):
    """
    Errors of oversampled data and trace models near sources, oversample 2.

    Parameters
    ----------
    folder : pathlib.Path
        Where jwst's results are kept.
    quick : bool
        Only the scenes that have to reach half of jwst's error.
    reuse : bool
        Take jwst's results of an earlier run if they are there.

    Returns
    -------
    list of Row
        Errors are beyond the noise that no method avoids: that of the interpolated data, and for
        the trace model that of the true profile fitted to each column.
    """
    names = list(_NAMED) if quick else list(SCENES)
    rows = []
    for mode in ["NIRSpec"] if quick else list(_JWST):
        for name in names:
            scene = make_scene(name, nirspec_grid() if mode == "NIRSpec" else mrs_grid())
            if not scene.sources:
                continue
            rows += _rows(mode, name, scene, folder, reuse)
    return rows


def _rows(mode, name, scene, folder, reuse):
    """Rows of one scene."""
    observed = scene.observe(seed=_SEED)
    truth = _truth(scene, observed)
    ours, window = (_ours(mode, observed, kind) for kind in ("surface", "window"))
    theirs = _theirs(mode, name, observed, scene, folder, reuse)
    end = np.arange(scene.grid.n_column)[:, None] >= 7 * scene.grid.n_column // 8
    parts = {"": True}
    if mode == "NIRSpec" and name == "bright":
        parts[", end where the trace follows the rows"] = end
    limit = 0.5 if name in _NAMED else 1.1
    title = f"{mode}: {_NAMED.get(name, name)}"
    rows = []
    for part, where in parts.items():
        images = (ours["flux"], theirs["flux"], truth.linear, window["flux"])
        errors = [truth.error(image, truth.noise) for image in images]
        shared = np.isfinite(errors[0]) & np.isfinite(errors[1])
        flux = [_rms(error, shared & where) for error in errors]
        lost = [100 * np.mean(np.isnan(error[truth.counts & where])) for error in errors[:2]]
        note = f"linear interpolation {flux[2]:#.3g} %; profile_model=window {flux[3]:#.3g} %"
        if max(lost) >= 0.5:
            note += f"; without a value: ours {lost[0]:.0f} %, jwst's {lost[1]:.0f} %"
        rows.append(Row.compare(f"{title}{part} ({note})", flux[0], flux[1], "%", limit=limit))
        images = (ours["model"], theirs["model"])
        model = [truth.error(image, truth.model_noise) for image in images]
        shared = np.isfinite(model[0]) & np.isfinite(model[1])
        if np.mean(shared[truth.counts]) > 0.2:
            error = [_rms(image, shared & where) for image in model]
            rows.append(Row.compare(f"{title}{part}, trace model", *error, "%", limit=limit))
    log.info("%s", "\n".join(" | ".join(row.cells()) for row in rows))
    return rows


def _rms(error, where):
    error = error[np.isfinite(error) & where]
    return float(np.sqrt(np.mean(error**2)))


def _rows_of(grid):
    """Native row of each oversampled row, shape (1, row)."""
    return oversampled_position(np.arange(2 * grid.n_row), 2.0)[None]


def _truth(scene, observed):
    grid = scene.grid
    position = _rows_of(grid)
    coordinate = grid.coordinate(position)
    native = np.clip(np.floor(position + 0.5).astype(int), 0, grid.n_row - 1)
    native = np.broadcast_to(native, coordinate.shape)
    good = np.isfinite(observed.flux)
    counts = np.take_along_axis(good, native, axis=1)
    near = np.zeros(coordinate.shape, dtype=bool)
    core = np.zeros(good.shape, dtype=bool)
    for source in scene.sources:
        near |= np.abs(coordinate - source.center) <= _NEAR
        core |= np.abs(observed.coordinate - source.center) <= 2
    hit = _interpolate(observed.residue.astype(float), good, position) > 0
    # Two pixels of a core under one cosmic ray that no flag marks: nothing could tell.
    hit |= ((core & observed.residue).sum(axis=1) >= 2)[:, None]
    inside = np.take_along_axis(np.isfinite(observed.coordinate), native, axis=1)
    light = np.where(inside, np.abs(scene.sources_truth(coordinate)), 0)
    peak = light.max(axis=1)
    peak = np.maximum(peak, 0.1 * np.median(peak[peak > 0.01 * peak.max()]))
    return _Truth(
        flux=scene.truth(coordinate),
        noise=_interpolate(observed.noise, good, position),
        model_noise=_model_noise(scene, observed, coordinate),
        peak=peak[:, None],
        counts=near & counts & ~hit,
        linear=_interpolate(observed.flux, good, position),
    )


def _model_noise(scene, observed, fine):
    """Noise of the true profiles of all sources, fitted to each column of the data."""
    good = np.isfinite(observed.flux)
    native = np.where(good, observed.coordinate, 0)
    alone = [replace(scene, sources=(source,), diffuse=()) for source in scene.sources]
    shapes = np.stack([np.where(good, one.sources_truth(native), 0) for one in alone], axis=-1)
    weighted = np.divide(shapes, observed.error[..., None] ** 2, where=good[..., None])
    weighted = np.where(good[..., None], weighted, 0)
    normal = np.swapaxes(shapes, 1, 2) @ weighted
    side = np.einsum("crs,cr->cs", weighted, observed.noise)
    amplitude = np.zeros_like(side)
    usable = np.linalg.cond(normal) < 1e12
    amplitude[usable] = np.linalg.solve(normal[usable], side[usable, :, None])[..., 0]
    shapes = np.stack([one.sources_truth(fine) for one in alone], axis=-1)
    return np.einsum("crs,cs->cr", shapes, amplitude)


def _interpolate(values, good, position):
    """Linear interpolation of each column between its good rows."""
    row = np.arange(values.shape[1])
    out = np.full((len(values), position.shape[1]), np.nan)
    for column, valid in enumerate(good):
        if valid.sum() >= 4:
            out[column] = np.interp(position[0], row[valid], values[column, valid])
    return out


def _ours(mode, observed, profile_model):
    """Our oversampled data and trace model, (column, row)."""
    instrument, _ = find_mode(*_MODES[mode])
    result = trace_exposure(
        ExposureImages(flux=observed.flux.T, error=observed.error.T),
        ArrayGeometry(observed.coordinate.T),
        instrument,
        TraceSettings(oversample=2.0, profile_model=profile_model),
        intermediate=True,
    )
    return {
        "flux": result.images["flux"].T.astype(float),
        "model": result.images["spline_full"].T.astype(float),
    }


def _theirs(mode, name, observed, scene, folder, reuse):
    """jwst's oversampled data and trace model, (column, row)."""
    path = folder / "scenes" / f"{mode}_{name.replace(' ', '_')}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    flux, error = observed.flux.T.astype(np.float32), observed.error.T.astype(np.float32)
    if reuse and path.exists():
        kept = np.load(path)
        if np.array_equal(kept["input"], flux, equal_nan=True):
            return {key: kept[key].T.astype(float) for key in ("flux", "model")}
    fit_options, oversample_options = _JWST[mode]
    alpha = observed.coordinate.T * _METRE_PER_PIXEL
    regions = np.isfinite(alpha).astype(np.int32)
    fine = scene.grid.coordinate(_rows_of(scene.grid)).T * _METRE_PER_PIXEL
    order = np.arange(flux.shape[1])
    if mode == "MRS":
        half = len(order) // 2
        order = np.concatenate([order[: half + 1], order[:half:-1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = fit_all_regions(flux, error, alpha, regions, col_index=order, **fit_options)
        result = oversample_flux(
            flux, alpha, regions, models, 2.0, fine, slope_limit=0.1, **oversample_options
        )
    np.savez(path, input=flux, flux=result[0], model=result[2])
    return {"flux": result[0].T, "model": result[2].T}
