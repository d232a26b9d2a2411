"""Pictures of the adaptive trace model: single spaxels before and after, and one slice."""

import argparse
import logging
import os
import tempfile
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from stdatamodels.jwst import datamodels
from trace_benchmark.cubes import build_cube, mrs_setup, nirspec_setup

from jwst_fusion.metrics.wiggles import brightest_spaxels, measure_wiggles
from jwst_fusion.simulation import crds_offline
from jwst_fusion.step import AdaptiveTraceModelStep

log = logging.getLogger("benchmark")

_BOX = 0.6  # arcsec
_FACTOR = 2
_COUNT = 20  # spaxels for the mean
_SHOWN = 5
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")


def spectra(setup, path):
    """
    Draw spectra of bright spaxels and one channel of the cubes before and after.

    Parameters
    ----------
    setup : trace_benchmark.cubes.Setup
        Exposures and grid of the cubes.
    path : pathlib.Path
        Picture to write.
    """
    cubes = {"native": build_cube(setup, "native", 1, reuse=True)}
    for factor in (2, 3):
        cubes[f"oversampled, $N = {factor}$"] = build_cube(setup, "ours", factor)
    native = cubes["native"]
    spaxels = brightest_spaxels(native.data, _COUNT)
    width = _BOX / setup.spaxel
    figure, axes = plt.subplots(
        2, len(cubes), figsize=(10, 8), height_ratios=(1.7, 1), layout="constrained"
    )
    channel = int(0.375 * len(native.wavelength))
    norm = mpl.colors.LogNorm(*(np.nanmax(native.data[channel]) * np.array([1e-3, 1.0])))
    half = native.data.shape[1] * setup.spaxel / 2
    reach = min(half, 9 * setup.spaxel)
    for (label, cube), (above, below) in zip(cubes.items(), axes.T, strict=True):
        amplitude = measure_wiggles(cube.data, cube.box(width), spaxels).mean
        above.set_title(f"{label}\nmean half-amplitude {100 * amplitude:.1f} %", fontsize="medium")
        box = _without_trend(cube.wavelength, cube.box(width))
        below.imshow(
            cube.data[channel],
            origin="lower",
            extent=(-half, half, -half, half),
            cmap="cividis",
            norm=norm,
            interpolation="nearest",
        )
        for number, (y, x) in enumerate(spaxels[:_SHOWN]):
            offset = 0.5 * (_SHOWN - 1 - number)
            above.plot(
                cube.wavelength,
                _without_trend(cube.wavelength, cube.data[:, y, x]) + offset,
                color=_COLORS[number],
                linewidth=1,
            )
            above.plot(cube.wavelength, box + offset, color="black", linewidth=0.4)
            corner = (x * setup.spaxel - half, y * setup.spaxel - half)
            below.add_patch(
                mpl.patches.Rectangle(
                    corner, setup.spaxel, setup.spaxel, fill=False, color=_COLORS[number]
                )
            )
        above.set(xlabel=r"wavelength ($\mu$m)", ylim=(0.5, 0.5 * _SHOWN + 1.0))
        above.margins(x=0)
        below.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="west (arcsec)")
        below.set_facecolor("0.85")
    for one in axes[0, 1:]:
        one.set_yticklabels([])
    axes[0, 0].set_ylabel("flux / its slow trend + offset; black: box of 0.6 arcsec")
    axes[1, 0].set_ylabel("north (arcsec)")
    axes[1, 1].set_title(
        rf"{setup.name} at {native.wavelength[channel]:.3f} $\mu$m", fontsize="medium"
    )
    figure.colorbar(below.images[0], ax=axes[1], label="MJy/sr", pad=0.01)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    log.info("wrote %s", path)


def _without_trend(wavelength, flux):
    """Divide a spectrum by a polynomial that is not led astray by lines."""
    good = np.isfinite(flux)
    for _ in range(4):
        trend = np.polynomial.Chebyshev.fit(wavelength[good], flux[good], 4)(wavelength)
        ratio = flux / trend
        good = np.isfinite(flux) & (np.abs(ratio - 1) < 3 * np.nanstd(ratio[good]))
    return ratio


def one_slice(exposure, path):
    """
    Draw a part of the brightest slice: data, oversampled data, trace model, residual.

    Parameters
    ----------
    exposure : str
        NIRSpec IFU exposure.
    path : pathlib.Path
        Picture to write.
    """
    with crds_offline():
        result = AdaptiveTraceModelStep.call(exposure, oversample=float(_FACTOR), skip=False)
    with datamodels.open(exposure) as native:
        data, regions = np.array(native.data), np.array(native.regions)
    fine, model, fine_regions = (
        np.array(result[key]) for key in ("data", "trace_model", "regions")
    )
    lit = np.isfinite(fine) & np.isfinite(model)
    light = np.bincount(fine_regions[lit], weights=model[lit])
    label = int(np.argmax(light))
    columns = np.flatnonzero((regions == label).any(axis=0))
    columns = slice(*(columns[0] + np.array([0.35, 0.6]) * np.ptp(columns)).astype(int))
    rows = np.flatnonzero((regions == label)[:, columns].any(axis=1))
    box = np.s_[rows[0] : rows[-1] + 1, columns]
    fine_box = np.s_[_FACTOR * rows[0] : _FACTOR * (rows[-1] + 1), columns]

    def part(image, mask, where):
        return np.where(mask[where] == label, image[where], np.nan)

    peak = np.nanpercentile(part(data, regions, box), 99.8)
    panels = [
        ("native data", part(data, regions, box), peak, 0.5),
        ("oversampled data", part(fine, fine_regions, fine_box), peak, 0.5),
        ("trace model", part(model, fine_regions, fine_box), peak, 0.5),
        (
            "oversampled data - trace model, colours within 2 % of the peak",
            part(fine - model, fine_regions, fine_box),
            0.02 * peak,
            1.0,
        ),
    ]
    figure, axes = plt.subplots(4, 1, figsize=(10, 7), sharex=True, layout="constrained")
    for one, (title, image, limit, power) in zip(axes, panels, strict=True):
        norm = mpl.colors.PowerNorm(power, vmin=0, vmax=limit)
        if power == 1.0:
            norm = mpl.colors.Normalize(-limit, limit)
        drawn = one.imshow(
            image,
            aspect="auto",
            origin="lower",
            interpolation="nearest",
            cmap="RdBu_r" if power == 1.0 else "magma",
            norm=norm,
            extent=(columns.start, columns.stop, rows[0], rows[-1] + 1),
        )
        one.set_facecolor("0.85")
        one.set_title(title, loc="left", fontsize="medium")
        one.set_ylabel("row")
        figure.colorbar(drawn, ax=one, label="MJy/sr", pad=0.01)
    axes[-1].set_xlabel("column")
    figure.savefig(path, dpi=100)
    plt.close(figure)
    log.info("wrote %s", path)


def main(arguments=None):
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/images"), help="folder to write")
    parser.add_argument("--work", type=Path, help="folder that keeps exposures and cubes")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="figures-trace-") as temporary:
        folder = options.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        options.output.mkdir(parents=True, exist_ok=True)
        setup = nirspec_setup(folder)
        one_slice(setup.exposures[0], options.output / "atm_slice.png")
        spectra(setup, options.output / "atm_g235h.png")
        spectra(mrs_setup(folder), options.output / "atm_mrs12a.png")


if __name__ == "__main__":
    main()
