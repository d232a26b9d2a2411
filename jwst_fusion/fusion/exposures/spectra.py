"""Spectra as cubic B-splines in wavelength, with knots at the channels and between them."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy import ndimage
from scipy.interpolate import CubicSpline

from jwst_fusion.fusion.exposures.sampling import cubic_taps

__all__ = ["ChannelAxis", "SplineSpectra"]

#: Knots per channel. Lines of the high-resolution gratings are hardly two channels wide: splines
#: with one knot a channel miss 2 % of their peaks at the channels, 7 % between them.
KNOTS = 2
_AT_KNOT = np.array([1.0, 4.0, 1.0]) / 6  # a cubic B-spline at its knots
_MARGIN = 3  # knots beyond either end, so that all pixels within the channels have four of them


class ChannelAxis:
    """
    Channels of a spectrum and the knots that go with them.

    Parameters
    ----------
    wavelength : array (L,)
        Ascending wavelengths of the channels, at least four, micrometre.
    per_channel : int
        Knots per channel.

    Attributes
    ----------
    wavelength : array (L,)
        As given.
    knots : int
        Number of knots, with three beyond the first and the last channel.

    Raises
    ------
    ValueError
        If wavelengths do not ascend or are too few.
    """

    def __init__(self, wavelength, per_channel=KNOTS):
        self.wavelength = np.asarray(wavelength, float)
        if self.wavelength.ndim != 1 or len(self.wavelength) < 4:
            msg = f"wavelength has the shape {self.wavelength.shape}: give at least four channels"
            raise ValueError(msg)
        if not np.all(np.diff(self.wavelength) > 0):
            msg = "wavelength must ascend from channel to channel; sort it"
            raise ValueError(msg)
        self.per_channel = int(per_channel)
        self.knots = (len(self.wavelength) - 1) * self.per_channel + 1 + 2 * _MARGIN

    def covers(self, wavelength):
        """
        Tell which wavelengths lie within the channels.

        Parameters
        ----------
        wavelength : array (n,)
            Wavelengths, micrometre; may hold NaN.

        Returns
        -------
        bool array (n,)
            True from half a channel before the first to half a channel after the last.
        """
        first, last = self.wavelength[[0, -1]]
        step = self.wavelength[1] - first, last - self.wavelength[-2]
        with np.errstate(invalid="ignore"):
            return (wavelength >= first - step[0] / 2) & (wavelength <= last + step[1] / 2)

    def channel(self, wavelength):
        """
        Return positions in units of channels, 0 at the first.

        Parameters
        ----------
        wavelength : array (n,)
            Wavelengths that `covers` holds to be within the channels, micrometre.

        Returns
        -------
        array (n,)
            The positions.
        """
        known = self.wavelength
        first, last = 2 * known[0] - known[1], 2 * known[-1] - known[-2]
        known = np.concatenate([[first], known, [last]])
        return np.interp(wavelength, known, np.arange(-1.0, len(known) - 1))

    def position(self, wavelength):
        """
        Return positions in units of knots, 0 at the first.

        Parameters
        ----------
        wavelength : array (n,)
            Wavelengths that `covers` holds to be within the channels, micrometre.

        Returns
        -------
        array (n,)
            The positions.
        """
        return self.channel(wavelength) * self.per_channel + _MARGIN

    def matrix(self, wavelength):
        """
        Return the values of the splines at wavelengths.

        Parameters
        ----------
        wavelength : array (n,)
            Wavelengths within the channels, micrometre.

        Returns
        -------
        `~scipy.sparse.csr_array` (n, knots)
            Four weights per wavelength, single precision.
        """
        index, weight = cubic_taps(self.position(wavelength))
        start = np.arange(0, 4 * len(index) + 1, 4, dtype=np.int32)
        flat = weight.ravel().astype(np.float32), index.ravel(), start
        return sp.csr_array(flat, shape=(len(index), self.knots))

    def interpolated(self, values):
        """
        Coefficients of the splines through values at the channels.

        Parameters
        ----------
        values : array (L, n)
            Finite values.

        Returns
        -------
        array (knots, n)
            The coefficients; beyond the channels the splines stay at the last values.
        """
        values = np.asarray(values, float)
        if self.per_channel > 1:
            channel = np.arange(len(values))
            fine = np.arange((len(values) - 1) * self.per_channel + 1) / self.per_channel
            values = CubicSpline(channel, values)(fine)
        values = np.pad(values, ((_MARGIN, _MARGIN), (0, 0)), mode="edge")
        return ndimage.spline_filter1d(values, order=3, axis=0, mode="mirror")

    def product(self, first, second):
        """
        Splines through the products of two sets of splines at their knots.

        Parameters
        ----------
        first, second : array (knots, n)
            Coefficients.

        Returns
        -------
        array (knots, n)
            Coefficients of the products.
        """
        values = [
            ndimage.convolve1d(one, _AT_KNOT, axis=0, mode="mirror") for one in (first, second)
        ]
        return ndimage.spline_filter1d(values[0] * values[1], order=3, axis=0, mode="mirror")


@dataclass(frozen=True)
class SplineSpectra:
    """
    The affine spectral subspace of a scene: a mean spectrum and basis spectra.

    Attributes
    ----------
    axis : ChannelAxis
        Channels and knots.
    mean : array (knots,)
        Spline coefficients of the mean spectrum, MJy/sr.
    basis : array (knots, k)
        Those of the basis spectra.
    brightness : array (k,), optional
        Typical values of the maps of the components, which tell how exactly each must be modelled;
        all alike by default.
    """

    axis: ChannelAxis
    mean: np.ndarray
    basis: np.ndarray
    brightness: np.ndarray | None = None

    @classmethod
    def through(cls, axis, mean, basis, brightness=None):
        """
        Make the splines through spectra given at the channels.

        Parameters
        ----------
        axis : ChannelAxis
            Channels and knots.
        mean : array (L,)
            Mean spectrum, finite.
        basis : array (L, k)
            Basis spectra, finite.
        brightness : array (k,), optional
            As the attribute.

        Returns
        -------
        SplineSpectra
            The splines.
        """
        both = axis.interpolated(np.concatenate([np.asarray(mean)[:, None], basis], axis=1))
        return cls(axis, both[:, 0], both[:, 1:], brightness)

    @property
    def rank(self):
        """Number of basis spectra."""
        return self.basis.shape[1]

    def shares(self):
        """
        Share of each component in the light of all, with its sign.

        Returns
        -------
        array (L, k)
            Of unit sum of squares at every channel; zero at channels without light.
        """
        basis = self.at(self.axis.wavelength)[1]
        if self.brightness is not None:
            basis = basis * self.brightness
        total = np.linalg.norm(basis, axis=1, keepdims=True)
        return np.divide(basis, total, out=np.zeros_like(basis), where=total > 0)

    def at(self, wavelength):
        """
        Evaluate mean and basis.

        Parameters
        ----------
        wavelength : array (n,)
            Wavelengths within the channels, micrometre.

        Returns
        -------
        mean : array (n,)
            Mean spectrum.
        basis : array (n, k)
            Basis spectra.
        """
        matrix = self.axis.matrix(wavelength).astype(float)
        return matrix @ self.mean, matrix @ self.basis
