"""A cluster of galaxies in several observations: cameras and calorimeters, rolls and epochs."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits

from jwst_fusion.associations import write_association
from jwst_fusion.associations.hifred import make_hifred_association
from jwst_fusion.hifred.data import coarse_response
from jwst_fusion.hifred.pairing import pixel_matrix
from jwst_fusion.hifred.psf_image import gaussian_psf
from jwst_fusion.hifred.response.response import Response
from jwst_fusion.hifred.xray.ogip_write import write_arf, write_rmf
from jwst_fusion.products.fits_product import energy_header
from jwst_fusion.simulation.xray_cluster import (
    ClusterSetup,
    calorimeter_psf,
    cluster_source,
    sky_grid,
)
from jwst_fusion.simulation.xray_responses import ccd_response

__all__ = [
    "FOUR",
    "ClusterObservation",
    "ObservedCluster",
    "SimulatedCube",
    "cluster_observations",
    "write_observed_cluster",
]

_AREA_CAMERA, _AREA_CALORIMETER = 800.0, 200.0  # cm2
_BRIGHT = 1e-5  # photon cm-2 s-1 of the unit of `cluster_source`, for exposures of a day or so
_RESOLUTION = 64.0  # eV, standard deviation of a CCD


@dataclass(frozen=True)
class ClusterObservation:
    """
    One observation of the cluster.

    Attributes
    ----------
    name : str
        Name of its files.
    camera : bool
        Whether it is a CCD camera, not a calorimeter.
    pixel : float
        Side of a pixel, arcsec.
    shape : tuple of int
        Pixels along y and x.
    counts : float
        Expected counts without background, for a normalisation of 1.
    angle : float
        Rotation against the first camera, degrees.
    offset : tuple of float
        Offset of the middle of the cluster in its field, pixels along x and y.
    fwhm : float
        Of a camera: FWHM of its PSF relative to that of the first camera, arcsec; 0 for the same.
    background : float
        Expected counts of the background for each count of the source.
    normalisation : float
        By how much more it shows of the source than its response says.
    wider : float
        Width of the PSF that makes the counts of a calorimeter, relative to that of the response.
    missing : tuple of int or None
        Row and column of a pixel that it lacks.
    """

    name: str
    camera: bool
    pixel: float
    shape: tuple
    counts: float
    angle: float = 0.0
    offset: tuple = (0.0, 0.0)
    fwhm: float = 0.0
    background: float = 0.02
    normalisation: float = 1.0
    wider: float = 1.0
    missing: tuple | None = None


#: A sharp camera, one of larger area that is less sharp, and a calorimeter at two roll angles.
FOUR = (
    ClusterObservation("pn", True, 4.0, (72, 72), 1.2e5, background=0.05),
    ClusterObservation(
        "mos", True, 5.0, (64, 64), 8e4, angle=20.0, fwhm=6.0, background=0.05, normalisation=0.95
    ),
    ClusterObservation("resolve", False, 30.0, (6, 6), 2.9e4, angle=37.0, missing=(0, 5)),
    ClusterObservation(
        "resolve_2",
        False,
        30.0,
        (6, 6),
        2.4e4,
        angle=82.0,
        offset=(0.4, -0.3),
        normalisation=1.05,
        missing=(0, 5),
    ),
)


@dataclass(frozen=True)
class SimulatedCube:
    """
    What one observation counts, and what is known of it.

    Attributes
    ----------
    observation : ClusterObservation
        The observation.
    counts : ndarray (l, m, n)
        Counts.
    response : Response
        Its response as it is believed to be, with background and mask.
    wcs : `~astropy.wcs.WCS`
        Celestial coordinates.
    edges : ndarray (l + 1,)
        Edges of its channels, keV.
    rmf : sparse matrix (l, L)
        Redistribution.
    area : float
        Effective area, cm2.
    exposure : float
        Exposure time, s.
    psf : ndarray (y, x) or None
        PSF on the pixels of the first camera; None for that of the first camera.
    """

    observation: ClusterObservation
    counts: np.ndarray
    response: Response
    wcs: object
    edges: np.ndarray
    rmf: object
    area: float
    exposure: float
    psf: np.ndarray | None


@dataclass(frozen=True)
class ObservedCluster:
    """
    All observations of a cluster, and the truth.

    Attributes
    ----------
    cubes : list of SimulatedCube
        The observations, cameras first.
    truth : ndarray (L, M, N)
        Source, photon cm-2 s-1 in each voxel.
    velocity : ndarray (M, N)
        Velocity along the line of sight, km/s.
    edges : ndarray (L + 1,)
        Edges of the energies, keV.
    pixels : scipy.sparse.csr_array (q, M * N)
        Squares of 30 arcsec over which velocities are compared.
    good : ndarray of bool (q,)
        Those that are used.
    """

    cubes: list
    truth: np.ndarray
    velocity: np.ndarray
    edges: np.ndarray
    pixels: object = field(repr=False)
    good: np.ndarray = field(repr=False)

    @property
    def cameras(self):
        """The cubes of cameras."""
        return [one for one in self.cubes if one.observation.camera]

    @property
    def calorimeters(self):
        """The cubes of calorimeters."""
        return [one for one in self.cubes if not one.observation.camera]


def cluster_observations(observations=FOUR, setup=None, *, seed=1):
    """
    Observe a cluster several times.

    Parameters
    ----------
    observations : sequence of ClusterObservation
        The observations; the first is a camera that has the pixels of the set-up.
    setup : ClusterSetup, optional
        Energies, field, velocities and pixels for comparison.
    seed : int
        Seed of the clumps of the gas and of the noise.

    Returns
    -------
    ObservedCluster
        What is counted, and the truth.

    Raises
    ------
    ValueError
        If the first observation is no camera with the pixels of the set-up.
    """
    setup = setup or ClusterSetup()
    first = observations[0]
    if not first.camera or (first.shape, first.pixel) != (setup.shape, setup.pixels[0]):
        msg = f"the first observation must be a camera of {setup.shape} pixels of "
        msg += f"{setup.pixels[0]} arcsec, as the set-up has"
        raise ValueError(msg)
    source, velocity, edges, pixels, good = cluster_source(setup, seed=seed)
    source = _BRIGHT * source
    cubes = [
        _observed(one, setup, source, edges, np.random.default_rng([seed, 3, k]))
        for k, one in enumerate(sorted(observations, key=lambda one: not one.camera))
    ]
    return ObservedCluster(cubes, source, velocity, edges, pixels, good)


def _observed(one, setup, source, edges, rng):
    camera, area = one.camera, _AREA_CAMERA if one.camera else _AREA_CALORIMETER
    own = edges[:: setup.fine // setup.coarse] if camera else edges
    rmf = ccd_response(edges, own, _RESOLUTION) if camera else None
    wcs = sky_grid(one.shape, one.pixel, one.angle, one.offset)
    grid = sky_grid(setup.shape, setup.pixels[0])
    matrix, _, covered = pixel_matrix(setup.shape, one.shape, grid, wcs)
    good = covered.copy()
    if one.missing is not None:
        good[one.missing] = False
    psf = true_psf = None
    if not camera:
        psf, true_psf = (calorimeter_psf(setup.pixels[0], wider) for wider in (1.0, one.wider))
    elif one.fwhm:
        psf = true_psf = gaussian_psf(one.fwhm / setup.pixels[0])
    shape = (len(own) - 1, *one.shape)
    known, true = (
        coarse_response(
            source.shape,
            matrix,
            one.shape,
            psf=np.ones((1, 1, 1)) if kernel is None else kernel[None],
            spectral=rmf,
            arf=np.full(len(source), area),
            mask=np.broadcast_to(good, shape),
        )
        for kernel in (psf, true_psf)
    )
    seen = np.broadcast_to(good, shape)
    exposure = one.counts / known.forward(source)[seen].sum()
    flat = np.full(shape, one.background * one.counts / seen.sum())
    known = known.scaled(exposure).replace(background=flat)
    true = true.scaled(exposure * one.normalisation).replace(background=flat)
    counts = np.where(seen, rng.poisson(true.observe(source)), 0).astype(float)
    rmf = np.eye(len(source)) if rmf is None else rmf
    return SimulatedCube(one, counts, known, wcs, own, rmf, area, float(exposure), psf)


def write_observed_cluster(cluster, folder, *, name="cluster"):
    """
    Write observations as a user would have them.

    Parameters
    ----------
    cluster : ObservedCluster
        As from `cluster_observations`.
    folder : str or `~pathlib.Path`
        Folder of the files; it is made if it does not exist.
    name : str
        Beginning of all file names, and name of the product.

    Returns
    -------
    `~pathlib.Path`
        The association: every cube as ``science`` with an RMF (cameras), ARF and PSF of its own.
        The true cube is written beside it as ``<name>_truth.fits``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths, own = [], []
    for number, one in enumerate(cluster.cubes):
        start = folder / f"{name}_{one.observation.name}"
        paths.append(Path(f"{start}_counts.fits"))
        _write_cube(paths[-1], one)
        files = {"arf": Path(f"{start}.arf")}
        area = np.full(len(cluster.truth), one.area)
        write_arf(files["arf"], area, cluster.edges, exposure=one.exposure)
        if one.observation.camera:
            files["rmf"] = Path(f"{start}.rmf")
            write_rmf(files["rmf"], one.rmf, cluster.edges, one.edges)
        if one.psf is not None and number:
            files["psf"] = Path(f"{start}_psf.fits")
            psf = fits.PrimaryHDU(one.psf.astype(np.float32))
            psf.header["PIXELSCL"] = (cluster.cubes[0].observation.pixel, "[arcsec] pixel")
            psf.writeto(files["psf"], overwrite=True)
        own.append(files)
    header = energy_header(cluster.edges, cluster.cubes[0].wcs)
    header["BUNIT"] = "photon"
    truth = fits.PrimaryHDU(cluster.truth.astype(np.float32), header)
    truth.writeto(folder / f"{name}_truth.fits", overwrite=True)
    table = make_hifred_association(paths, product_name=name, folder=folder, own=own)
    return write_association(table, folder / f"{name}_asn.json")


def _write_cube(path, one):
    header = energy_header(one.edges, one.wcs)
    header["BUNIT"] = "count"
    header["EXPOSURE"] = (one.exposure, "[s] exposure time")
    hdus = [fits.PrimaryHDU(one.counts.astype(np.int32), header)]
    hdus.append(fits.ImageHDU(one.response.background.astype(np.float32), name="BACKGROUND"))
    bad = (~one.response.mask).astype(np.uint8)
    hdus.append(fits.ImageHDU(bad, name="DQ"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
