"""Sums over cubes that HIFReD fuses, against truth, in units of stated errors and of ERR."""

import time

import numpy as np
from fusion_benchmark.lines import Line

from jwst_fusion.hifred import HifredSettings, Response, error_of, fuse
from jwst_fusion.simulation.xray import xray_pair

__all__ = ["counts_sums"]

#: Expected counts of X and Y, or the signal-to-noise ratio of the brightest voxel of Gaussian data.
CASES = {
    "2e5 counts": (2e5, 2e5),
    "2e6 counts": (2e6, 2e6),
    "2e7 counts": (2e7, 2e7),
    "1e8 and 3e4 counts": (1e8, 3e4),
    "Gaussian": None,
}
_RADII = {1: 0.5, 9: 1.5, 29: 3.1, 81: 5.1}  # of apertures with so many pixels
_WIDTHS = (1, 5, 20, 100)
_LOW, _HIGH = 0.85, 1.2  # of the 68 % quantile
_MARGIN = 5  # pixels at the edge of the field that are no centres
_PLACES = 8  # apertures a scene and class
_LINE, _BESIDE = 4, 14  # channels on either side of a line, and with its continuum


def _fused(counts, seed):
    """Truth and result of a scene."""
    pair = xray_pair("small", seed=seed, counts=counts or (2e6, 2e6))
    shape = pair.truth.shape
    x = Response.build(shape, spectral=pair.rmf_x, arf=pair.arf_x, exposure=pair.exposure_x)
    y = Response.build(
        shape,
        psf=pair.psf_y,
        arf=pair.arf_y,
        exposure=pair.exposure_y,
        rebin=(1, *pair.rebin[1:]),
    )
    if counts is not None:
        return pair.truth, fuse(pair.x, pair.y, x, y)
    rng = np.random.default_rng(seed)
    sigma = [np.sqrt(one.mean()) for one in (pair.x_model, pair.y_model)]
    data = [
        one + s * rng.normal(size=one.shape)
        for one, s in zip((pair.x_model, pair.y_model), sigma, strict=True)
    ]
    settings = HifredSettings(likelihood="gaussian")
    variances = [np.full(one.shape, s**2) for one, s in zip(data, sigma, strict=True)]
    options = {"variance_x": variances[0], "variance_y": variances[1]}
    return pair.truth, fuse(*data, x, y, settings, **options)


def _sums(truth, rng):
    """Weights (n, L) of bands and lines, with their names."""
    channels, spectrum = len(truth), truth.mean(axis=(1, 2))
    names, weights = [], []
    for width in _WIDTHS:
        for start in rng.integers(0, channels - width, 3):
            names.append(f"{width} channels" if width > 1 else "1 channel")
            weights.append((np.arange(channels) >= start) & (np.arange(channels) < start + width))
    inner = slice(_BESIDE, channels - _BESIDE)
    peaks = np.argsort(spectrum[inner])[::-1][:40] + _BESIDE
    away = np.abs(np.arange(channels) - rng.choice(peaks, 3)[:, None])
    for distance in away:
        line = (distance <= _LINE) * 1.0
        beside = (distance > _LINE + 3) & (distance <= _BESIDE)
        names.append("line")
        weights.append(line - beside * line.sum() / beside.sum())
    return names, np.array(weights, float)


def counts_sums(*, quick=False):
    """
    Compare errors of sums over fused cubes with stated ones.

    Parameters
    ----------
    quick : bool
        One scene a case instead of three, and only three cases.

    Returns
    -------
    list of Line
        The 68 % quantile of the error in units of `error_of`, and of the root of the sum of squares
        of ERR.
    """
    lines, seconds = [], []
    for case, counts in list(CASES.items())[: 3 if quick else None]:
        found = {}
        for seed in range(1, 2 if quick else 4):
            truth, result = _fused(counts, seed)
            rng = np.random.default_rng(seed)
            image, error = truth.mean(axis=0), result.cube - truth
            rows, columns = np.indices(image.shape)
            inside = np.zeros(image.shape, bool)
            inside[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = True
            classes = {"bright fifth": image > np.quantile(image, 0.8), "all": image >= 0}
            for name, chosen in classes.items():
                places = rng.permutation(np.argwhere(inside & chosen))[:_PLACES]
                for y, x in places:
                    names, weights = _sums(truth, rng)
                    for pixels, radius in _RADII.items():
                        mask = np.hypot(rows - y, columns - x) < radius
                        start = time.perf_counter()
                        stated = error_of(result, mask, weights)
                        seconds.append(time.perf_counter() - start)
                        true = np.abs(weights @ (error * mask).sum(axis=(1, 2)))
                        square = (result.error**2 * mask).sum(axis=(1, 2))
                        naive = np.sqrt(weights**2 @ square)
                        for kind, pair in zip(
                            names, np.stack([true / stated, true / naive], axis=1), strict=True
                        ):
                            found.setdefault((name, kind, pixels), []).append(pair)
        kinds = dict.fromkeys((name, kind) for name, kind, _ in found)
        for name, kind in kinds:
            values = [np.quantile(found[name, kind, n], 0.68, axis=0) for n in _RADII]
            ours = " ".join(f"{one[0]:.2f}" for one in values)
            naive = " ".join(f"{one[1]:.2f}" for one in values)
            good = all(_LOW <= one[0] <= _HIGH for one in values)
            lines.append(
                Line(
                    f"{case}, {name}, {kind}: {', '.join(map(str, _RADII))} pixels",
                    ours,
                    f"{_LOW} to {_HIGH}",
                    good,
                    f"of ERR, added in square: {naive}",
                )
            )
    lines.append(Line.at_most("error_of", float(np.median(seconds)), 0.1, "s"))
    return lines
