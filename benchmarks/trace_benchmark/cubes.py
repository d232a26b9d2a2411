"""Cubes of a star from four dithers: wiggles of single spaxels, flux in a box, pulls."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jwst.cube_build import CubeBuildStep
from stdatamodels.jwst import datamodels

from jwst_fusion.metrics.wiggles import (
    aperture_spectrum,
    brightest_spaxels,
    measure_wiggles,
)
from jwst_fusion.numerics.robust import robust_sigma
from jwst_fusion.products.wavelength import wavelengths
from jwst_fusion.simulation import crds_offline
from jwst_fusion.simulation.cube_parameters import write_nirspec_cube_parameters
from jwst_fusion.simulation.exposures import noiseless
from trace_benchmark.children import run_step
from trace_benchmark.inputs import CUBE_RANGE, STAR_OFFSET, dithered_star, observed_star, trim
from trace_benchmark.mrs import MRS_RANGE, mrs_observed, mrs_star, write_mrs_cube_parameters
from trace_benchmark.table import Row

__all__ = [
    "Cube",
    "Setup",
    "build_cube",
    "mrs_setup",
    "mrs_wiggles",
    "nirspec_setup",
    "pulls",
    "star_position",
    "wiggles",
]

log = logging.getLogger(__name__)

_BOX = 0.6  # side of the box whose flux is compared, arcsec: most of the light of a star
#: Side of the cubes: all pixels of all dithers fall inside. Of those outside, cube_build writes
#: beyond its memory (jwst issue 10527), and the interpreter crashes some cubes later.
_SPAXELS = 61
_COUNT = 20  # number of the brightest spaxels
_BIN = 20  # channels whose median tells how the flux of the box changes
#: Targets for the mean half-amplitude, by oversampling factor (Law & Clarke 2026, Section III.1).
_TARGETS = {2: 0.02, 3: 0.01}


@dataclass(frozen=True)
class Setup:
    """
    Exposures and how cubes are built of them.

    Parameters
    ----------
    name : str
        Instrument mode.
    folder : pathlib.Path
        Where products and cubes are kept.
    exposures : tuple of str
        Dithered exposures of a star.
    parameters : str
        Reference file of type cubepar.
    wavelength : tuple of float
        Range of the cubes, micrometre.
    spaxel : float
        Size of a spaxel, arcsec.
    ra, dec : float
        Position of the star, degree; the cubes are centred there.
    observed : callable
        Gives the scene as a pixel of the detector sees it.
    channel : str
        Channel of MIRI; empty for NIRSpec.
    """

    name: str
    folder: Path
    exposures: tuple
    parameters: str
    wavelength: tuple
    spaxel: float
    ra: float
    dec: float
    observed: Callable
    channel: str = ""


@dataclass(frozen=True)
class Cube:
    """
    A cube as arrays.

    Parameters
    ----------
    data, err : ndarray
        Shape (wavelength, y, x).
    wavelength : ndarray
        Micrometre, shape (wavelength,).
    """

    data: np.ndarray
    err: np.ndarray
    wavelength: np.ndarray

    def box(self, width):
        """Spectrum of a box of `width` spaxels around the middle of the cube."""
        centre = ((self.data.shape[1] - 1) / 2, (self.data.shape[2] - 1) / 2)
        return aperture_spectrum(self.data, centre, width / 2)


def nirspec_setup(folder, *, quick=False, clean=False):
    """
    Four exposures with NIRSpec G235H, the slices around the star.

    Parameters
    ----------
    folder : pathlib.Path
        Where everything is kept.
    quick : bool
        A shorter range of wavelengths and fewer slices.
    clean : bool
        Exposures without noise.

    Returns
    -------
    Setup
    """
    red = 1.90 if quick else CUBE_RANGE[1]
    whole = dithered_star(folder, noiseless=clean)
    name = f"nirspec{'_quick' if quick else ''}{'_noiseless' if clean else ''}"
    exposures = trim(whole, folder / name, slices=6 if quick else 8, longest=red)
    parameters = write_nirspec_cube_parameters(folder / "nirspec_cubepar.fits")
    position = star_position(exposures[0])
    return Setup(
        "NIRSpec G235H",
        folder / name,
        exposures,
        parameters,
        (CUBE_RANGE[0], red),
        0.1,
        *position,
        observed=lambda: observed_star(whole[0]),
    )


def mrs_setup(folder):
    """
    Four exposures with MRS 12A, the slices of channel 1 around the star.

    Parameters
    ----------
    folder : pathlib.Path
        Where everything is kept.

    Returns
    -------
    Setup
    """
    whole = mrs_star(folder)
    exposures = trim(whole, folder / "mrs", longest=MRS_RANGE[1])
    parameters = write_mrs_cube_parameters(folder / "mrs_cubepar.fits")
    position = star_position(exposures[0])
    return Setup(
        "MRS 12A",
        folder / "mrs",
        exposures,
        parameters,
        MRS_RANGE,
        0.13,
        *position,
        observed=lambda: mrs_observed(whole[0]),
        channel="1",
    )


def star_position(path):
    """Right ascension and declination of the star, degree."""
    with datamodels.open(path) as model:
        ra, dec = model.meta.target.ra, model.meta.target.dec
    east, north = STAR_OFFSET
    return ra + east / 3600 / np.cos(np.radians(dec)), dec + north / 3600


def build_cube(setup, kind, factor, *, reuse=False):
    """
    Run a step on the exposures and build their cube on the setup's grid.

    Parameters
    ----------
    setup : Setup
        Exposures and grid.
    kind : {"native", "ours", "jwst", "truth"}
        Whose step; "truth" is the noiseless scene on the pixels of our products.
    factor : int
        Oversampling factor.
    reuse : bool
        Take the cube of an earlier run if it is there and not made of our products.

    Returns
    -------
    Cube
    """
    kept = setup.folder / f"cube_{kind}_{factor}.npz"
    if reuse and kind not in ("ours", "truth") and kept.exists():
        return Cube(**np.load(kept))
    paths = _products(setup, kind, factor, reuse=reuse)
    options = {"channel": setup.channel} if setup.channel else {}
    with crds_offline():
        built = CubeBuildStep.call(
            list(paths),
            override_cubepar=setup.parameters,
            wavemin=setup.wavelength[0],
            wavemax=setup.wavelength[1],
            scalexy=setup.spaxel,
            ra_center=setup.ra,
            dec_center=setup.dec,
            cube_pa=0.0,
            nspax_x=_SPAXELS,
            nspax_y=_SPAXELS,
            save_results=False,
            **options,
        )[0]
    wavelength = wavelengths(built, built.meta.filename)
    cube = Cube(np.array(built.data, float), np.array(built.err, float), wavelength)
    np.savez(kept, data=cube.data, err=cube.err, wavelength=cube.wavelength)
    return cube


def _products(setup, kind, factor, *, reuse):
    """Run a step on the exposures: paths of its products."""
    if kind == "native":
        return setup.exposures
    whose = "jwst" if kind == "jwst" else "ours"
    # our products lie there already when the truth is asked for
    found = reuse if kind == "jwst" else kind == "truth"
    products = [
        run_step(whose, path, setup.folder, oversample=float(factor), reuse=found).product
        for path in setup.exposures
    ]
    return products if kind != "truth" else _paint_truth(setup, products)


def _paint_truth(setup, products):
    """Write copies of oversampled products that hold the noiseless scene."""
    observed = setup.observed()
    paths = []
    for product in products:
        with datamodels.open(product) as model:
            model.data = np.where(np.isnan(model.data), np.nan, noiseless(model, observed))
            paths.append(product.replace(".fits", "_truth.fits"))
            model.save(paths[-1])
    return paths


def wiggles(folder, *, quick=False, reuse=False):
    """
    Wiggles of the brightest spaxels and flux in a box, for both steps; NIRSpec G235H.

    Parameters
    ----------
    folder : pathlib.Path
        Where everything is kept.
    quick : bool
        A shorter range of wavelengths, fewer slices.
    reuse : bool
        Take jwst's products and cubes of an earlier run if they are there.

    Returns
    -------
    list of Row
    """
    return _wiggles(nirspec_setup(folder, quick=quick), reuse=reuse)


def mrs_wiggles(folder, *, quick=False, reuse=False):
    """
    Wiggles as by `wiggles`, MRS 12A.

    Parameters
    ----------
    folder : pathlib.Path
        Where everything is kept.
    quick : bool
        Not used.
    reuse : bool
        Take jwst's products and cubes of an earlier run if they are there.

    Returns
    -------
    list of Row
    """
    return _wiggles(mrs_setup(folder), reuse=reuse)


def _wiggles(setup, *, reuse):
    rows = []
    native = build_cube(setup, "native", 1, reuse=reuse)
    spaxels = brightest_spaxels(native.data, _COUNT)
    width = _BOX / setup.spaxel
    before = _amplitude(native, spaxels, width)
    rows.append(Row(f"{setup.name}: wiggles of the native cube", f"{100 * before:.2f} %"))
    for factor, target in _TARGETS.items():
        ours = build_cube(setup, "ours", factor)
        theirs = build_cube(setup, "jwst", factor, reuse=reuse)
        floor = build_cube(setup, "truth", factor)
        rows += _compare(setup.name, factor, target, native, ours, theirs, spaxels, width)
        share = f"{100 * _amplitude(floor, spaxels, width):.2f} %"
        rows.append(Row(f"{setup.name}: wiggles of the noiseless scene, N = {factor}", share))
        change = 100 * np.max(np.abs(_flux_change(floor, native, width)))
        what = f"{setup.name}: flux of the noiseless scene against native, N = {factor}"
        rows.append(Row(what, f"{change:.2f} %"))
        errors = [
            100 * np.sqrt(np.mean(_flux_change(cube, floor, width) ** 2)) for cube in (ours, theirs)
        ]
        what = f"{setup.name}: flux against the noiseless scene, N = {factor}, rms of the bins"
        rows.append(Row.compare(what, *errors, "%", digits=2))
    return rows


def _amplitude(cube, spaxels, width):
    return measure_wiggles(cube.data, cube.box(width), spaxels).mean


def _compare(name, factor, target, native, ours, theirs, spaxels, width):
    """Rows of one oversampling factor."""
    amplitude = [100 * _amplitude(cube, spaxels, width) for cube in (ours, theirs)]
    text = f"<= 2/3 and <= {100 * target:g} %"
    row = Row.compare(f"{name}: wiggles, N = {factor}", *amplitude, "%", limit=2 / 3, target=text)
    reached = row.reached and amplitude[0] <= 100 * target
    rows = [Row(row.what, row.ours, row.jwst, row.ratio, text, reached)]
    change = [_flux_change(cube, native, width) for cube in (ours, theirs)]
    rows.append(
        Row(
            f"{name}: flux in a box of {_BOX} arcsec against native, N = {factor}, "
            "largest change in a bin of 20 channels",
            *(f"{100 * np.max(np.abs(one)):.2f} %" for one in change),
            target="<= 0.3 %",
            reached=bool(np.max(np.abs(change[0])) <= 0.003),
        )
    )
    return rows


def _flux_change(cube, native, width):
    """Relative change of the flux in the box, median of each bin of channels."""
    ratio = cube.box(width) / native.box(width) - 1
    usable = len(ratio) // _BIN * _BIN
    return np.nanmedian(ratio[:usable].reshape(-1, _BIN), axis=1)


def pulls(folder, *, quick=False, reuse=False):
    """
    Scatter of cubes around the cubes of noiseless exposures, in units of their errors.

    Parameters
    ----------
    folder : pathlib.Path
        Where everything is kept.
    quick : bool
        A shorter range of wavelengths and fewer slices.
    reuse : bool
        Take native cubes of an earlier run if they are there.

    Returns
    -------
    list of Row
    """
    noisy = nirspec_setup(folder, quick=quick)
    clean = nirspec_setup(folder, quick=quick, clean=True)
    rows = []
    for factor in (1, 2, 3):
        kind = "native" if factor == 1 else "ours"
        cube = build_cube(noisy, kind, factor, reuse=reuse)
        truth = build_cube(clean, kind, factor, reuse=reuse)
        if factor == 1:
            groups = _groups(truth)
        for label, chosen in groups.items():
            pull = (cube.data - truth.data)[:, chosen] / cube.err[:, chosen]
            scatter = _robust_scatter(pull)
            rows.append(
                Row(
                    f"pulls, {label}, N = {factor}",
                    f"{scatter:.3f}",
                    target="0.85 to 1.15",
                    reached=bool(0.85 <= scatter <= 1.15),
                )
            )
            log.info("%s", " | ".join(rows[-1].cells()))
    return rows


def _groups(cube):
    """Masks of the brightest spaxels and of faint ones that are seen in most channels."""
    bright = np.zeros(cube.data.shape[1:], dtype=bool)
    bright[tuple(brightest_spaxels(cube.data, _COUNT).T)] = True
    seen = np.mean(np.isfinite(cube.data), axis=0) > 0.9
    level = np.full(seen.shape, np.inf)
    level[seen] = np.nanmedian((cube.data / cube.err)[:, seen], axis=0)
    faint = level < np.quantile(level[seen], 0.3)
    middle = seen & ~bright & ~faint
    return {"20 brightest spaxels": bright, "other spaxels": middle, "faintest 30 %": faint}


def _robust_scatter(values):
    """Standard deviation from the median absolute deviation."""
    values = values[np.isfinite(values)]
    return float(robust_sigma(values - np.median(values)))
