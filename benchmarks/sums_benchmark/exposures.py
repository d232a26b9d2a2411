"""Sums over oversampled exposures, and over cubes that are built from them, against noise."""

import logging
import tempfile
from pathlib import Path

import numpy as np
from fusion_benchmark.lines import Line

from jwst_fusion.adaptive_trace_model import TraceSettings, error_of, oversample
from jwst_fusion.products.open import open_model
from jwst_fusion.simulation import crds_offline
from jwst_fusion.simulation.cube_parameters import write_nirspec_cube_parameters
from jwst_fusion.simulation.observation import simulate_exposures
from jwst_fusion.simulation.scenes import single_star
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep

__all__ = ["cube_sums", "exposure_sums"]

_ROWS, _COLUMNS = 30, 300
_HEIGHTS = (1, 2, 3, 5, 9, 15)
_EDGE = 20  # columns at either end that are left out
_WAVES = (1.75, 1.85)  # um, of cubes
_BOXES = (1, 3, 5, 9)  # spaxels along a side
_DEPTHS = (1, 5, 20)  # channels


def _observed(flux, seed):
    row, column = np.mgrid[:_ROWS, :_COLUMNS]
    coordinate = row - 12.3 - 0.02 * (column - _COLUMNS / 2)
    truth = 5.0 + flux * np.exp(-0.5 * (coordinate / 0.8) ** 2)
    error = np.sqrt(0.09 + 0.02 * truth)
    noise = np.random.default_rng(seed).normal(size=truth.shape)
    return truth + error * noise, error, coordinate


def exposure_sums(*, quick=False):
    """
    Compare errors of sums over rows of oversampled exposures with those of repeated ones.

    Parameters
    ----------
    quick : bool
        Only oversampled by 2.

    Returns
    -------
    list of Line
        Stated over true errors: of `error_of`, and of ERR added in square.
    """
    lines = []
    for factor in (2.0,) if quick else (2.0, 3.0):
        for flux, kind in ((0.0, "no source"), (30.0, "faint star"), (1000.0, "bright star")):
            masks = []
            for height in _HEIGHTS:
                start = int(factor * 12.8) - height // 2
                rows = np.arange(int(_ROWS * factor))
                inside = (rows >= start) & (rows < start + height)
                masks.append(np.repeat(inside[:, None], _COLUMNS, axis=1) * 1.0)
            masks.append(np.ones_like(masks[0]))
            sums, stated, naive = [], 0.0, 0.0
            for seed in range(40):
                data, error, coordinate = _observed(flux, seed)
                options = TraceSettings(oversample=factor)
                result = oversample(data, error, coordinate, options=options)
                sums.append([(one * result.flux).sum(axis=0)[_EDGE:-_EDGE] for one in masks])
            stated = [error_of(result, one)[_EDGE:-_EDGE] for one in masks]
            naive = [(one * result.error**2).sum(axis=0)[_EDGE:-_EDGE] for one in masks]
            true = np.mean(np.var(sums, axis=0, ddof=1), axis=1)
            ours = np.sqrt(np.mean(np.square(stated), axis=1) / true)
            other = np.sqrt(np.mean(naive, axis=1) / true)
            lines.append(
                Line(
                    f"oversampled by {factor:g}, {kind}: {', '.join(map(str, _HEIGHTS))}, all rows",
                    " ".join(f"{one:.2f}" for one in ours),
                    "0.85 to 1.2",
                    bool((ours > 0.85).all() and (ours < 1.2).all()),
                    "ERR added in square: " + " ".join(f"{one:.2f}" for one in other),
                )
            )
    return lines


def cube_sums(*, quick=False):
    """
    Compare the noise of sums of spaxels with ERR of the cube, for native and oversampled exposures.

    Parameters
    ----------
    quick : bool
        Only native and oversampled by 2.

    Returns
    -------
    list of Line
        True errors over ERR added in square.
    """
    from jwst.cube_build import CubeBuildStep

    lines = []
    logging.disable(logging.WARNING)  # of the steps
    with tempfile.TemporaryDirectory() as folder:
        paths = simulate_exposures(Path(folder), single_star(peak=40.0))
        parameters = write_nirspec_cube_parameters(Path(folder) / "cubepar.fits")
        for factor in (1.0, 2.0) if quick else (1.0, 2.0, 3.0):
            models = []
            for number, path in enumerate(paths):
                model = open_model(path).copy()
                rng = np.random.default_rng(number)
                seen = np.isfinite(model.data)
                model.data = np.where(seen, rng.normal(size=seen.shape), np.nan).astype("f4")
                model.err = np.where(seen, 1.0, np.nan).astype("f4")
                for name in ("var_poisson", "var_rnoise", "var_flat"):
                    value = 1.0 if name == "var_rnoise" else 0.0
                    setattr(model, name, np.where(seen, value, np.nan).astype("f4"))
                if factor > 1:
                    model = AdaptiveTraceModelStep.call(
                        model, oversample=factor, save_results=False
                    )
                models.append(model)
            with crds_offline():
                cube = CubeBuildStep.call(
                    models,
                    override_cubepar=parameters,
                    wavemin=_WAVES[0],
                    wavemax=_WAVES[1],
                    save_results=False,
                )[0]
            lines += _of_cube(np.array(cube.data, float), np.array(cube.err, float), factor)
    logging.disable(logging.NOTSET)
    return lines


def _of_cube(data, err, factor):
    lines = []
    good = np.isfinite(data) & (err > 0)
    whole = good.mean(axis=0) > 0.95
    values, square = np.where(good, data, 0.0), np.where(good, err**2, 0.0)
    for depth in _DEPTHS:
        ratios = []
        for size in _BOXES:
            true, naive = [], []
            for y in range(0, data.shape[1] - size + 1, max(size // 2, 1)):
                for x in range(0, data.shape[2] - size + 1, max(size // 2, 1)):
                    box = slice(y, y + size), slice(x, x + size)
                    if not whole[box].all():
                        continue
                    count = len(data) // depth * depth
                    parts = [
                        one[:count, box[0], box[1]].sum(axis=(1, 2)).reshape(-1, depth).sum(axis=1)
                        for one in (values, square)
                    ]
                    true.append(parts[0] ** 2)
                    naive.append(parts[1])
            ratios.append(np.sqrt(np.mean(true) / np.mean(naive)))
        sides = ", ".join(f"{one} x {one}" for one in _BOXES)
        what = "native pixels" if factor == 1 else f"oversampled by {factor:g}"
        plural = "channel" if depth == 1 else "channels"
        lines.append(
            Line(
                f"cube, {what}: {sides} spaxels, {depth} {plural}",
                " ".join(f"{one:.2f}" for one in ratios),
            )
        )
    return lines
