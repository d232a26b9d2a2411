"""Scenes of known spectra and shapes, seen through a PSF at any position and wavelength.

Cubes are (wavelength, y, x), images (y, x) with x growing to the west and y to the north around the
centre of the scene; wavelengths are in micrometre, surface brightness in MJy/sr.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from astropy.wcs import WCS
from scipy import fft, ndimage, sparse

__all__ = ["ObservedScene", "PointSource", "Scene"]


@dataclass(frozen=True)
class PointSource:
    """
    An unresolved source that carries the spectrum of one component of its scene.

    Parameters
    ----------
    component : int
        Index of the component whose spectrum the source has.
    east, north : float
        Offset from the centre of the scene, arcsec.
    flux : float
        Weight of the spectrum times arcsec^2: spread over 1 arcsec^2 the source has the surface
        brightness ``flux`` times the spectrum.
    """

    component: int
    east: float
    north: float
    flux: float


@dataclass(frozen=True)
class Scene:
    """
    A true cube of low rank: maps times spectra, plus point sources.

    Parameters
    ----------
    wavelength : ndarray
        Ascending wavelengths of the spectra, micrometre, shape (n,).
    spectra : ndarray
        Spectrum of each component, MJy/sr, shape (k, n), at the resolving power of the
        spectrograph: nothing is convolved along wavelength.
    maps : ndarray
        Weight of each component, shape (k, ny, nx), odd sizes; x grows to the west.
    pixel_scale : float
        Scale of the maps, arcsec.
    ra, dec : float
        Centre of the maps, degree.
    sources : tuple of PointSource
        Unresolved sources.
    """

    wavelength: np.ndarray
    spectra: np.ndarray
    maps: np.ndarray
    pixel_scale: float
    ra: float
    dec: float
    sources: tuple = field(default=())

    def __post_init__(self):
        if np.any(np.diff(self.wavelength) <= 0):
            msg = "wavelength of a scene must ascend; sort it and the spectra"
            raise ValueError(msg)
        if self.spectra.shape != (len(self.maps), len(self.wavelength)):
            msg = (
                f"spectra has shape {self.spectra.shape}; expected (components, wavelengths) = "
                f"{(len(self.maps), len(self.wavelength))}"
            )
            raise ValueError(msg)
        if self.maps.shape[1] % 2 == 0 or self.maps.shape[2] % 2 == 0:
            msg = f"maps has shape {self.maps.shape}; both sizes of a map must be odd"
            raise ValueError(msg)

    @classmethod
    def from_cube(cls, cube, wavelength, *, pixel_scale, ra, dec, tolerance=1e-4, max_rank=16):
        """
        Make a scene of any cube by truncating its singular values.

        Parameters
        ----------
        cube : ndarray
            True cube, MJy/sr, shape (n, ny, nx), finite, x to the west.
        wavelength : ndarray
            Ascending wavelengths, micrometre, shape (n,).
        pixel_scale, ra, dec : float
            Scale in arcsec and centre in degree.
        tolerance : float
            Singular values below this fraction of the largest are dropped.
        max_rank : int
            Largest number of components.

        Returns
        -------
        Scene
            Scene of at most `max_rank` components without point sources; an even size loses its
            last row or column.

        Raises
        ------
        ValueError
            If the cube holds NaN or infinite values.
        """
        if not np.all(np.isfinite(cube)):
            msg = "cube holds NaN or infinite values; a true scene must be finite, fill them first"
            raise ValueError(msg)
        n, ny, nx = cube.shape
        ny, nx = ny - 1 + ny % 2, nx - 1 + nx % 2
        flat = np.asarray(cube, float)[:, :ny, :nx].reshape(n, -1)
        u, s, vt = np.linalg.svd(flat, full_matrices=False)
        rank = min(max_rank, max(1, int(np.sum(s > tolerance * s[0]))))
        return cls(
            np.asarray(wavelength, float),
            (u[:, :rank] * s[:rank]).T,
            vt[:rank].reshape(rank, ny, nx),
            pixel_scale,
            ra,
            dec,
        )

    @property
    def wcs(self):
        """Celestial WCS of the maps, north up, east left."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [self.ra, self.dec]
        wcs.wcs.crpix = [(self.maps.shape[2] + 1) / 2, (self.maps.shape[1] + 1) / 2]
        wcs.wcs.cdelt = [-self.pixel_scale / 3600, self.pixel_scale / 3600]
        wcs.wcs.set()
        return wcs

    def spectrum(self, wavelength):
        """
        Spectra of the components, interpolated.

        Parameters
        ----------
        wavelength : ndarray
            Wavelengths, micrometre, any shape.

        Returns
        -------
        ndarray
            MJy/sr, shape (k, ...); zero outside the range of the scene.
        """
        return np.stack(
            [np.interp(wavelength, self.wavelength, s, left=0.0, right=0.0) for s in self.spectra]
        )

    def integrated(self, wavelength):
        """
        Make the scene as channels record it: the mean of each spectrum over every channel.

        Sampled at the centres of channels, a line that is narrower than a channel would have too
        much light or too little.

        Parameters
        ----------
        wavelength : ndarray
            Ascending centres of channels that touch each other, micrometre, shape (n,), n > 1.

        Returns
        -------
        Scene
            Scene whose spectra are given at these wavelengths.

        Raises
        ------
        ValueError
            If there are fewer than two channels.
        """
        centre = np.asarray(wavelength, float)
        if centre.size < 2:
            msg = f"{centre.size} channel: at least two are needed to know how wide they are"
            raise ValueError(msg)
        middle = 0.5 * (centre[1:] + centre[:-1])
        edge = np.concatenate([[2 * centre[0] - middle[0]], middle, [2 * centre[-1] - middle[-1]]])
        grid = np.union1d(self.wavelength, edge)
        values = self.spectrum(grid)
        steps = 0.5 * (values[:, 1:] + values[:, :-1]) * np.diff(grid)
        total = np.concatenate([np.zeros((len(values), 1)), np.cumsum(steps, axis=1)], axis=1)
        at_edge = total[:, np.searchsorted(grid, edge)]
        return replace(self, wavelength=centre, spectra=np.diff(at_edge, axis=1) / np.diff(edge))

    def observe(self, psf):
        """
        Convolve every component with the PSF at its wavelength nodes.

        Parameters
        ----------
        psf : jwst_fusion.psf.PsfCube
            PSF on the pixel scale of the scene, its y axis to the north.

        Returns
        -------
        ObservedScene
            The scene with its components and point sources convolved.

        Raises
        ------
        ValueError
            If the PSF has another pixel scale than the scene.
        """
        if not np.isclose(psf.pixel_scale, self.pixel_scale, rtol=1e-6):
            msg = f"psf has {psf.pixel_scale} arcsec pixels, the scene {self.pixel_scale} arcsec"
            raise ValueError(msg)
        k, ny, nx = self.maps.shape
        size = [
            fft.next_fast_len(n + m, real=True)
            for n, m in zip((ny, nx), psf.data.shape[1:], strict=True)
        ]
        spectrum = fft.rfft2(self.maps, size)
        fy, fx = fft.fftfreq(size[0])[:, None], fft.rfftfreq(size[1])[None]
        for source in self.sources:
            x = (nx - 1) / 2 - source.east / self.pixel_scale
            y = (ny - 1) / 2 + source.north / self.pixel_scale
            weight = source.flux / self.pixel_scale**2
            spectrum[source.component] += weight * np.exp(-2j * np.pi * (fx * x + fy * y))
        half = np.array(psf.data.shape[1:]) // 2
        images = np.empty((k, len(psf.data), ny, nx))
        for node, kernel in enumerate(psf.data):
            padded = fft.irfft2(spectrum * fft.rfft2(kernel, size), size)
            images[:, node] = padded[:, half[0] : half[0] + ny, half[1] : half[1] + nx]
        return ObservedScene(self, psf, images)


class ObservedScene:
    """
    A scene after convolution with a PSF that varies with wavelength.

    Parameters
    ----------
    scene : Scene
        Scene before the convolution.
    psf : jwst_fusion.psf.PsfCube
        PSF that it was convolved with.
    images : ndarray
        Components convolved with the PSF at each node, shape (k, node, ny, nx).
    """

    _chunk = 100_000

    def __init__(self, scene, psf, images):
        self.scene, self.psf = scene, psf
        filtered = ndimage.spline_filter1d(images, order=3, axis=2, mode="mirror")
        filtered = ndimage.spline_filter1d(filtered, order=3, axis=3, mode="mirror")
        k, nodes, ny, nx = images.shape
        self._shape = (ny, nx)
        self._coefficients = np.ascontiguousarray(filtered.reshape(k * nodes, ny * nx).T)

    def components(self, ra, dec):
        """
        Components at sky positions by cubic spline interpolation.

        Parameters
        ----------
        ra, dec : ndarray
            Positions, degree, shape (n,).

        Returns
        -------
        ndarray
            Shape (n, k, node); zero outside the scene.
        """
        x, y = self.scene.wcs.all_world2pix(ra, dec, 0)
        ny, nx = self._shape
        inside = (x >= 1) & (x <= nx - 3) & (y >= 1) & (y <= ny - 3)
        x, y = np.where(inside, x, 1.0), np.where(inside, y, 1.0)
        column, wx = _cubic_weights(x)
        row, wy = _cubic_weights(y)
        index = (row[:, :, None] * nx + column[:, None, :]).reshape(-1)
        weight = (wy[:, :, None] * wx[:, None, :] * inside[:, None, None]).reshape(-1)
        start = np.arange(0, 16 * len(x) + 1, 16)
        taps = sparse.csr_array((weight, index, start), shape=(len(x), ny * nx))
        k = len(self.scene.spectra)
        return (taps @ self._coefficients).reshape(len(x), k, -1)

    def sample(self, ra, dec, wavelength):
        """
        Surface brightness at sky positions and wavelengths.

        Parameters
        ----------
        ra, dec, wavelength : ndarray
            Degree, degree, micrometre, of one shape.

        Returns
        -------
        ndarray
            MJy/sr, same shape; NaN where any coordinate is NaN.
        """
        ra, dec, wavelength = np.broadcast_arrays(ra, dec, wavelength)
        out = np.full(ra.shape, np.nan)
        flat = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec) & np.isfinite(wavelength))
        ra, dec, wavelength = (a.ravel()[flat] for a in (ra, dec, wavelength))
        for start in range(0, len(flat), self._chunk):
            part = slice(start, start + self._chunk)
            values = self.components(ra[part], dec[part])
            spectra = self.scene.spectrum(wavelength[part])
            # beyond the range of the scene there is no light, whatever the PSF
            lit = np.clip(wavelength[part], *self.scene.wavelength[[0, -1]])
            nodes = self.psf.weights(lit)
            out.ravel()[flat[part]] = np.einsum("nkr,kn,nr->n", values, spectra, nodes)
        return out

    def band(self, ra, dec, weights):
        """
        Image through a filter.

        Parameters
        ----------
        ra, dec : ndarray
            Positions, degree, shape (ny, nx).
        weights : ndarray
            Photometric weight of each wavelength of the scene, sum one, shape (n,).

        Returns
        -------
        ndarray
            MJy/sr, shape (ny, nx).
        """
        used = np.asarray(weights) != 0
        nodes = self.psf.weights(self.scene.wavelength[used])
        contracted = (self.scene.spectra[:, used] * weights[used]) @ nodes
        values = self.components(np.ravel(ra), np.ravel(dec))
        return np.einsum("nkr,kr->n", values, contracted).reshape(np.shape(ra))

    def cube(self, ra, dec, wavelength):
        """
        Cube on a grid of positions.

        Parameters
        ----------
        ra, dec : ndarray
            Positions, degree, shape (ny, nx).
        wavelength : ndarray
            Micrometre, shape (n,).

        Returns
        -------
        ndarray
            MJy/sr, shape (n, ny, nx).
        """
        values = self.components(np.ravel(ra), np.ravel(dec))
        spectra, nodes = self.scene.spectrum(wavelength), self.psf.weights(wavelength)
        matrix = spectra.T[:, :, None] * nodes[:, None, :]
        flat = matrix.reshape(len(wavelength), -1) @ values.reshape(len(values), -1).T
        return flat.reshape(len(wavelength), *np.shape(ra))


def _cubic_weights(x):
    """First index and the four weights of the cubic B-spline at x, shape (n, 4) each."""
    first = np.floor(x).astype(np.intp)
    t = (x - first)[:, None]
    index = first[:, None] + np.arange(-1, 3)
    weight = np.concatenate(
        [
            (1 - t) ** 3 / 6,
            (3 * t**3 - 6 * t**2 + 4) / 6,
            (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
            t**3 / 6,
        ],
        axis=1,
    )
    return index, weight
