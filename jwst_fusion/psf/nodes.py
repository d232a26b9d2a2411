"""Number of wavelength nodes that a PSF needs, measured on a model of the same grid."""

import math
from dataclasses import dataclass

import numpy as np

from jwst_fusion.psf import aperture
from jwst_fusion.psf.cache import remember
from jwst_fusion.psf.checks import check_broadening, check_grid, check_jitter, check_pixel_kernels
from jwst_fusion.psf.cube import chebyshev_nodes, lagrange_weights
from jwst_fusion.psf.instruments import identify
from jwst_fusion.psf.native import versions

__all__ = ["TOLERANCE", "count_nodes", "interpolation_error"]

#: Default relative error of an interpolated PSF. Its OTF is then nowhere off by twice as much.
TOLERANCE = 5e-4

_MOST = 65  # a power of two and one: `_Model.refine` halves intervals
# Samples of the pupil along a side. Images of it repeat beyond this many lambda / D, which is
# further out than the largest field reaches.
_PUPIL = 256


@dataclass(frozen=True)
class _Request:
    """What decides the number of nodes, checked.

    Attributes
    ----------
    channel : str
        Channel of the instrument.
    low, high : float
        Range of wavelengths [um].
    pixel_scale : float
        Pixel of the PSF [arcsec].
    npix : int
        Pixels a side.
    pixel_kernels : list of list
        Rectangles [width_x, width_y, angle] [arcsec, arcsec, deg].
    sigma : float
        Sigma of the Gaussian of broadening and jitter [arcsec].
    """

    channel: str
    low: float
    high: float
    pixel_scale: float
    npix: int
    pixel_kernels: list
    sigma: float


def count_nodes(
    instrument,
    low,
    high,
    *,
    pixel_scale,
    npix,
    pixel_kernels=(),
    broadening=None,
    jitter=None,
    tolerance=TOLERANCE,
):
    r"""
    Smallest number of Chebyshev nodes with which a PSF is interpolated to a given accuracy.

    Parameters
    ----------
    instrument : str
        "NIRCAM", "NIRSPEC" (integral field unit), "MIRI" (imager) or "MIRI_MRS" (spectrometer).
    low, high : float
        Range of wavelengths [um].
    pixel_scale : float
        Pixel of the PSF [arcsec].
    npix : int
        Pixels a side, odd.
    pixel_kernels : sequence of tuple
        Rectangles (width_x, width_y, angle) [arcsec, arcsec, deg] with which the PSF is convolved,
        see `jwst_fusion.psf.make_psf`.
    broadening : float, optional
        Sigma of a Gaussian that widens the PSF [arcsec]; by default the charge diffusion.
    jitter : float, optional
        Sigma of the telescope's jitter per axis [milliarcsec]; 0.8 by default.
    tolerance : float
        Largest relative error of the OTF at any wavelength between the nodes.

    Returns
    -------
    int
        Number of nodes, at least 2, for `chebyshev_nodes`.

    Raises
    ------
    ValueError
        If a parameter is out of range, or no number up to 65 is enough.

    Notes
    -----
    The error at one wavelength is that of the whole PSF, by Parseval's theorem the same for the
    OTF,

    .. math:: \epsilon(\lambda) = \|\sum_j w_j(\lambda) P_j - P(\lambda)\| \,/\, \|P(\lambda)\| .

    It is measured on the aperture model at wavelengths halfway between the nodes. What counts is
    how fast the diffraction pattern scales at the edge of the field and how much of it pixels and
    broadening leave; details of the wavefront matter little. The number is kept in the cache.
    """
    if not (math.isfinite(tolerance) and 1e-6 <= tolerance < 1):
        msg = f"tolerance must lie between 1e-6 and 1, got {tolerance}"
        raise ValueError(msg)
    request = _request(instrument, low, high, pixel_scale, npix, pixel_kernels, broadening, jitter)
    key = {
        "source": "aperture",
        "instrument": request.channel,
        "wavelength": [float(low), float(high)],
        "tolerance": float(tolerance),
        "versions": versions("aperture"),
        # the name in the key is that of entries that older versions have written
        "footprints": request.pixel_kernels,
        "npix": request.npix,
        "pixel_scale": request.pixel_scale,
        "sigma": request.sigma,
    }
    arrays, _ = remember(key, lambda: {"count": np.array([_fewest(request, tolerance)])})
    return int(arrays["count"][0])


def _fewest(request, tolerance):
    model = _Model(request)
    count = model.refine(tolerance)
    if count is None:
        msg = (
            f"{_MOST} nodes from {model.low:g} to {model.high:g} um do not interpolate the PSF to "
            f"tolerance={tolerance:g}; allow more, or make the field (npix) smaller"
        )
        raise ValueError(msg)
    while count > 2 and model.error(count - 1) <= tolerance:
        count -= 1
    return count


def _request(instrument, low, high, pixel_scale, npix, pixel_kernels, broadening, jitter):
    """Check the parameters; return them with names and widths resolved."""
    npix, pixel_scale, _ = check_grid(npix, pixel_scale, 0.0)
    kernels = check_pixel_kernels(pixel_kernels)
    chebyshev_nodes(low, high, 2)  # checks the range
    channel, _ = identify(instrument, (low, high))
    sigma = math.hypot(check_broadening(broadening, channel.broadening), check_jitter(jitter))
    return _Request(
        channel=channel.name,
        low=low,
        high=high,
        pixel_scale=pixel_scale,
        npix=npix,
        pixel_kernels=[list(kernel) for kernel in kernels],
        sigma=sigma,
    )


def interpolation_error(
    instrument,
    low,
    high,
    count,
    *,
    pixel_scale,
    npix,
    pixel_kernels=(),
    broadening=None,
    jitter=None,
):
    """
    Relative error of the OTF between a given number of Chebyshev nodes.

    Parameters
    ----------
    instrument : str
        "NIRCAM", "NIRSPEC" (integral field unit), "MIRI" (imager) or "MIRI_MRS" (spectrometer).
    low, high : float
        Range of wavelengths [um].
    count : int
        Number of nodes, from 2 to 65.
    pixel_scale : float
        Pixel of the PSF [arcsec].
    npix : int
        Pixels a side, odd.
    pixel_kernels : sequence of tuple
        Rectangles (width_x, width_y, angle) [arcsec, arcsec, deg] with which the PSF is convolved,
        see `jwst_fusion.psf.make_psf`.
    broadening : float, optional
        Sigma of a Gaussian that widens the PSF [arcsec]; by default the charge diffusion.
    jitter : float, optional
        Sigma of the telescope's jitter per axis [milliarcsec]; 0.8 by default.

    Returns
    -------
    float
        Largest error at wavelengths halfway between nodes, measured as `count_nodes` does.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """
    if int(count) != count or not 2 <= count <= _MOST:
        msg = f"count must be a whole number from 2 to {_MOST}, got {count}"
        raise ValueError(msg)
    request = _request(instrument, low, high, pixel_scale, npix, pixel_kernels, broadening, jitter)
    model = _Model(request)
    model.refine(0.0, least=int(count))
    return model.error(int(count))


class _Model:
    """Quick monochromatic PSFs with the broadening and field of a request."""

    def __init__(self, request):
        self.low, self.high = request.low, request.high
        nyquist = np.rad2deg(self.low * 1e-6 / (2.0 * aperture.DIAMETER)) * 3600.0
        self.scale = min(request.pixel_scale, nyquist / 1.05)
        self.size = 2 * math.ceil(0.5 * request.npix * request.pixel_scale / self.scale) + 1
        # Light from outside the field that pixels and broadening bring into it.
        diagonals = sum(math.hypot(kernel[0], kernel[1]) for kernel in request.pixel_kernels)
        reach = 0.5 * diagonals + 4.0 * request.sigma
        self.margin = math.ceil(reach / self.scale)
        self.period = 2 * (self.size + 2 * self.margin)
        folded = (_PUPIL, aperture.pupil().shape[0] // _PUPIL) * 2
        self.pupil = aperture.pupil().reshape(folded).mean(axis=(1, 3))
        self.folded = folded
        self.channel = request.channel
        self.filter = self._filter(request.pixel_kernels, request.sigma)
        self.known = {}

    def _filter(self, pixel_kernels, sigma):
        fx = np.fft.rfftfreq(self.period, self.scale)[None, :]
        fy = np.fft.fftfreq(self.period, self.scale)[:, None]
        out = np.exp(-2.0 * (np.pi * sigma) ** 2 * (fx**2 + fy**2))
        for width_x, width_y, angle in pixel_kernels:
            cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
            out = out * np.sinc(width_x * (cosine * fx + sine * fy))
            out *= np.sinc(width_y * (cosine * fy - sine * fx))
        return out

    def psf(self, wavelength):
        """PSF of unit sum as a vector."""
        if wavelength not in self.known:
            error = aperture.wavefront_error(self.channel, wavelength)
            error = error.reshape(self.folded).mean(axis=(1, 3))
            wide = self.size + 2 * self.margin
            image = aperture.propagate(self.pupil, error, wavelength, self.scale, wide)
            spectrum = np.fft.rfft2(image, (self.period,) * 2) * self.filter
            image = np.fft.irfft2(spectrum, (self.period,) * 2)
            inside = slice(self.margin, self.margin + self.size)
            image = image[inside, inside]
            self.known[wavelength] = (image / image.sum()).ravel()
        return self.known[wavelength]

    def refine(self, tolerance, least=2):
        """
        Compute PSFs at ever more nodes, each set containing the last.

        Stops when the last set, of at least `least` nodes, interpolates those of the next one to
        the tolerance or there are `_MOST` nodes in it. Returns its number of nodes, or None if the
        tolerance was not reached.
        """
        half = 4
        while True:
            self.nodes = chebyshev_nodes(self.low, self.high, 2 * half + 1)
            images = np.array([self.psf(w) for w in self.nodes])
            unseen = lagrange_weights(self.nodes[::2], self.nodes[1::2]) @ images[::2]
            error = np.linalg.norm(unseen - images[1::2], axis=1)
            worst = np.max(error / np.linalg.norm(images[1::2], axis=1))
            if half + 1 >= least and (worst <= tolerance or half + 1 == _MOST):
                self.gram = images @ images.T
                return half + 1 if worst <= tolerance else None
            half *= 2

    def error(self, count):
        """Largest relative error halfway between `count` nodes, of the set found by `refine`."""
        nodes = chebyshev_nodes(self.low, self.high, count)
        angle = np.pi * (np.arange(count - 1) + 0.5) / (count - 1)
        between = 0.5 * (self.low + self.high) - 0.5 * (self.high - self.low) * np.cos(angle)
        direct = lagrange_weights(self.nodes, between)
        weights = lagrange_weights(nodes, between) @ lagrange_weights(self.nodes, nodes)

        def squared(rows):
            return np.einsum("ij,jk,ik->i", rows, self.gram, rows)

        ratio = squared(weights - direct) / squared(direct)
        return float(np.sqrt(max(ratio.max(), 0.0)))
