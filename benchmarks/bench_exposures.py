"""Measure the fusion from exposures on the scene of the demo, beside the chain through a cube.

Give the folder that `make demo` made: its exposures and images are fused again, and its fused cube
is measured against the same truth. Each case runs in a process of its own, on one core.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# One thread in BLAS: seconds of the processor would not be comparable otherwise.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import resource
import time

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from jwst_fusion.bandpass import load_bandpass
from jwst_fusion.fusion import ExposureSettings, SkyGrid, error_of, fuse_exposures
from jwst_fusion.fusion.exposures.psfs import exposure_psfs
from jwst_fusion.metrics import psnr, sam
from jwst_fusion.numerics.gaussian import FWHM_OF_SIGMA
from jwst_fusion.numerics.spectral_axis import file_wavelengths
from jwst_fusion.products.ifu_exposure import read_ifu_exposure
from jwst_fusion.products.keywords import celestial_wcs
from jwst_fusion.products.observations import read_image
from jwst_fusion.psf import aperture_angle, chebyshev_nodes, make_psf
from jwst_fusion.psf.instruments import NIRCAM_LIMIT
from jwst_fusion.simulation.images import i2d_pixel_kernels
from jwst_fusion.simulation.observation import simulate_exposures, simulate_images
from jwst_fusion.simulation.psfs import imager_psf
from jwst_fusion.simulation.scenes import nebula
from jwst_fusion.simulation.truth import truth_cube
from jwst_fusion.step import FusionStep

ROLL, IMAGE_ROLL = 30.0, 77.0  # degree, as in the demo
SCALE, SIZE = 0.1 / 3, 93  # arcsec, pixels of the fine grid
RANGE = 1.665, 2.32  # micrometre: covered by all slices
STEP = 3.97e-4  # micrometre per channel, as per pixel
PSF_FIELD = 4.0  # arcsec, that of the simulated PSFs
BORDER = 5  # fine pixels at the edges that are not compared
# Pixels to a side and channels of sums whose errors are compared with those stated.
SUMS = {
    "pixel and channel": (1, 1),
    "7 x 7 pixels": (7, 1),
    "20 channels": (1, 20),
    "both": (7, 20),
}
PLACES = 200  # random sums of each kind
WIDE = 15  # pixels along the sides of squares whose light in all channels is summed
LINES = {"H2 2.12": 2.1218, "Pa alpha": 1.8756}  # micrometre
CASES = {
    "both": "exposures + images",
    "alone": "exposures alone",
    "two": "two exposures alone",
    "moved": "exposures moved + images",
    "wide": "exposures + images, PSF of the IFU too wide",
    "step": "the step fusion, exposures + images",
}
MOVED = ((0.05, 0.0), (-0.04, 0.03), (0.0, -0.05), (0.03, 0.04))  # arcsec east and north
SCALES = (1, 2, 4, 8, 16)  # exposures, of which every second one is of the other detector
SCALE_RANK = 12
RED = 3.1  # micrometre: where spectra of both detectors end
WIDE = 0.05  # arcsec: full width of the Gaussian by which the PSF of the model is too wide


def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="folder of the demo; default: simulate")
    parser.add_argument("--only", nargs="+", choices=CASES, default=["both", "alone"])
    parser.add_argument("--output", type=Path, help="file for the table, reStructuredText")
    parser.add_argument(
        "--scale",
        nargs="*",
        type=int,
        help=f"time and memory over numbers of exposures, of two detectors; default: {SCALES}",
    )
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def sky_grid(scene):
    """Fine grid around the scene, North up."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN"], ["deg", "deg"]
    wcs.wcs.crval = [scene.ra, scene.dec]
    wcs.wcs.crpix = [(SIZE + 1) / 2] * 2
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    wcs.wcs.set()
    return SkyGrid(wcs, (SIZE, SIZE))


def star_positions(folder, scene):
    """Positions that the chain found in the images; those of the scene without its product."""
    for path in folder.glob("*_fused_s3d.fits"):
        with fits.open(path) as hdus:
            if "FUSSOURCES" in hdus:
                table = Table(hdus["FUSSOURCES"].data)
                return SkyCoord(table["ra"], table["dec"], unit="deg"), "found in the images"
    east = [one.east / 3600 / np.cos(np.radians(scene.dec)) for one in scene.sources]
    north = [one.north / 3600 for one in scene.sources]
    return SkyCoord(np.add(scene.ra, east), np.add(scene.dec, north), unit="deg"), "known"


def run_step(folder):
    """Run the step with its defaults, which finds everything itself, and measure its product."""
    scene, start = nebula(), time.process_time()
    members = [*sorted(folder.glob("*_cal.fits")), *sorted(folder.glob("*_i2d.fits"))]
    product = FusionStep.call(
        [str(path) for path in members],
        wave_min=RANGE[0],
        wave_max=RANGE[1],
        psf_source="aperture",
    )
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    grid = SkyGrid(celestial_wcs(product, "the product"), product.data.shape[1:])
    header = grid.wcs.to_header()
    header["NAXIS2"], header["NAXIS1"] = grid.shape
    y, x = np.indices(grid.shape)
    ours = sky_grid(scene)
    at = np.array(ours.pixels(grid.sky(x, y)))
    # the field of the other cases
    beyond = np.any((at < BORDER) | (at > SIZE - 1 - BORDER), axis=0)
    cube = np.where(beyond, np.nan, product.data)
    wavelength = np.array(product.channel_table["wavelength"], float)
    table = product.exposure_table
    sums = {"sums": sum_pulls(scene, cube, product, header, wavelength)}
    return (
        measure(scene, cube, product.err, header, wavelength)
        | sums
        | {
            "seconds": seconds,
            "peak": peak,
            "scales": [float(one) for one in table["noise_scale"]],
            "rejected": [int(one) for one in table["outliers"]],
            "pixels": [int(one) for one in table["pixels"]],
            "converged": bool(product.meta.fusion.converged),
        }
    )


def run_case(case, folder):
    """Fuse one case and measure it; gives a dictionary of figures."""
    if case == "step":
        return run_step(folder)
    scene = nebula()
    grid, wavelength = sky_grid(scene), np.arange(*RANGE, STEP)
    start = time.process_time()
    paths = sorted(folder.glob("*_cal.fits"))[: 2 if case == "two" else None]
    exposures = [one for path in paths for one in read_ifu_exposure(path)]
    if case == "moved":
        exposures = [
            dataclasses.replace(
                one,
                ra=one.ra + east / 3600 / np.cos(np.radians(scene.dec)),
                dec=one.dec + north / 3600,
            )
            for one, (east, north) in zip(exposures, MOVED, strict=False)
        ]
    psfs = exposure_psfs(
        exposures,
        grid,
        wavelength=wavelength,
        source="aperture",
        size=PSF_FIELD,
        broadening=WIDE / FWHM_OF_SIGMA if case == "wide" else None,
    )
    images, bandpasses = [], []
    if case in ("both", "moved", "wide"):
        images = [read_image(path, grid=grid) for path in sorted(folder.glob("*_i2d.fits"))]
        bandpasses = [load_bandpass(image.filter) for image in images]
    kernels = i2d_pixel_kernels(angle=IMAGE_ROLL + aperture_angle("NIRCAM"))
    imager = make_psf(
        "NIRCAM",
        wavelength=chebyshev_nodes(RANGE[0] - 0.05, NIRCAM_LIMIT, 9),
        pixel_scale=SCALE,
        npix=int(PSF_FIELD / SCALE) // 2 * 2 + 1,
        angle=IMAGE_ROLL,
        pixel_kernels=kernels,
        source="aperture",
    )
    sources, _ = star_positions(folder, scene)
    result = fuse_exposures(
        exposures,
        psfs,
        grid=grid,
        wavelength=wavelength,
        images=images,
        image_psfs=imager if images else None,
        bandpasses=bandpasses,
        product_psf=imager,
        sources=sources,
        options=ExposureSettings(offsets="fitted" if case == "moved" else "fixed"),
    )
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    header = grid.wcs.to_header()
    header["NAXIS1"] = header["NAXIS2"] = SIZE
    figures = measure(scene, result.cube, result.error, header, wavelength)
    figures["sums"] = sum_pulls(scene, result.cube, result, header, wavelength)
    used = [np.isfinite(one) for one in result.residuals]
    figures |= {
        "seconds": seconds,
        "peak": peak,
        "scales": [float(one) for one in result.scales],
        "rejected": [int(one.sum()) for one in result.rejected],
        "pixels": [int(one.sum()) for one in used],
        "converged": result.converged,
    }
    if case == "moved":
        # Columns grow to the west; coordinates that lie too far east are to be moved back.
        true = np.array([(east, -north) for east, north in MOVED])[: len(exposures)]
        worst = 1000 * np.abs(result.offsets - true).max(axis=1)
        figures["offsets"] = [float(one) for one in worst]
    return figures


def imager_truth(scene, header, wavelength):
    """Scene at the resolution of the imager."""
    psf = imager_psf(scene, roll=IMAGE_ROLL, source="aperture")
    return truth_cube(scene, psf, header, wavelength)


def compared(cube):
    """Pixels that are compared: those of all channels, without the edges."""
    seen = np.all(np.isfinite(cube), axis=0)
    inner = np.zeros_like(seen)
    inner[BORDER:-BORDER, BORDER:-BORDER] = True
    return seen & inner


def sum_pulls(scene, cube, product, header, wavelength, *, seed=1):
    """68 % of the errors of random sums over those that `error_of` states, and its seconds."""
    wrong = cube - imager_truth(scene, header, wavelength)
    seen, rng = compared(cube), np.random.default_rng(seed)
    rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
    found, spent, count = {}, 0.0, 0
    for name, (side, channels) in SUMS.items():
        pulls = []
        for _ in range(PLACES):
            y = rng.integers(rows[0], rows[-1] + 2 - side)
            x = rng.integers(columns[0], columns[-1] + 2 - side)
            first = rng.integers(len(wavelength) + 1 - channels)
            box = slice(y, y + side), slice(x, x + side)
            if not seen[box].all():
                continue
            mask, weights = np.zeros(seen.shape), np.zeros(len(wavelength))
            mask[box] = weights[first : first + channels] = 1
            start = time.process_time()
            error = error_of(product, mask, weights)
            spent, count = spent + time.process_time() - start, count + 1
            pulls.append(abs(wrong[first : first + channels, *box].sum(dtype=float)) / error)
        found[name] = float(np.quantile(pulls, 0.68))
    return found | {"seconds": spent / count, "wide": wide_sums(wrong, cube, product, seen, rng)}


def wide_sums(wrong, cube, product, seen, rng):
    """Relative rms error of the light of all channels in squares, and what is stated, per cent."""
    rows, columns = np.nonzero(seen[: 1 - WIDE, : 1 - WIDE])
    errors, stated = [], []
    for place in rng.choice(len(rows), PLACES):
        box = slice(rows[place], rows[place] + WIDE), slice(columns[place], columns[place] + WIDE)
        if not seen[box].all():
            continue
        mask = np.zeros(seen.shape)
        mask[box] = 1
        light = cube[:, *box].sum(dtype=float)
        errors.append(wrong[:, *box].sum(dtype=float) / light)
        stated.append(float(error_of(product, mask, np.ones(len(cube)))) / light)
    return [float(100 * np.sqrt(np.mean(np.square(one)))) for one in (errors, stated)]


def measure(scene, cube, error, header, wavelength):
    """Compare a cube at the resolution of the imager with the truth."""
    truth = imager_truth(scene, header, wavelength)
    seen = compared(cube)
    pulls = np.abs(cube - truth)[:, seen] / error[:, seen]
    figures = {
        "psnr": float(psnr(truth, cube, seen)),
        "sam": float(sam(truth, cube, seen)),
        "pull": float(np.quantile(pulls, 0.68)),
        "stars": [],
        "lines": {name: [] for name in LINES},
    }
    sky = WCS(header).celestial
    for star in scene.sources:
        ra = scene.ra + star.east / 3600 / np.cos(np.radians(scene.dec))
        x, y = sky.all_world2pix(ra, scene.dec + star.north / 3600, 0)
        i, j = round(float(y)), round(float(x))
        if not (0 <= i < seen.shape[0] and 0 <= j < seen.shape[1] and seen[i, j]):
            continue
        ours, true = cube[:, i, j], truth[:, i, j]
        figures["stars"].append(float(np.sqrt(np.mean((ours / true - 1) ** 2))))
        for name, centre in LINES.items():
            pair = [line_flux(one, wavelength, centre) for one in (ours, true)]
            figures["lines"][name].append(pair)
    return figures


def line_flux(spectrum, wavelength, centre):
    """Sum of a line above its surroundings, MJy/sr channels."""
    c = int(np.argmin(np.abs(wavelength - centre)))
    beside = np.r_[spectrum[c - 25 : c - 8], spectrum[c + 9 : c + 26]]
    return float(np.sum(spectrum[c - 3 : c + 4] - np.median(beside)))


def simulate_scale(folder, count):
    """Exposures of both detectors by turns, on two rings around the middle of the nebula."""
    scene = nebula(red=RED + 0.1)
    turn = 2 * np.pi * np.arange((count + 1) // 2) / max((count + 1) // 2, 1)
    radius = np.where(np.arange(len(turn)) % 2, 0.25, 0.40)  # arcsec
    dithers = np.transpose([radius * np.cos(turn), radius * np.sin(turn)])
    for detector, number in (("NRS1", (count + 1) // 2), ("NRS2", count // 2)):
        if number:
            given = {"detector": detector, "dithers": [tuple(one) for one in dithers[:number]]}
            simulate_exposures(folder, scene, roll=ROLL, **given)


def run_scale(folder):
    """Fuse all exposures of a folder; gives pixels, seconds and memory."""
    scene, start = nebula(red=RED + 0.1), time.process_time()
    paths = sorted(folder.glob("*_cal.fits"))
    exposures = [one for path in paths for one in read_ifu_exposure(path)]
    red = RED if any(one.detector == "NRS2" for one in exposures) else RANGE[1]
    grid, wavelength = sky_grid(scene), np.arange(RANGE[0], red, STEP)
    psfs = exposure_psfs(exposures, grid, wavelength=wavelength, source="aperture", size=PSF_FIELD)
    begun = time.process_time()
    result = fuse_exposures(
        exposures,
        psfs,
        grid=grid,
        wavelength=wavelength,
        sources=star_positions(folder, scene)[0],
        options=ExposureSettings(rank=SCALE_RANK),
    )
    end = time.process_time()
    return {
        "exposures": len(paths),
        "pixels": int(sum(np.isfinite(one).sum() for one in result.residuals)),
        "reading": begun - start,
        "seconds": end - begun,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def scale_table(results):
    """Table of time and memory over the number of exposures, reStructuredText."""
    title = f"Exposures of NRS1 and NRS2 by turns, {SCALE_RANK} components, one core"
    lines = [f".. list-table:: {title}", "   :header-rows: 1", ""]
    rows = [("exposures", "million pixels", "reading, CPU s", "fusion, CPU s", "s per million")]
    rows[0] += ("peak memory, GB",)
    for one in results:
        million = one["pixels"] / 1e6
        rows.append(
            (
                f"{one['exposures']}",
                f"{million:.1f}",
                f"{one['reading']:.0f}",
                f"{one['seconds']:.0f}",
                f"{one['seconds'] / million:.1f}",
                f"{one['peak']:.1f}",
            )
        )
    for cells in rows:
        lines += [f"   {'*' if not k else ' '} - {cell}" for k, cell in enumerate(cells)]
    return "\n".join(lines) + "\n"


def separate(*arguments):
    """Run a part in a process of its own; gives its figures."""
    command = [sys.executable, __file__, *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def chain(folder):
    """Figures of the fused cube of the demo, which came through a cube."""
    for path in folder.glob("*_fused_s3d.fits"):
        with fits.open(path) as hdus:
            header = hdus["SCI"].header
            wavelength = file_wavelengths(hdus, str(path))
            inside = (wavelength > RANGE[0]) & (wavelength < RANGE[1])
            cube, error = (hdus[name].data[inside].astype(float) for name in ("SCI", "ERR"))
        return measure(nebula(), cube, error, header, wavelength[inside])
    return None


def table(results, positions):
    """Table of all cases, reStructuredText."""
    titles = ["", *results]
    rows = [
        ("PSNR, dB (target: 60)", lambda one: f"{one['psnr']:.1f}"),
        ("spectral angle, degrees (target: 0.7)", lambda one: f"{one['sam']:.2f}"),
        (
            "continuum of the stars, rms, % (target: 2)",
            lambda one: " ".join(f"{100 * value:.1f}" for value in one["stars"]),
        ),
        *(
            (
                f"{name} of the stars / true",
                lambda one, name=name: " ".join(
                    f"{ours:.0f}/{true:.0f}" for ours, true in one["lines"][name]
                ),
            )
            for name in LINES
        ),
        ("68 % of abs(error) / stated (target: 0.85 to 1.15)", lambda one: f"{one['pull']:.2f}"),
        (
            f"the same of sums: {', '.join(list(SUMS)[1:])}",
            lambda one: (
                " ".join(f"{one['sums'][name]:.2f}" for name in list(SUMS)[1:])
                if "sums" in one
                else ""
            ),
        ),
        (
            f"light of {WIDE} x {WIDE} pixels in all channels: error, stated, %",
            lambda one: " ".join(f"{v:.3f}" for v in one["sums"]["wide"]) if "sums" in one else "",
        ),
        (
            "error of one sum, s (target: 0.1)",
            lambda one: f"{one['sums']['seconds']:.3f}" if "sums" in one else "",
        ),
        ("CPU, s", lambda one: f"{one['seconds']:.0f}" if "seconds" in one else ""),
        ("peak memory, GB", lambda one: f"{one['peak']:.1f}" if "peak" in one else ""),
        ("noise scales", lambda one: " ".join(f"{value:.3f}" for value in one.get("scales", []))),
        (
            "errors of the offsets, mas (target: 3)",
            lambda one: " ".join(f"{value:.1f}" for value in one.get("offsets", [])),
        ),
        ("outliers left out", lambda one: " ".join(map(str, one.get("rejected", [])))),
    ]
    lines = [f".. list-table:: Positions of the stars: {positions}", "   :header-rows: 1", ""]
    for cells in [titles, *([name, *map(show, results.values())] for name, show in rows)]:
        lines += [f"   {'*' if not k else ' '} - {cell}" for k, cell in enumerate(cells)]
    return "\n".join(lines) + "\n"


def main(arguments=None):
    """Run the cases and print the table."""
    options = parse(arguments)
    if options.size:
        print(json.dumps(run_scale(options.folder)))
        return
    if options.scale is not None:
        results = []
        for count in options.scale or SCALES:
            with tempfile.TemporaryDirectory() as temporary:
                simulate_scale(Path(temporary), count)
                results.append(separate("--size", str(count), "--folder", temporary))
        text = scale_table(results)
        print(text)
        if options.output:
            options.output.write_text(text)
        return
    if options.case:
        print(json.dumps(run_case(options.case, options.folder)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder
        if folder is None:
            folder, scene = Path(temporary), nebula()
            simulate_exposures(folder, scene, roll=ROLL)
            simulate_images(folder, scene, roll=IMAGE_ROLL)
        results, found = {}, chain(folder)
        if found:
            results["trace model, cube_build, fusion"] = found
        for case in options.only:
            results[CASES[case]] = separate("--case", case, "--folder", str(folder))
        text = table(results, star_positions(folder, nebula())[1])
    print(text)
    if options.output:
        options.output.write_text(text)


if __name__ == "__main__":
    main()
