"""Fuse a simulated pair or the published toy in a process of its own; print a line of JSON."""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from jwst_fusion.hifred import HifredSettings, Response, fuse
from jwst_fusion.metrics import nmse
from jwst_fusion.simulation.xray import published_toy, xray_pair

__all__ = ["main"]

_EDGE = 8  # channels of X at either end that see light from beyond the energies of Y


def _gaussian(size, width):
    return np.exp(-0.5 * ((np.arange(size) - size // 2) / width) ** 2)


def _light_from_beyond(pair, lsf):
    """
    Expected counts of X from energies beyond those of Y.

    What X counts at the ends of its range more than the spectrum of Y explains, with the image that
    X shows there.
    """
    energies, channels = len(pair.y), len(pair.x)
    response = Response.build((energies, 1, 1), lsf=lsf, rebin=(pair.rebin[0], 1, 1))
    explained = response.forward(pair.y.sum(axis=(1, 2))[:, None, None])[:, 0, 0]
    seen = pair.x.sum(axis=(1, 2))
    inner = slice(_EDGE, channels - _EDGE)
    explained *= seen[inner].sum() / explained[inner].sum()
    more = np.maximum(seen - explained, 0.0)
    more[inner] = 0.0
    ends = [image / image.sum() for image in (pair.x[:4].sum(axis=0), pair.x[-4:].sum(axis=0))]
    return np.stack([value * ends[k >= channels // 2] for k, value in enumerate(more)])


def observe(case):
    """Data and responses of a case."""
    if case.get("toy"):
        pair = published_toy(Path(case["toy"]), seed=0)
        # the file's kernels are those of the instruments; the source has the resolution of X in
        # space and of Y in energy, so that only what is wider than that acts on it
        step = 1e3 * (pair.edges[1] - pair.edges[0])
        lsf = _gaussian(467, np.sqrt(21.0**2 - 2.5**2) / step)
        line = _gaussian(25, np.sqrt(3.0**2 - 1.0**2))
        shape = (len(pair.y), *pair.x.shape[1:])
        beyond = _light_from_beyond(pair, lsf)
        x = Response.build(shape, lsf=lsf, rebin=(pair.rebin[0], 1, 1), background=beyond)
        y = Response.build(shape, psf=np.outer(line, line), rebin=(1, *pair.rebin[1:]))
        return pair, x, y
    pair = xray_pair(case["setup"], seed=case.get("seed", 1))
    shape = pair.truth.shape
    x = Response.build(shape, spectral=pair.rmf_x, arf=pair.arf_x, exposure=pair.exposure_x)
    y = Response.build(
        shape,
        psf=pair.psf_y,
        rebin=(1, *pair.rebin[1:]),
        arf=pair.arf_y,
        exposure=pair.exposure_y,
    )
    return pair, x, y


def _rms(found, expected):
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def _transposed(pair, x, y, case, result):
    """Relative difference from the fusion of transposed cubes."""
    shape = (x.shape[0], x.shape[2], x.shape[1])
    options = {"arf": pair.arf_x, "exposure": pair.exposure_x}
    first = Response.build(shape, spectral=pair.rmf_x, **options)
    second = Response.build(
        shape,
        psf=pair.psf_y.T,
        rebin=(1, *pair.rebin[:0:-1]),
        arf=pair.arf_y,
        exposure=pair.exposure_y,
    )
    data = [np.ascontiguousarray(a.swapaxes(1, 2)) for a in (pair.x, pair.y)]
    other = fuse(*data, first, second, HifredSettings(**case["options"]))
    return _rms(other.cube.swapaxes(1, 2), result.cube)


def main():
    """Run the case given as JSON on the command line."""
    case = json.loads(sys.argv[1])
    pair, x, y = observe(case)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall = time.perf_counter()
    result = fuse(pair.x, pair.y, x, y, HifredSettings(**case["options"]))
    wall = time.perf_counter() - wall
    out = {
        "cpu": result.seconds,
        "wall": wall,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "before": before / 1e6,
        "converged": bool(result.converged),
        "iterations": result.iterations,
        "accuracy": result.accuracy,
        "mu": result.mu,
        "rank": result.rank,
        "line_changes": "line_changes" in result.chosen,
        "x": _rms(pair.x, pair.x_model) / _rms(result.model_x, pair.x_model),
        "y": _rms(pair.y, pair.y_model) / _rms(result.model_y, pair.y_model),
    }
    if pair.truth is not None:
        out["nmse"] = nmse(pair.truth, result.cube, decibel=True)
        if result.error is not None:
            bright = pair.truth > np.median(pair.truth)
            chi = ((result.cube - pair.truth) / result.error)[bright]
            out["chi"] = float(np.median(np.abs(chi)) / 0.6745)
    if case.get("transpose"):
        out["transposed"] = _transposed(pair, x, y, case, result)
    sys.stdout.write(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
