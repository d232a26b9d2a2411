"""The PSF of one instrument at a few wavelength nodes, and interpolation between the nodes."""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["PsfCube", "chebyshev_nodes", "lagrange_weights"]

# Wavelengths [um] are rounded to a picometre.
_DIGITS = 6


def chebyshev_nodes(lo, hi, count):
    """
    Chebyshev nodes of the second kind: both ends and cosine-spaced points between them.

    Parameters
    ----------
    lo, hi : float
        Ends of the interval [um].
    count : int
        Number of nodes; 1 gives the middle.

    Returns
    -------
    ndarray
        Ascending nodes, shape (count,), of which the first is `lo` and the last `hi`, both rounded
        to a picometre: ranges that differ by less share PSFs in the cache.

    Raises
    ------
    ValueError
        If the interval is empty or not finite, or `count` is not a positive integer.
    """
    if not (np.isfinite(lo) and np.isfinite(hi) and lo < hi):
        msg = f"lo and hi must be finite with lo < hi, got lo={lo}, hi={hi}"
        raise ValueError(msg)
    if int(count) != count or count < 1:
        msg = f"count must be a positive integer, got {count}"
        raise ValueError(msg)
    if round(lo, _DIGITS) < round(hi, _DIGITS):
        lo, hi = round(lo, _DIGITS), round(hi, _DIGITS)
    if count == 1:
        return np.array([0.5 * (lo + hi)])
    cosine = np.cos(np.pi * np.arange(count) / (count - 1))
    nodes = 0.5 * (lo + hi) - 0.5 * (hi - lo) * cosine
    nodes[0], nodes[-1] = lo, hi
    return nodes


def lagrange_weights(nodes, wavelength):
    r"""
    Interpolation weights of the nodes at given wavelengths.

    Parameters
    ----------
    nodes : ndarray
        Ascending wavelengths of the nodes, shape (node,) [um].
    wavelength : array_like
        Wavelengths, shape (L,), in any order [um].

    Returns
    -------
    ndarray
        Shape (L, node); every row sums to one.

    Raises
    ------
    ValueError
        If a wavelength lies outside the nodes; a polynomial must not be extrapolated.

    Notes
    -----
    Lagrange interpolation in barycentric form (Berrut & Trefethen 2004, SIAM Review 46, 501,
    eq. 4.2):

    .. math:: w_j(\lambda) = \frac{b_j / (\lambda - \lambda_j)}{\sum_i b_i/(\lambda-\lambda_i)},
       \qquad b_j^{-1} = \prod_{i \ne j} (\lambda_j - \lambda_i).
    """
    wanted = np.atleast_1d(np.asarray(wavelength, dtype=np.float64))
    if wanted.ndim != 1:
        msg = f"wavelength must be one-dimensional, got shape {wanted.shape}"
        raise ValueError(msg)
    if nodes.size == 1:
        return np.ones((wanted.size, 1))
    span = nodes[-1] - nodes[0]
    slack = max(1e-6 * span, 10.0**-_DIGITS)
    if not np.all((wanted >= nodes[0] - slack) & (wanted <= nodes[-1] + slack)):
        msg = (
            f"wavelength must lie within the PSF's nodes, {nodes[0]:g} to {nodes[-1]:g} um; "
            f"got {np.min(wanted):g} to {np.max(wanted):g} um. Make the PSF for that range"
        )
        raise ValueError(msg)
    # Scaled to a capacity of one, so that the products neither overflow nor underflow.
    distance = (nodes[:, None] - nodes[None, :]) * (4.0 / span)
    np.fill_diagonal(distance, 1.0)
    barycentric = 1.0 / distance.prod(axis=1)
    offset = wanted[:, None] - nodes[None, :]
    hit = np.abs(offset) < 1e-13 * nodes[-1]
    terms = barycentric / np.where(hit, 1.0, offset)
    on_node = hit.any(axis=1)
    terms[on_node] = hit[on_node]
    return terms / terms.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class PsfCube:
    """
    Point spread functions at wavelength nodes.

    Parameters
    ----------
    data : ndarray
        Shape (node, y, x) with odd y and x; the PSF is centred on the middle pixel and each
        node sums to one.
    wavelength : ndarray
        Ascending wavelengths of the nodes, shape (node,) [um].
    pixel_scale : float
        Size of the square pixels [arcsec].
    source : str
        Which model made it: "webbpsf", "aperture" or the name of a file.
    meta : dict
        Everything else that describes how it was made.

    Raises
    ------
    ValueError
        If shapes disagree, a size is even, a value is not finite or a node does not sum to one.
    """

    data: np.ndarray
    wavelength: np.ndarray
    pixel_scale: float
    source: str
    meta: dict = field(default_factory=dict)

    def __post_init__(self):
        data = np.array(self.data, dtype=np.float64)
        wavelength = np.array(self.wavelength, dtype=np.float64)
        if data.ndim != 3 or wavelength.shape != data.shape[:1] or data.shape[0] == 0:
            msg = (
                "data must have shape (node, y, x) with one wavelength a node, got data "
                f"{data.shape} and wavelength {wavelength.shape}"
            )
            raise ValueError(msg)
        if data.shape[1] % 2 == 0 or data.shape[2] % 2 == 0:
            msg = f"the sides of a PSF must be odd, a pixel at its centre; got {data.shape[1:]}"
            raise ValueError(msg)
        if not np.all(np.isfinite(data)):
            msg = "the PSF contains values that are not finite"
            raise ValueError(msg)
        if not np.all(np.isfinite(wavelength)) or np.any(np.diff(wavelength) <= 0):
            msg = "the wavelengths of a PSF must be finite and ascending"
            raise ValueError(msg)
        if not np.allclose(data.sum(axis=(1, 2)), 1.0, rtol=0, atol=1e-6):
            msg = "every node of a PSF must sum to one"
            raise ValueError(msg)
        if not (np.isfinite(self.pixel_scale) and self.pixel_scale > 0):
            msg = f"pixel_scale must be positive, got {self.pixel_scale}"
            raise ValueError(msg)
        data.flags.writeable = False
        wavelength.flags.writeable = False
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "wavelength", wavelength)
        object.__setattr__(self, "pixel_scale", float(self.pixel_scale))

    def weights(self, wavelength):
        """
        Interpolation weights of the nodes at given wavelengths, see `lagrange_weights`.

        Parameters
        ----------
        wavelength : array_like
            Wavelengths within the nodes, shape (L,), in any order [um].

        Returns
        -------
        ndarray
            Shape (L, node); every row sums to one.
        """
        return lagrange_weights(self.wavelength, wavelength)

    def evaluate(self, wavelength):
        """
        Interpolate the PSF at given wavelengths.

        Parameters
        ----------
        wavelength : array_like
            Wavelengths, shape (L,) [um].

        Returns
        -------
        ndarray
            Shape (L, y, x); each sums to one.
        """
        return np.tensordot(self.weights(wavelength), self.data, axes=1)
