"""Seconds and memory: the fit of a slice, and whole steps from file to file."""

import logging
import time

import numpy as np
from jwst.adaptive_trace_model.trace_model import fit_2d_spline_trace
from stdatamodels.jwst import datamodels

from jwst_fusion.adaptive_trace_model.geometry import make_geometry
from jwst_fusion.adaptive_trace_model.modes import find_mode
from jwst_fusion.adaptive_trace_model.trace import fit_trace
from trace_benchmark.children import run_step
from trace_benchmark.inputs import star
from trace_benchmark.table import Row

__all__ = ["fit_cost", "step_cost"]

log = logging.getLogger(__name__)

#: What jwst's step gives its fit for NIRSpec.
_JWST_NIRSPEC = {"lrange": 50, "space_ratio": 1.6}


def fit_cost(folder, *, quick=False, reuse=False):
    """
    CPU seconds of the spline fit per slice, in one thread, on the same arrays.

    Parameters
    ----------
    folder : pathlib.Path
        Where the exposure is kept.
    quick : bool
        Fit one slice with jwst's code instead of two.
    reuse : bool
        Not used.

    Returns
    -------
    list of Row
    """
    with datamodels.open(star(folder)) as model:
        instrument = model.meta.instrument
        mode, _ = find_mode(model.meta.exposure.type, instrument.detector, instrument.grating)
        geometry = make_geometry(mode.geometry, model)
        flux, error = np.array(model.data), np.array(model.err)
    slices = []
    for layout in geometry.layouts:
        coordinate, _ = geometry.coordinates(layout)
        slices.append((layout.cut(flux), layout.cut(error), coordinate))
    slices.sort(key=lambda arrays: -np.nansum(arrays[0]))
    ours = [_cpu(fit_trace, *arrays) for arrays in slices[:8]]
    theirs = []
    for slice_flux, _, coordinate in slices[: 1 if quick else 2]:
        # (row, column), each column of the flux divided by its sum
        scale = np.nansum(slice_flux.T, axis=0)
        theirs.append(
            _cpu(
                fit_2d_spline_trace,
                slice_flux.T,
                coordinate.T,
                fit_scale=scale,
                **_JWST_NIRSPEC,
            )
        )
    log.info("fit per slice: ours %s, jwst %s", np.round(ours, 3), np.round(theirs, 2))
    return [
        Row.compare(
            "spline fit per NIRSpec slice, CPU",
            float(np.mean(ours)),
            float(np.mean(theirs)),
            "s",
            limit=1 / 60,
        )
    ]


def _cpu(function, *args, **options):
    """CPU seconds of one call."""
    start = time.process_time()
    if not function(*args, **options):
        msg = f"{function.__name__} gave no fit"
        raise RuntimeError(msg)
    return time.process_time() - start


def step_cost(title, path, folder, *, limit, quick=False, reuse=False, **parameters):
    """
    Whole step from file to file in a fresh interpreter: wall and CPU seconds, peak memory.

    Parameters
    ----------
    title : str
        What the rows are called.
    path : str
        Exposure.
    folder : pathlib.Path
        Where products are kept.
    limit : float
        Largest ratio of the seconds that reaches the target.
    quick : bool
        Run ours once instead of three times; the median is taken.
    reuse : bool
        Take earlier figures of jwst's step if they are there.
    **parameters
        Parameters of both steps.

    Returns
    -------
    list of Row
    """
    ours = [run_step("ours", path, folder, **parameters) for _ in range(1 if quick else 3)]
    theirs = run_step("jwst", path, folder, reuse=reuse, **parameters)
    fitted = f"{ours[0].fitted} and {theirs.fitted} slices fitted"

    def median(name):
        return float(np.median([getattr(run, name) for run in ours]))

    return [
        Row.compare(f"{title} ({fitted}), wall", median("wall"), theirs.wall, "s", limit=limit),
        Row.compare(f"{title}, CPU", median("cpu"), theirs.cpu, "s", limit=limit),
        Row.compare(f"{title}, peak memory", median("memory"), theirs.memory, "GiB", limit=1.0),
    ]
