"""Pictures and table of HIFReD on simulated supernova remnants: spectra, maps, errors."""

import argparse
import logging
import os
import tempfile
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from hifred_benchmark.setups import HEADER, NAMES, REGULARISATIONS, fused, table
from trace_benchmark.table import as_rst

from jwst_fusion.metrics import relative_error_map, sam_map

log = logging.getLogger("benchmark")

_COLOURS = {"wavelet_2d1d": "#009e73", "low_rank_sobolev": "#d55e00", "low_rank_wavelet": "#0072b2"}
_DOTS = 70
_FAINTEST = 0.005  # of the brightest pixel: relative errors of nothing are not shown


def spectra(setups, path, work):
    """
    Draw the spectra of a faint and of a bright pixel, as Fig. 7 of Lascar et al. (2025).

    Parameters
    ----------
    setups : sequence of str
        Set-ups, one row each.
    path : pathlib.Path
        Picture to write.
    work : pathlib.Path
        Folder of the results.
    """
    figure, axes = plt.subplots(
        len(setups), 2, figsize=(10, 2.3 * len(setups)), layout="constrained", squeeze=False
    )
    for row, setup in zip(axes, setups, strict=True):
        for regularisation in ("wavelet_2d1d", "low_rank_sobolev"):
            pair, cube, *_ = fused(setup, regularisation, work=work)
            energy = 0.5 * (pair.edges[1:] + pair.edges[:-1])
            scale = _counts(pair)
            for axis, (y, x) in zip(row, _pixels(pair), strict=True):
                if not axis.lines:
                    axis.plot(energy, scale * pair.truth[:, y, x], "k", lw=1.4, label="truth")
                    axis.set_title(f"{NAMES[setup]}, pixel ({x}, {y})", fontsize="small")
                axis.plot(
                    energy,
                    scale * cube[:, y, x],
                    color=_COLOURS[regularisation],
                    lw=0.7,
                    label=REGULARISATIONS[regularisation],
                )
        row[0].set_ylabel("counts per channel")
    axes[0, 0].legend(fontsize="small", frameon=False)
    for axis in axes[-1]:
        axis.set_xlabel("energy [keV]")
    _save(figure, path)


def maps(setups, path, work, kind):
    """
    Draw maps of each regularisation, as Fig. B.1 to B.3 of Lascar et al. (2025).

    Parameters
    ----------
    setups : sequence of str
        Set-ups, one row each.
    path : pathlib.Path
        Picture to write.
    work : pathlib.Path
        Folder of the results.
    kind : {"amplitude", "sam", "error"}
        Sum over energies beside the truth and the data, spectral angle, relative error.
    """
    first = ("truth", "X", "Y") if kind == "amplitude" else ()
    width = len(first) + len(REGULARISATIONS)
    figure, axes = plt.subplots(
        len(setups),
        width,
        figsize=(1.9 * width + 0.8, 1.9 * len(setups) + 0.3),
        layout="constrained",
        squeeze=False,
    )
    for number, (row, setup) in enumerate(zip(axes, setups, strict=True)):
        images = {}
        for regularisation, short in REGULARISATIONS.items():
            pair, cube, *_ = fused(setup, regularisation, work=work)
            images[short] = _map(pair, cube, kind)
        options = _scale_of(kind, images, pair)
        if first:
            given = (_map(pair, pair.truth, kind), pair.x.sum(axis=0), pair.y.sum(axis=0))
            images = dict(zip(first, given, strict=True)) | images
        for axis, (title, image) in zip(row, images.items(), strict=True):
            if title in ("X", "Y"):
                own = {"norm": mpl.colors.PowerNorm(0.5, 0, image.max())}
            else:
                own = options
            drawn = axis.imshow(
                image, origin="lower", interpolation="nearest", cmap=_cmap(kind), **own
            )
            axis.set_xticks([])
            axis.set_yticks([])
            if number == 0:
                axis.set_title(title, fontsize="small")
        row[0].set_ylabel(NAMES[setup], fontsize="x-small")
        figure.colorbar(drawn, ax=row[-1], label=_LABELS[kind], pad=0.02)
    _save(figure, path)


_LABELS = {"amplitude": "counts", "sam": "angle [rad]", "error": "error [%]"}


def _cmap(kind):
    return {"amplitude": "inferno", "sam": "viridis", "error": "RdBu_r"}[kind]


def _map(pair, cube, kind):
    if kind == "amplitude":
        return _counts(pair) * cube.sum(axis=0)
    if kind == "sam":
        return sam_map(pair.truth, cube)
    error = relative_error_map(pair.truth, cube)
    amplitude = pair.truth.sum(axis=0)
    return np.where(amplitude > _FAINTEST * amplitude.max(), error, np.nan)


def _scale_of(kind, images, pair):
    if kind == "amplitude":
        return {"norm": mpl.colors.PowerNorm(0.5, 0, _map(pair, pair.truth, kind).max())}
    if kind == "sam":
        return {"vmin": 0.0, "vmax": max(np.nanmax(image) for image in images.values())}
    return {"vmin": -20.0, "vmax": 20.0}


def _counts(pair):
    """Factor from the unit of the scene to counts of X, for axes that can be read."""
    return pair.x_model.sum() / pair.truth.sum()


def _pixels(pair):
    """A pixel of half the mean brightness near the middle, and one of the shell's brightest."""
    image = pair.truth.sum(axis=0)
    y, x = np.indices(image.shape)
    middle = np.hypot(y - image.shape[0] / 2, x - image.shape[1] / 2) < 0.25 * min(image.shape)
    faint = np.where(middle, np.abs(image - 0.5 * image.mean()), np.inf).argmin()
    bright = np.abs(image - np.quantile(image, 0.97)).argmin()
    return [np.unravel_index(place, image.shape) for place in (faint, bright)]


def _save(figure, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DOTS, pil_kwargs={"optimize": True})
    plt.close(figure)
    log.info("%s: %.0f kB", path, path.stat().st_size / 1e3)


def make(options, work):
    """Make the table and all pictures; `work` is the folder of the fused cubes."""
    rows = table(options.setups, work=work)
    if options.table:
        options.table.parent.mkdir(parents=True, exist_ok=True)
        options.table.write_text(
            as_rst({"Regularisations on the set-ups of Table 1": rows}, header=HEADER)
        )
    spectra(options.setups, options.images / "hifred_spectra.png", work)
    for kind in ("amplitude", "sam", "error"):
        maps(options.setups, options.images / f"hifred_{kind}.png", work, kind)


def main(arguments=None):
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setups", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--images", type=Path, default=Path("docs/images"), help="for pictures")
    parser.add_argument("--table", type=Path, help="file for the table, reStructuredText")
    parser.add_argument("--work", type=Path, help="keep fused cubes here, and take them from here")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    if options.work is not None:
        make(options, options.work)
        return
    with tempfile.TemporaryDirectory() as folder:
        make(options, Path(folder))


if __name__ == "__main__":
    main()
