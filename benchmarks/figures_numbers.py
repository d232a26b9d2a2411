"""Pictures of star spectra and line maps of fused cubes against the truth."""

import argparse
import logging
import os
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from fusion_benchmark.observer.case import make_scene
from fusion_benchmark.observer.fused import fuse_case

log = logging.getLogger("benchmark")

_LINES = {"Pa alpha": (1.862, 1.889), "H2 1-0 S(1)": (2.112, 2.131)}
_STARS = 4
_BEFORE, _NOW, _INTERPOLATED = "#d55e00", "#0072b2", "#999999"


def star_spectra(case, cubes, path):
    """
    Draw spectra in the pixels of the brightest stars around two lines, and in full.

    Parameters
    ----------
    case : Case
        With sources and the truth.
    cubes : dict of str to ndarray
        Cubes (L, Y, X) of the field by their name and colour, joined by a bar.
    path : pathlib.Path
        Picture to write.
    """
    order = np.argsort(-case.source_spectra.mean(1))[:_STARS]
    figure, axes = plt.subplots(
        len(order), 1 + len(_LINES), figsize=(11, 2.1 * len(order)), layout="constrained"
    )
    for row, star in zip(axes, order, strict=True):
        at = (slice(None), round(case.y[star]), round(case.x[star]))
        for axis, (title, span) in zip(
            row, {"all channels": case.wavelength[[0, -1]], **_LINES}.items(), strict=True
        ):
            inside = (case.wavelength >= span[0]) & (case.wavelength <= span[1])
            for name, cube in cubes.items():
                text, colour = name.split("|")
                axis.plot(
                    case.wavelength[inside], cube[at][inside], color=colour, lw=0.9, label=text
                )
            axis.plot(case.wavelength[inside], case.truth[at][inside], "k", lw=0.7, label="truth")
            axis.set_title(title if star == order[0] else "", fontsize="small")
            axis.tick_params(labelsize="x-small")
        row[0].set_ylabel(f"star {star + 1} [MJy/sr]", fontsize="small")
    axes[0, -1].legend(fontsize="x-small", frameon=False)
    for axis in axes[-1]:
        axis.set_xlabel("wavelength [um]", fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    log.info("%s", path)


def main(arguments=None):
    """Fuse the nebula of the demo, and draw its stars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/images"), help="folder")
    parser.add_argument("--save", type=Path, help="npz file to which the fused cube is written")
    parser.add_argument("--before", type=Path, help="such a file of another version, drawn, too")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    case = make_scene("demo")
    fused = fuse_case(case).estimate.cube
    if options.save:
        np.savez_compressed(options.save, cube=fused)
    cubes = {f"interpolated|{_INTERPOLATED}": case.bicubic}
    if options.before:
        with np.load(options.before, allow_pickle=False) as file:
            cubes[f"fused before|{_BEFORE}"] = file["cube"]
    cubes[f"fused|{_NOW}"] = fused
    star_spectra(case, cubes, options.output / "numbers_stars.png")


if __name__ == "__main__":
    main()
