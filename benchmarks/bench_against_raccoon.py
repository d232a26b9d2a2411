"""Compare cubes of oversampled exposures with native cubes that space-raccoon has cleaned."""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmark_data import data_folder

# One core, as in the other benchmark.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from trace_benchmark.cubes import Cube, Setup, build_cube, star_position
from trace_benchmark.inputs import CUBE_RANGE, DIFFUSION, ROLL, seen_by_pixels, trim
from trace_benchmark.table import as_rst

from jwst_fusion.metrics.wiggles import brightest_spaxels, measure_wiggles
from jwst_fusion.simulation.cube_parameters import write_nirspec_cube_parameters
from jwst_fusion.simulation.exposures import Noise
from jwst_fusion.simulation.observation import simulate_exposures
from jwst_fusion.simulation.scene import PointSource, Scene
from jwst_fusion.simulation.scenes import RESOLVING_POWER, wavelength_grid

log = logging.getLogger("benchmark")

_COUNT = 20
_SPAXEL = 0.1  # arcsec
_TRUTH = 6  # oversampling factor of the exposures that the true cube is built of
_BIN = 20  # channels
#: Lines (micrometre) and their peaks over the continuum, of the star and of a nebula around it.
_STAR = {1.7367: 0.3, 1.8756: 1.0, 1.9451: 0.4}
_NEBULA = {1.8358: 0.3, 1.9576: 1.0, 2.0338: 0.5}
_PEAK = 52.0  # MJy/sr arcsec^2 at 2 micrometre, as in the other benchmark
_HEADER = ("brightest 20 spaxels", "native", "ours, N = 2", "ours, N = 3", "space-raccoon")


def scene():
    """
    Make a star with emission lines in a nebula that shines in other lines.

    Returns
    -------
    jwst_fusion.simulation.scene.Scene
    """
    wavelength = wavelength_grid(1.6, 2.5)
    continuum = (2.0 / wavelength) ** 2.2
    scale = 0.02
    y, x = np.indices((351, 351)) * scale
    radius = np.hypot(x - x.mean(), y - y.mean())
    # in the middle, lines of the nebula peak at a tenth of the star's continuum in a spaxel
    maps = np.stack([np.zeros(radius.shape), 120.0 * np.exp(-0.5 * (radius / 0.35) ** 2)])
    spectra = np.stack(
        [continuum * (1 + _profile(wavelength, _STAR)), _profile(wavelength, _NEBULA)]
    )
    sources = (PointSource(0, 0.03, -0.02, _PEAK),)
    return Scene(wavelength, spectra, maps, scale, 83.8187, -5.4083, sources)


def _profile(wavelength, lines):
    total = np.zeros_like(wavelength)
    for centre, strength in lines.items():
        total += strength * np.exp(-0.5 * ((wavelength - centre) / _sigma(centre)) ** 2)
    return total


def _sigma(centre):
    return centre / RESOLVING_POWER / 2.355


def setup(folder):
    """
    Simulate the exposures, or take those that are there.

    Parameters
    ----------
    folder : pathlib.Path
        Where everything is kept.

    Returns
    -------
    Setup
    """
    sky = scene()
    whole = sorted(str(path) for path in (folder / "dithers").glob("*_cal.fits"))
    if len(whole) != 4:
        whole = simulate_exposures(
            folder / "dithers",
            sky,
            roll=ROLL,
            reference_files=data_folder() / "nirspec_ifu_refs",
            noise=Noise(residues=0),
            psf_broadening=DIFFUSION,
        )
    # twice the slices of the other benchmark: raccoon compares with apertures around each spaxel
    exposures = trim(whole, folder / "trimmed", slices=16)
    return Setup(
        "NIRSpec G235H",
        folder / "trimmed",
        exposures,
        write_nirspec_cube_parameters(folder / "cubepar.fits"),
        CUBE_RANGE,
        _SPAXEL,
        *star_position(exposures[0]),
        observed=lambda: seen_by_pixels(sky, whole[0]),
    )


def clean(python, cube, spaxels, folder):
    """
    Clean spaxels of a cube with space-raccoon.

    Parameters
    ----------
    python : str
        Interpreter that has it installed.
    cube : Cube
        Native cube.
    spaxels : ndarray
        Row and column of each spaxel, shape (n, 2).
    folder : pathlib.Path
        Where to keep the cleaned cube.

    Returns
    -------
    Cube
        Cleaned cube.
    dict
        How many spaxels were cleaned, CPU seconds.
    """
    mask = np.zeros(cube.data.shape[1:], dtype=bool)
    mask[tuple(spaxels.T)] = True
    good = np.isfinite(cube.data) & (cube.err > 0)
    near = spaxels.mean(0).astype(int)
    inside = good[(slice(None), *(slice(c - 7, c + 8) for c in near))]
    log.info("%d values without data within 7 spaxels of the star", np.sum(~inside))
    # it knows no bad values; they become the median over the channels, with large errors
    level = np.nanmedian(np.where(good, cube.data, np.nan), axis=0)
    data = np.where(good, cube.data, np.nan_to_num(level))
    err = np.where(good, cube.err, np.nanmax(cube.err))
    np.savez(folder / "native.npz", data=data, err=err, wavelength=cube.wavelength, mask=mask)
    command = [python, Path(__file__).parent / "trace_benchmark" / "run_raccoon.py"]
    files = [folder / "native.npz", folder / "cleaned.npz"]
    done = subprocess.run(
        [str(part) for part in command + files], check=True, capture_output=True, text=True
    )
    return Cube(**np.load(files[1])), json.loads(done.stdout.strip().rsplit("\n", 1)[-1])


def compare(cubes, truth, spaxels):
    """
    Measure each cube against the truth in single spaxels.

    Parameters
    ----------
    cubes : sequence of Cube
        Cubes on one grid.
    truth : Cube
        Noiseless, of small pixels.
    spaxels : ndarray
        Row and column of each spaxel, shape (n, 2).

    Returns
    -------
    list of tuple of str
        Rows of the table, a cell for each cube.
    """
    rows = [
        (
            "wiggles, mean half-amplitude",
            *(f"{100 * measure_wiggles(c.data, truth.data, spaxels).mean:.2f} %" for c in cubes),
        )
    ]
    continuum = _continuum(truth.wavelength)
    bias = [_continuum_bias(cube, truth, spaxels, continuum) for cube in cubes]
    rows.append(("continuum, bias of the whole range, rms", *(f"{100 * b[0]:.2f} %" for b in bias)))
    rows.append(
        (f"continuum in bins of {_BIN} channels, rms error", *(f"{100 * b[1]:.2f} %" for b in bias))
    )
    for label, lines in (("star", _STAR), ("nebula", _NEBULA)):
        for centre in lines:
            error = [_line_error(cube, truth, spaxels, centre) for cube in cubes]
            rows.append(
                (
                    f"line of the {label} at {centre:.4f} µm, mean error and rms",
                    *(
                        f"{100 * e.mean():+.1f}, {100 * np.sqrt(np.mean(e**2)):.1f} %"
                        for e in error
                    ),
                )
            )
    return rows


def _continuum(wavelength):
    """Channels without lines."""
    lines = np.array([*_STAR, *_NEBULA])[:, None]
    return np.all(np.abs(wavelength - lines) > 5 * _sigma(lines), axis=0)


def _continuum_bias(cube, truth, spaxels, continuum):
    """Rms over the spaxels of the relative error: over the whole range, and in bins."""
    chosen = (slice(None), *spaxels.T)
    ratio = np.where(continuum[:, None], cube.data[chosen] / truth.data[chosen] - 1, np.nan)
    usable = len(ratio) // _BIN * _BIN
    bins = np.nanmedian(ratio[:usable].reshape(-1, _BIN, len(spaxels)), axis=1)
    return [np.sqrt(np.nanmean(v**2)) for v in (np.nanmedian(ratio, axis=0), bins)]


def _line_error(cube, truth, spaxels, centre):
    """Relative error of the flux of a line in each spaxel."""
    flux = [
        _line_flux(c.data[(slice(None), *spaxels.T)], c.wavelength, centre) for c in (cube, truth)
    ]
    return flux[0] / flux[1] - 1


def _line_flux(spectra, wavelength, centre):
    """Flux above a straight continuum through channels on both sides, shape (n,)."""
    distance = (wavelength - centre) / _sigma(centre)
    line = np.abs(distance) < 4
    sides = (np.abs(distance) > 6) & (np.abs(distance) < 14)
    flux = []
    for spectrum in spectra.T:
        good = np.isfinite(spectrum)
        base = np.polynomial.Polynomial.fit(distance[sides & good], spectrum[sides & good], 1)
        flux.append(np.sum((spectrum - base(distance))[line & good]))
    return np.array(flux)


def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="interpreter with space-raccoon")
    parser.add_argument("--output", type=Path, help="file for the table, reStructuredText")
    parser.add_argument("--work", type=Path, help="folder that keeps exposures and cubes")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Build the cubes and print the table."""
    options = parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="bench-raccoon-") as temporary:
        folder = (options.work or Path(temporary)) / "raccoon"
        folder.mkdir(parents=True, exist_ok=True)
        made = setup(folder)
        native = build_cube(made, "native", 1)
        spaxels = brightest_spaxels(native.data, _COUNT)
        cleaned, told = clean(options.python, native, spaxels, folder)
        ours = [build_cube(made, "ours", factor) for factor in (2, 3)]
        truth = build_cube(made, "truth", _TRUTH)
        rows = compare([native, *ours, cleaned], truth, spaxels)
    note = (
        f"space-raccoon {_version(options.python)} cleaned {told['cleaned']} of {_COUNT} spaxels "
        f"in {told['cpu']:.0f} s."
    )
    for row in (_HEADER, *rows):
        log.info("%s", " | ".join(row))
    log.info("%s", note)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        command = " ".join(["python", *sys.argv])
        table = as_rst({"Single spaxels against the true cube": rows}, header=_HEADER)
        options.output.write_text(f"Made by ``{command}``. {note}\n\n{table}")


def _version(python):
    """Version of space-raccoon that an interpreter has."""
    code = "from importlib.metadata import version; print(version('space-raccoon'))"
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
