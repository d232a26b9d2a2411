"""One slice with traces of known truth, array level: no WCS, no datamodel.

Arrays are (column, row): the dispersion runs along the columns, rows are those of the detector.
Slit coordinates are in native pixels, brightness is in any unit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import j1

__all__ = [
    "NoisySlice",
    "SliceGrid",
    "TraceScene",
    "TraceSource",
    "mrs_grid",
    "nirspec_grid",
    "pixel_profile",
]

_OBSTRUCTION = 0.2  # diameter of the secondary mirror over that of the primary
#: Full width at half maximum of the Airy pattern, in wavelength / diameter.
_AIRY_FWHM = 1.029
#: Width of a slice in units of the PSF's full width at half maximum.
_SLICE_WIDTH = 0.9
_REACH = 60.0  # in units of the FWHM: how far the profile is tabulated
#: Relative error of the errors that an exposure reports.
_ERROR_SCATTER = 0.03


@dataclass(frozen=True)
class SliceGrid:
    """
    Geometry of a slice on the detector.

    Parameters
    ----------
    middle : ndarray
        Row of slit coordinate 0 in each column, shape ``(column,)``.
    stretch : ndarray
        Slit coordinate per row there, shape ``(column,)``.
    half_width : float
        Largest absolute slit coordinate of the slice.
    fwhm : ndarray
        Full width at half maximum of the PSF before pixels, shape ``(column,)``.
    """

    middle: np.ndarray
    stretch: np.ndarray
    half_width: float
    fwhm: np.ndarray

    @property
    def n_column(self):
        """Number of columns."""
        return len(self.middle)

    @property
    def n_row(self):
        """Number of rows that hold the slice in all columns."""
        return int(np.ceil(self.middle.max() + self.half_width / self.stretch.min())) + 3

    def coordinate(self, row):
        """
        Slit coordinate of detector rows.

        Parameters
        ----------
        row : ndarray
            Rows, fractional ones too, broadcastable to ``(column, row)``.

        Returns
        -------
        ndarray
            Slit coordinates, shape ``(column, row)``, beyond the slice too.
        """
        distance = row - self.middle[:, None]
        bend = np.linspace(-1, 1, self.n_column)[:, None]
        return distance * self.stretch[:, None] + 6e-4 * bend * distance**2

    def inside(self, coordinate):
        """
        Say which slit coordinates belong to the slice.

        Parameters
        ----------
        coordinate : ndarray
            Slit coordinates, native pixels, any shape.

        Returns
        -------
        ndarray of bool
            Same shape.
        """
        return np.abs(coordinate) <= self.half_width


def nirspec_grid(n_column=2048):
    """
    Slice like those of the NIRSpec IFU.

    The traces climb one row in eighty columns at the first column and run parallel to the rows at
    the last.

    Parameters
    ----------
    n_column : int, optional
        Number of columns. The slice is 31 rows wide.

    Returns
    -------
    SliceGrid
        The geometry.
    """
    x = np.arange(n_column)
    drift = (x - x**2 / (2 * n_column)) / 80
    return SliceGrid(
        middle=18.3 + drift,
        stretch=1 + 0.01 * np.linspace(-1, 1, n_column),
        half_width=15.1,
        fwhm=np.linspace(0.9, 1.3, n_column),
    )


def mrs_grid(n_column=1024):
    """
    Slice like those of the MIRI MRS, turned so that the dispersion runs along the columns.

    The traces are curved and run parallel to the rows in the middle.

    Parameters
    ----------
    n_column : int, optional
        Number of columns. The slice is 20 rows wide.

    Returns
    -------
    SliceGrid
        The geometry.
    """
    u = np.linspace(-1, 1, n_column)
    return SliceGrid(
        middle=12.6 + 5 * u**2,
        stretch=1 + 0.01 * u,
        half_width=9.8,
        fwhm=np.linspace(1.2, 1.6, n_column),
    )


@cache
def _cumulative(across):
    """Integral of the light in a slice along the slit, in units of the PSF's FWHM."""
    along = np.arange(-_REACH, _REACH + 1e-9, 0.02)
    offsets = across + _SLICE_WIDTH * (np.arange(15) - 7) / 15
    radius = np.pi * _AIRY_FWHM * np.hypot(along[:, None], offsets)
    radius = np.maximum(radius, 1e-6)
    amplitude = 2 * j1(radius) / radius
    amplitude -= _OBSTRUCTION**2 * 2 * j1(_OBSTRUCTION * radius) / (_OBSTRUCTION * radius)
    light = np.mean(amplitude**2, axis=1)
    return CubicSpline(along, light / (np.sum(light) * 0.02)).antiderivative()


def pixel_profile(distance, fwhm, *, across=0.0):
    """
    Light of a point source that falls into pixels along the slit.

    Parameters
    ----------
    distance : ndarray
        Distance of the pixel centres from the source in native pixels, shape ``(column, row)``.
    fwhm : ndarray
        Full width at half maximum of the PSF before pixels, shape ``(column, 1)``.
    across : float, optional
        Distance of the source from the middle of the slice, in units of `fwhm`.

    Returns
    -------
    ndarray
        Share of the slice's light that each pixel gets. It is that of an obstructed Airy pattern:
        core, rings and wings.
    """
    integral = _cumulative(float(across))
    edges = [np.clip((distance + side) / fwhm, -_REACH, _REACH) for side in (0.5, -0.5)]
    return integral(edges[0]) - integral(edges[1])


@dataclass(frozen=True)
class TraceSource:
    """
    Point source.

    Parameters
    ----------
    center : float
        Slit coordinate.
    spectrum : ndarray
        Sum of its light over the slit, shape ``(column,)``.
    across : float
        Distance from the middle of the slice, in units of the PSF's width.
    """

    center: float
    spectrum: np.ndarray
    across: float = 0.0


@dataclass(frozen=True)
class NoisySlice:
    """
    Noisy slice, NaN outside it and at bad pixels.

    Parameters
    ----------
    flux, error : ndarray
        Brightness and its reported 1-sigma error, shape ``(column, row)``.
    coordinate : ndarray
        Slit coordinate, same shape, NaN outside the slice.
    noise : ndarray
        The noise that `flux` contains, same shape.
    residue : ndarray of bool
        Pixels with a cosmic-ray residue that no flag marks.
    """

    flux: np.ndarray
    error: np.ndarray
    coordinate: np.ndarray
    noise: np.ndarray
    residue: np.ndarray


@dataclass(frozen=True)
class TraceScene:
    """
    What a slice shows.

    Parameters
    ----------
    grid : SliceGrid
        Geometry.
    sources : tuple of TraceSource
        Point sources.
    diffuse : tuple of callable
        Extended light, each a function of slit coordinates of shape ``(column, row)``.
    lines : tuple of int
        Columns of narrow lines whose fluxes are of interest.
    lost : tuple of (int, int, float, float)
        Bad pixels of the scene: first and end column, lowest and highest slit coordinate.
    read, gain : float
        Noise of a pixel of brightness B: its variance is ``read**2 + gain * B``.
    """

    grid: SliceGrid
    sources: tuple = ()
    diffuse: tuple[Callable, ...] = ()
    lines: tuple = ()
    lost: tuple = ()
    read: float = 0.4
    gain: float = 0.02

    def sources_truth(self, coordinate):
        """
        Light of the point sources alone, without noise.

        Parameters
        ----------
        coordinate : ndarray
            Slit coordinates of pixel centres, shape ``(column, row)``. Wherever they are, the
            pixels are of native size.

        Returns
        -------
        ndarray
            Brightness, same shape.
        """
        total = np.zeros(coordinate.shape)
        for source in self.sources:
            share = pixel_profile(
                coordinate - source.center, self.grid.fwhm[:, None], across=source.across
            )
            total += source.spectrum[:, None] * share
        return total

    def truth(self, coordinate):
        """
        All light without noise; parameters and result as for `sources_truth`.

        Parameters
        ----------
        coordinate : ndarray
            Slit coordinates of pixel centres, shape ``(column, row)``.

        Returns
        -------
        ndarray
            Brightness, same shape.
        """
        return sum((light(coordinate) for light in self.diffuse), self.sources_truth(coordinate))

    def observe(self, *, seed=0, bad=0.01, clusters=8, residues=25):
        """
        Observe the slice.

        Parameters
        ----------
        seed : int, optional
            Seed of noise and blemishes.
        bad : float, optional
            Share of bad pixels.
        clusters : int, optional
            Number of clusters of 3 x 3 bad pixels.
        residues : int, optional
            Number of cosmic-ray residues that no flag marks, of up to four pixels.

        Returns
        -------
        NoisySlice
            The slice as the detector sees it.
        """
        rng = np.random.default_rng(seed)
        coordinate = self.grid.coordinate(np.arange(self.grid.n_row)[None])
        inside = self.grid.inside(coordinate)
        truth = self.truth(coordinate)
        sigma = np.sqrt(self.read**2 + self.gain * np.maximum(np.abs(truth), 0))
        noise = sigma * rng.standard_normal(truth.shape)
        error = sigma * (1 + _ERROR_SCATTER * rng.standard_normal(truth.shape))
        blemished = rng.random(truth.shape) < bad
        for _ in range(clusters):
            column, row = (rng.integers(0, n - 3) for n in truth.shape)
            blemished[column : column + 3, row : row + 3] = True
        for first, end, low, high in self.lost:
            hit = (coordinate[first:end] >= low) & (coordinate[first:end] <= high)
            blemished[first:end] |= hit
        flux, residue = truth + noise, np.zeros(truth.shape, dtype=bool)
        for _ in range(residues):
            column, row = (rng.integers(0, n - 5) for n in truth.shape)
            length, amplitude = rng.integers(1, 5), 10 ** rng.uniform(1.2, 3.3)
            along_row = rng.random() < 0.5
            hit = (
                np.s_[column : column + length, row]
                if along_row
                else np.s_[column, row : row + length]
            )
            flux[hit] += amplitude
            residue[hit] = True
        missing = blemished | ~inside
        return NoisySlice(
            flux=np.where(missing, np.nan, flux),
            error=np.where(missing, np.nan, error),
            coordinate=np.where(inside, coordinate, np.nan),
            noise=np.where(missing, 0.0, noise),
            residue=residue & ~missing,
        )
