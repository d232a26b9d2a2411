"""Two X-ray telescopes observing a supernova remnant: the set-ups of Lascar et al. (2025)."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.signal import fftconvolve

from jwst_fusion.simulation.xray_responses import (
    PIXEL,
    ccd_response,
    effective_areas,
    gaussian_kernel,
    lopsided_psf,
    rebinned_rows,
    round_psf,
)
from jwst_fusion.simulation.xray_scene import SupernovaRemnant, supernova_remnant

__all__ = ["SETUPS", "XrayPair", "XraySetup", "published_toy", "supernova_remnant", "xray_pair"]


@dataclass(frozen=True)
class XraySetup:
    """
    Two telescopes, as a row of Table 1 of Lascar et al. (2025).

    Attributes
    ----------
    energies : tuple of float
        Range, keV.
    fine : int
        Energy channels L of Y and of the fused cube.
    coarse : int
        Energy channels l of X; L is a multiple.
    shape : tuple of int
        Pixels of X along y and x.
    rebin : int
        Pixels of X per pixel of Y along each side.
    counts : tuple of float
        Expected counts in X and in Y.
    psf : tuple of float
        Standard deviation of the PSFs of X and Y, arcsec; the pixels of X are 10 arcsec wide.
    lines : tuple of float
        Standard deviation of the spectral responses of X and Y, eV.
    realistic : bool
        PSF of Y with elliptical core and lopsided wings, spectral response that varies with
        energy and has a tail, effective areas that vary with energy; else Gaussians, areas of 1.
    """

    energies: tuple = (0.5, 1.364)
    fine: int = 2400
    coarse: int = 60
    shape: tuple = (45, 45)
    rebin: int = 3
    counts: tuple = (1e7, 1e7)
    psf: tuple = (10.0, 30.0)
    lines: tuple = (21.0, 2.5)
    realistic: bool = False


#: The set-ups of Table 1 by name, and a small one. "paper_size" has 1e7 counts a telescope.
SETUPS = {
    "gaussian_1kev": XraySetup(
        energies=(0.5, 1.4), fine=2500, coarse=2500, rebin=1, counts=(2.4e7, 2.3e7)
    ),
    "gaussian_6kev": XraySetup(
        energies=(6.2, 6.9), fine=2000, coarse=2000, rebin=1, counts=(3.2e7, 3.1e7)
    ),
    "gaussian_rebinned": XraySetup(counts=(2.7e6, 2.5e6)),
    "realistic": XraySetup(
        counts=(4.5e7, 3.0e7), psf=(11.0, 33.0), lines=(51.0, 1.4), realistic=True
    ),
    "paper_size": XraySetup(),
    "small": XraySetup(
        energies=(0.6, 1.05),
        fine=600,
        coarse=30,
        shape=(27, 27),
        counts=(2e6, 2e6),
        psf=(9.0, 22.0),
    ),
}


@dataclass(frozen=True)
class XrayPair:
    """
    What two telescopes see of one scene, and the truth.

    Attributes
    ----------
    x, y : ndarray of float
        Counts (l, M, N) and (L, m, n): channel, y, x.
    x_model, y_model : ndarray
        Expected counts, of the same shapes.
    truth : ndarray (L, M, N) or None
        The scene at the resolution of X in space and of Y in energy: photons per voxel for a unit
        of area and of time; None where it is not known.
    psf_y : ndarray (odd, odd)
        PSF of Y on the pixels of X, centred, of sum 1.
    lsf_x : ndarray (odd,) or None
        Spectral response of X on the channels of Y, centred, of sum 1; None if it varies.
    rmf_x : scipy.sparse.csr_array (l, L)
        Spectral response of X with its rebinning: channels from energies, without areas.
    arf_x, arf_y : ndarray (L,)
        Effective areas, cm2; 1 for the Gaussian set-ups.
    exposure_x, exposure_y : float
        Exposure times, s; 1 for the Gaussian set-ups.
    edges : ndarray (L + 1,)
        Edges of the energies, keV: channels of Y and of the fused cube.
    edges_x : ndarray (l + 1,)
        Edges of the channels of X, keV.
    rebin : tuple of int
        Energies per channel of X, pixels of X per pixel of Y along y and along x.
    pixel : float
        Pixel scale of X, arcsec.
    remnant : SupernovaRemnant or None
        The scene with its maps of temperature and velocity.
    """

    x: np.ndarray
    y: np.ndarray
    x_model: np.ndarray
    y_model: np.ndarray
    truth: np.ndarray | None
    psf_y: np.ndarray
    lsf_x: np.ndarray | None
    rmf_x: sparse.csr_array
    arf_x: np.ndarray
    arf_y: np.ndarray
    exposure_x: float
    exposure_y: float
    edges: np.ndarray
    edges_x: np.ndarray
    rebin: tuple
    pixel: float = PIXEL
    remnant: SupernovaRemnant | None = None


def xray_pair(setup="small", *, seed=1, **changes):
    """
    Observe a supernova remnant with two telescopes.

    Parameters
    ----------
    setup : str or XraySetup
        Name in `SETUPS`, or a set-up.
    seed : int
        Seed of the scene and of the noise.
    **changes
        Attributes of the set-up to change, as ``counts=(1e6, 1e6)``.

    Returns
    -------
    XrayPair
        Counts, expected counts, responses and truth. Light that leaves the field is lost.

    Raises
    ------
    ValueError
        If the set-up is not known or its sizes are not multiples of each other.
    """
    if isinstance(setup, str):
        if setup not in SETUPS:
            msg = f"setup is {setup!r}: expected one of {', '.join(SETUPS)}"
            raise ValueError(msg)
        setup = SETUPS[setup]
    setup = replace(setup, **changes)
    if setup.fine % setup.coarse or any(n % setup.rebin for n in setup.shape):
        msg = (
            f"{setup.fine} energies must be a multiple of {setup.coarse} channels and the shape "
            f"{setup.shape} of {setup.rebin} pixels"
        )
        raise ValueError(msg)
    edges = np.linspace(*setup.energies, setup.fine + 1)
    remnant = supernova_remnant(
        edges, setup.shape, psf=setup.psf[0] / PIXEL, line_width=setup.lines[1], seed=seed
    )
    psf = lopsided_psf(setup.psf[1]) if setup.realistic else round_psf(setup.psf[1])
    lsf, areas = None, (np.ones(setup.fine), np.ones(setup.fine))
    if setup.realistic:
        areas = effective_areas(0.5 * (edges[1:] + edges[:-1]))
        rmf = ccd_response(edges, edges[:: setup.fine // setup.coarse], setup.lines[0])
    else:
        lsf = gaussian_kernel(1e-3 * setup.lines[0] / (edges[1] - edges[0]), 4.0, setup.fine)
        rmf = rebinned_rows(lsf, setup.fine, setup.coarse)
    x = _fold(rmf, remnant.cube * areas[0][:, None, None])
    y = _blur(remnant.cube * areas[1][:, None, None], psf, setup.rebin)
    # The scene takes the brightness that gives X its counts in an exposure of one unit; areas and
    # exposure times carry the rest.
    times = (setup.counts[0] / x.sum(), setup.counts[1] / y.sum())
    bright = times[0] / (1.0 if not setup.realistic else 1e5)
    exposures = (times[0] / bright, times[1] / bright)
    if not setup.realistic:
        # Unit exposures: the ratio of the counts becomes an area.
        areas, exposures = (areas[0], areas[1] * exposures[1]), (1.0, 1.0)
    rng = np.random.default_rng([seed, 1])
    x, y = x * times[0], y * times[1]
    return XrayPair(
        x=rng.poisson(x).astype(float),
        y=rng.poisson(y).astype(float),
        x_model=x,
        y_model=y,
        truth=remnant.cube * bright,
        psf_y=psf,
        lsf_x=lsf,
        rmf_x=rmf,
        arf_x=areas[0],
        arf_y=areas[1],
        exposure_x=exposures[0],
        exposure_y=exposures[1],
        edges=edges,
        edges_x=edges[:: setup.fine // setup.coarse],
        rebin=(setup.fine // setup.coarse, setup.rebin, setup.rebin),
        remnant=remnant,
    )


def published_toy(path, *, seed=0):
    """
    Read the Gaussian toy with rebinning that Lascar et al. (2025) publish.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The npz file with ``X`` and ``X_gt`` (60, 45, 45), ``Y_gt`` (2400, 15, 15), ``E_z``,
        ``kernel2D_Y`` and ``kernel1D_X``.
    seed : int
        Seed with which Y is drawn; the file holds its expectation only.

    Returns
    -------
    XrayPair
        Without truth. Both kernels are normalised to a sum of 1.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If an array is missing or does not fit the others.

    Notes
    -----
    ``E_x`` has more entries than X has channels; the edges follow from ``E_z`` instead.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"{path} does not exist"
        raise FileNotFoundError(msg)
    with np.load(path, allow_pickle=False) as file:
        missing = {"X", "X_gt", "Y_gt", "E_z", "kernel2D_Y", "kernel1D_X"} - set(file.files)
        if missing:
            msg = f"{path} has no array {', '.join(sorted(missing))}"
            raise ValueError(msg)
        x, x_model, y_model = (file[name].astype(float) for name in ("X", "X_gt", "Y_gt"))
        energy = file["E_z"].astype(float)
        psf, lsf = file["kernel2D_Y"].astype(float), file["kernel1D_X"].astype(float)
    if energy.size != len(y_model) or energy.size % len(x):
        msg = f"{path}: {energy.size} energies for {len(y_model)} channels of Y, {len(x)} of X"
        raise ValueError(msg)
    step = (energy[-1] - energy[0]) / (energy.size - 1)
    edges = energy[0] + step * (np.arange(energy.size + 1) - 0.5)
    rebin = tuple(
        a // b
        for a, b in zip((energy.size, *x.shape[1:]), (len(x), *y_model.shape[1:]), strict=True)
    )
    lsf = lsf / lsf.sum()
    ones = np.ones(energy.size)
    return XrayPair(
        x=x,
        y=np.random.default_rng(seed).poisson(y_model).astype(float),
        x_model=x_model,
        y_model=y_model,
        truth=None,
        psf_y=psf / psf.sum(),
        lsf_x=lsf,
        rmf_x=rebinned_rows(lsf, energy.size, len(x)),
        arf_x=ones,
        arf_y=ones,
        exposure_x=1.0,
        exposure_y=1.0,
        edges=edges,
        edges_x=edges[:: rebin[0]],
        rebin=rebin,
    )


def _fold(rmf, cube):
    return (rmf @ cube.reshape(len(cube), -1)).reshape(-1, *cube.shape[1:])


def _blur(cube, psf, rebin):
    blurred = np.empty((len(cube), *(n // rebin for n in cube.shape[1:])))
    for plane, out in zip(cube, blurred, strict=True):
        wide = np.clip(fftconvolve(plane, psf, mode="same"), 0.0, None)
        out[...] = wide.reshape(out.shape[0], rebin, out.shape[1], rebin).sum(axis=(1, 3))
    return blurred
