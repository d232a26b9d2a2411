"""A cluster of galaxies with moving gas, as a CCD camera and a calorimeter count it."""

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from scipy.ndimage import gaussian_filter

from jwst_fusion.hifred.data import HifredData, coarse_response
from jwst_fusion.hifred.pairing import pixel_matrix
from jwst_fusion.hifred.response.response import Response
from jwst_fusion.simulation.xray_responses import ccd_response

__all__ = [
    "LINES",
    "REDSHIFT",
    "ClusterPair",
    "ClusterSetup",
    "calorimeter_psf",
    "cluster_pair",
    "cluster_source",
    "line_velocity",
    "sky_grid",
]

_LIGHT = 299792.458  # km/s
#: Of NGC 1275, the galaxy in the middle of the Perseus cluster.
REDSHIFT = 0.01756
_TURBULENCE = 170.0  # km/s, as the calorimeter of Hitomi found
_RESOLUTION = 2.1  # eV, standard deviation: a FWHM of 5 eV
#: He-like iron w, x, y, z with satellites, and H-like iron: rest energy [keV], relative strength in
#: hot and in cool gas.
LINES = (
    (6.7004, 1.0, 1.0),
    (6.6823, 0.18, 0.2),
    (6.6675, 0.22, 0.25),
    (6.6545, 0.08, 0.2),
    (6.6366, 0.35, 0.45),
    (6.9732, 0.35, 0.08),
    (6.9520, 0.18, 0.04),
)
# Photons of all lines per photon of continuum in a band of 0.8 keV: an equivalent width of 0.4 keV.
_LINE_SHARE = 0.5
# PSF of the calorimeter's mirror: half of the light within 35 arcsec, wings beyond.
_CORE, _WINGS, _IN_CORE = 18.0, 55.0, 0.55


@dataclass(frozen=True)
class ClusterSetup:
    """
    Observation of a cluster by a camera X and a calorimeter Y.

    Attributes
    ----------
    energies : tuple of float
        Range, keV.
    fine, coarse : int
        Channels of Y and of X.
    shape : tuple of int
        Pixels of X along y and x.
    pixels : tuple of float
        Sizes of the pixels of X and of Y, arcsec.
    array : int
        Pixels of Y along each side.
    angle : float
        Rotation of Y against X, degrees.
    missing : tuple of int or None
        Row and column of the pixel that Y lacks.
    counts : tuple of float
        Expected counts of X and Y, without background.
    background : tuple of float
        Expected counts of the background of X and of Y for each count of the source.
    velocity : float
        Rms of the velocity along the line of sight over the field of Y, km/s.
    wider : float
        Width of the PSF that makes the counts of Y, relative to that of the response.
    """

    energies: tuple = (6.2, 7.0)
    fine: int = 800
    coarse: int = 40
    shape: tuple = (72, 72)
    pixels: tuple = (4.0, 30.0)
    array: int = 6
    angle: float = 37.0
    missing: tuple | None = (0, 5)
    counts: tuple = (2e5, 2.9e4)
    background: tuple = (0.05, 0.01)
    velocity: float = 313.0
    wider: float = 1.0


@dataclass(frozen=True)
class ClusterPair:
    """
    Counts of both telescopes, their responses and the truth.

    Attributes
    ----------
    x, y : ndarray
        Counts (l, M, N) and (L, m, n).
    response_x, response_y : Response
        Responses.
    truth : ndarray (L, M, N)
        Source.
    velocity : ndarray (M, N)
        Velocity along the line of sight, km/s.
    pixels : scipy.sparse.csr_array (m * n, M * N)
        Part of the light of each pixel of X that falls on each pixel of Y, without the PSF.
    good : ndarray of bool (m * n,)
        Pixels that Y has.
    edges : ndarray (L + 1,)
        Edges of the energies, keV.
    true_y : Response
        Response that made the counts of Y: `response_y`, unless its PSF is wider.
    """

    x: np.ndarray
    y: np.ndarray
    response_x: Response
    response_y: Response
    truth: np.ndarray
    velocity: np.ndarray
    pixels: object
    good: np.ndarray
    edges: np.ndarray
    true_y: Response

    def data(self, *, x=None, y=None):
        """
        Put the pair together as what is fused.

        Parameters
        ----------
        x, y : ndarray, optional
            Counts in place of those of the pair, same shapes.

        Returns
        -------
        HifredData
            Data and responses on the grid of the truth.
        """
        x, y = self.x if x is None else x, self.y if y is None else y
        return HifredData(
            x,
            y,
            self.response_x,
            self.response_y,
            None,
            None,
            coordinate=self.edges,
            unit="",
            channels=(slice(0, len(x)), slice(0, len(y))),
            names=("x", "y"),
            edges=(self.edges[:: len(y) // len(x)], self.edges),
            pixels=self.pixels,
        )


def _spectra(edges, velocity, *, cool):
    """Lines (L, n) at velocities (n,), of sum about 1, per energy bin."""
    energy, width = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    total = np.zeros((energy.size, velocity.size))
    strengths = np.array([line[2 if cool else 1] for line in LINES])
    for (rest, *_), strength in zip(LINES, strengths / strengths.sum(), strict=True):
        centre = rest / (1 + REDSHIFT) / (1 + velocity / _LIGHT)
        sigma = np.hypot(rest * _TURBULENCE / _LIGHT, 1e-3 * _RESOLUTION)
        profile = np.exp(-0.5 * ((energy[:, None] - centre) / sigma) ** 2)
        total += strength * profile * width[:, None] / (sigma * np.sqrt(2 * np.pi))
    return total


def _continuum(edges):
    energy, width = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    spectrum = np.exp(-energy / 4.0) * width
    return spectrum / spectrum.sum()


def cluster_source(setup, *, seed=1):
    """
    Make a cluster, and the pixels of the calorimeter that see it.

    Parameters
    ----------
    setup : ClusterSetup
        The observation.
    seed : int
        Seed of the clumps of the gas.

    Returns
    -------
    source : ndarray (L, M, N)
        Photons of each voxel, in any unit.
    velocity : ndarray (M, N)
        Velocity along the line of sight, km/s.
    edges : ndarray (L + 1,)
        Edges of the energies, keV.
    pixels : scipy.sparse.csr_array (m * n, M * N)
        Part of the light of each pixel that falls on each pixel of Y, without the PSF.
    good : ndarray of bool (m * n,)
        Pixels that Y has.
    """
    edges = np.linspace(*setup.energies, setup.fine + 1)
    velocity, image, cool = _gas(setup, seed)
    pixels, good = _pixels(setup)
    field = np.asarray(pixels[good].sum(axis=0)).ravel().reshape(setup.shape)
    light = image * field
    velocity -= (velocity * light).sum() / light.sum()
    velocity *= setup.velocity / np.sqrt((velocity**2 * light).sum() / light.sum())
    lines = [_spectra(edges, velocity.ravel(), cool=kind) for kind in (False, True)]
    share = cool.ravel()
    source = _continuum(edges)[:, None] + _LINE_SHARE * ((1 - share) * lines[0] + share * lines[1])
    source = (source * image.ravel()).reshape(setup.fine, *setup.shape)
    return source, velocity, edges, pixels, good


def cluster_pair(setup=None, *, rmf=None, arf=None, seed=1):
    """
    Observe a cluster with two telescopes.

    Parameters
    ----------
    setup : ClusterSetup, optional
        The observation.
    rmf : sparse matrix (channel, L), optional
        Redistribution of X on the energies of the set-up, without area; by default one that is like
        that of a CCD of 150 eV.
    arf : ndarray (L,), optional
        Effective area of X; by default the same at all energies.
    seed : int
        Seed of the clumps of the gas and of the noise.

    Returns
    -------
    ClusterPair
        What is counted, and the truth.
    """
    setup = setup or ClusterSetup()
    source, velocity, edges, pixels, good = cluster_source(setup, seed=seed)
    if rmf is None:
        rmf = ccd_response(edges, edges[:: setup.fine // setup.coarse], 64.0)
    response_x = Response.build(source.shape, spectral=rmf, arf=arf)
    used = np.broadcast_to(
        good.reshape(1, setup.array, setup.array), (setup.fine, setup.array, setup.array)
    )
    response_y, true_y = (
        coarse_response(
            source.shape,
            pixels,
            (setup.array, setup.array),
            psf=calorimeter_psf(setup.pixels[0], wider)[None],
            mask=used,
        )
        for wider in (1.0, setup.wider)
    )
    rng = np.random.default_rng([seed, 2])
    found = []
    for response, true, counts, level in zip(
        (response_x, response_y),
        (response_x, true_y),
        setup.counts,
        setup.background,
        strict=True,
    ):
        expected = response.forward(source)
        seen = np.ones(expected.shape, bool) if response.mask is None else response.mask
        factor = counts / expected[seen].sum()
        flat = np.full(expected.shape, level * counts / seen.sum())
        response, true = (one.scaled(factor).replace(background=flat) for one in (response, true))
        found.append((np.where(seen, rng.poisson(true.observe(source)), 0), response, true))
    return ClusterPair(
        x=found[0][0].astype(float),
        y=found[1][0].astype(float),
        response_x=found[0][1],
        response_y=found[1][1],
        truth=source,
        velocity=velocity,
        pixels=pixels,
        good=good,
        edges=edges,
        true_y=found[1][2],
    )


def _gas(setup, seed):
    """Velocity, brightness (mean 1) and share of cool gas of the pixels of X."""
    rng = np.random.default_rng([seed, 1])
    rows, columns = setup.shape
    y, x = np.mgrid[:rows, :columns] * setup.pixels[0]
    y, x = y - y.mean(), x - x.mean()
    image = (1 + ((x - 12) ** 2 + (y + 8) ** 2) / 50.0**2) ** -1.2
    clumps = gaussian_filter(rng.standard_normal(setup.shape), 12 / setup.pixels[0])
    image *= np.exp(0.25 * clumps / clumps.std())
    cool = np.exp(-0.5 * ((x - 12) ** 2 + (y + 8) ** 2) / 45.0**2)
    # rotation about the middle, and a lobe that moves away from us
    velocity = 0.8 * x + 0.45 * y + 80 * np.exp(-0.5 * ((x + 40) ** 2 + (y - 30) ** 2) / 35.0**2)
    return velocity, image / image.mean(), cool


def sky_grid(shape, pixel, angle=0.0, offset=(0.0, 0.0)):
    """
    Make the coordinates of a grid of pixels around the middle of the cluster.

    Parameters
    ----------
    shape : tuple of int
        Pixels along y and x.
    pixel : float
        Their side, arcsec.
    angle : float
        Rotation, degrees.
    offset : tuple of float
        Where the middle of the cluster lies in the grid from its middle, pixels along x and y.

    Returns
    -------
    `~astropy.wcs.WCS`
        The coordinates.
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [49.9507, 41.5117]
    wcs.wcs.crpix = [(shape[1] + 1) / 2 + offset[0], (shape[0] + 1) / 2 + offset[1]]
    wcs.wcs.cdelt = [-pixel / 3600, pixel / 3600]
    turn = np.deg2rad(angle)
    wcs.wcs.pc = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    wcs.wcs.set()
    return wcs


def _pixels(setup):
    worlds = [
        sky_grid(setup.shape, setup.pixels[0]),
        sky_grid((setup.array, setup.array), setup.pixels[1], setup.angle),
    ]
    matrix, _, covered = pixel_matrix(setup.shape, (setup.array, setup.array), *worlds)
    good = covered.copy()
    if setup.missing is not None:
        good[setup.missing] = False
    return matrix, good.ravel()


def calorimeter_psf(pixel, wider=1.0):
    """
    Make the PSF of the calorimeter's mirror.

    Parameters
    ----------
    pixel : float
        Side of its pixels, arcsec.
    wider : float
        Width relative to that of the mirror.

    Returns
    -------
    ndarray (odd, odd)
        Of sum 1.
    """
    half = int(np.ceil(2.5 * _WINGS / pixel))
    y, x = np.mgrid[-half : half + 1, -half : half + 1] * pixel
    square = (x**2 + y**2) / wider**2
    parts = [
        share * np.exp(-0.5 * square / width**2) / width**2
        for share, width in ((_IN_CORE, _CORE), (1 - _IN_CORE, _WINGS))
    ]
    psf = sum(parts)
    return psf / psf.sum()


def line_velocity(spectra, edges, variance=None):
    """
    Fit the velocity of the lines of spectra by the cluster's own template.

    Parameters
    ----------
    spectra : ndarray (L, n)
        Spectra.
    edges : ndarray (L + 1,)
        Edges of the energies, keV.
    variance : ndarray (L, n), optional
        Variances of the spectra; with them the errors that independent noise gives are returned.

    Returns
    -------
    velocity : ndarray (n,)
        Velocities, km/s, by least squares of continuum, lines of hot and of cool gas and a shift,
        weighted by the expected noise of counts.
    error : ndarray (n,) or None
        Their errors.
    """
    grid = np.linspace(-2400.0, 2400.0, 193)
    step = grid[1] - grid[0]
    lines = [_spectra(edges, grid, cool=kind) for kind in (False, True)]
    continuum = _continuum(edges)
    velocity, error = np.empty(spectra.shape[1]), np.empty(spectra.shape[1])
    weight = 1.0 / np.maximum(gaussian_filter(spectra.mean(axis=1), 8.0), 1e-9 * spectra.mean())
    root = np.sqrt(weight)[:, None]
    for q, one in enumerate(spectra.T):
        misfit = []
        for k in range(grid.size):
            columns = root * np.stack([continuum, lines[0][:, k], lines[1][:, k]], axis=1)
            basis = np.linalg.qr(columns)[0]
            misfit.append(-np.sum((basis.T @ (root[:, 0] * one)) ** 2))
        k = int(np.clip(np.argmin(misfit), 1, grid.size - 2))
        left, middle, right = misfit[k - 1 : k + 2]
        bend = left - 2 * middle + right
        velocity[q] = grid[k] + 0.5 * step * (left - right) / bend
        if variance is None:
            continue
        columns = np.stack([continuum, lines[0][:, k], lines[1][:, k]], axis=1)
        size = np.linalg.lstsq(root * columns, root[:, 0] * one, rcond=None)[0]
        slope = sum(
            amount * (line[:, k + 1] - line[:, k - 1]) / (2 * step)
            for amount, line in zip(size[1:], lines, strict=True)
        )
        scale = 1.0 / np.sqrt(np.maximum(variance[:, q], 1e-30))[:, None]
        free = np.linalg.qr(scale * columns)[0]
        shift = scale[:, 0] * slope
        shift = shift - free @ (free.T @ shift)
        error[q] = 1.0 / np.sqrt((shift**2).sum())
    return velocity, None if variance is None else error
