"""Fit one point source over a smooth background in several images at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwst_fusion.fusion.sources.matched_filter import background_terms
from jwst_fusion.fusion.sources.psf_shapes import PsfShape

__all__ = ["PointFit", "Stamps", "fit_point"]

_FAR = 0.5  # pixel, longest step
_NEAR, _STILL = 0.05, 1e-3  # pixel: steps at which a position is found, and not worth another step
_SINGULAR = 1e-10  # smallest eigenvalue of normal equations in units of their diagonal
# Derivatives of the PSF along (rows, columns), and what a shift by x and y, or a convolution with a
# Gaussian of covariance (xx, xy, yy), does to it in first order.
_POSITION = (((0, 1), -1.0), ((1, 0), -1.0))
_SPREAD = (((0, 2), 0.5), ((1, 1), 1.0), ((2, 0), 0.5))


@dataclass(frozen=True)
class PointFit:
    """A point source as all images together show it.

    Parameters
    ----------
    x, y : float
        Position, pixels.
    covariance : ndarray (2, 2)
        Of x and y, from the noise, pixels squared; infinite if nothing is known.
    flux, error : ndarray (F,)
        Flux in each image and its error from the noise, unit of the images times pixels; error
        infinite where an image does not show the position.
    chi2, freedom : ndarray (F,)
        Sum of the squared residuals over the noise, and degrees of freedom.
    spread : ndarray (2, 2)
        Covariance of the Gaussian by which the source is wider than the PSF, as (x, y), pixels
        squared; negative if it is sharper.
    spread_error : float
        1-sigma error of the mean of its diagonal.
    converged : bool
        Whether the position came to rest near where it began.
    """

    x: float
    y: float
    covariance: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    chi2: np.ndarray
    freedom: np.ndarray
    spread: np.ndarray
    spread_error: float
    converged: bool

    @property
    def ratios(self):
        """Flux over error in each image (F,)."""
        return self.flux / self.error


@dataclass(frozen=True)
class Stamps:
    """Windows around one position in several images.

    Parameters
    ----------
    shapes : list of PsfShape
        PSF of each image.
    rows, columns : list of ndarray
        Rows and columns of each window.
    values, weights : list of ndarray (rows, columns)
        Pixels and their inverse variances; 0 outside of the round window.
    terms : list of ndarray (B, rows, columns)
        Terms of the background.
    """

    shapes: list
    rows: list
    columns: list
    values: list
    weights: list
    terms: list

    @classmethod
    def cut(cls, images, inverse_variance, shapes, *, x, y, radii, linear=False):
        """
        Cut windows out of images.

        Parameters
        ----------
        images, inverse_variance : ndarray (F, Y, X)
            Images and inverse variances of independent pixels.
        shapes : list of PsfShape
            Their PSFs.
        x, y : float
            Middle of the windows, pixels.
        radii : sequence of int
            Radius of the window in each image, pixels.
        linear : bool
            Whether the background is a plane instead of a quadratic surface.

        Returns
        -------
        Stamps
            The windows, as far as they lie within the images.
        """
        parts = {name: [] for name in ("rows", "columns", "values", "weights", "terms")}
        middle = round(y), round(x)
        for image, weight, radius in zip(images, inverse_variance, radii, strict=True):
            inside, terms = background_terms(radius)
            (rows, keep_rows), (columns, keep_columns) = (
                _within(at, radius, size) for at, size in zip(middle, image.shape, strict=True)
            )
            box, kept = np.ix_(rows, columns), np.ix_(keep_rows, keep_columns)
            parts["rows"].append(rows.astype(float))
            parts["columns"].append(columns.astype(float))
            parts["values"].append(image[box])
            parts["weights"].append(weight[box] * inside[kept])
            parts["terms"].append(terms[: 3 if linear else None, keep_rows][..., keep_columns])
        return cls(shapes=list(shapes), **parts)


def _within(middle, radius, size):
    """Return the rows of a window that lie within an image, and their index in the window."""
    at = np.arange(middle - radius, middle + radius + 1)
    keep = np.flatnonzero((at >= 0) & (at < size))
    return at[keep], keep


def fit_point(stamps, x, y, *, reach, move=True, steps=8):
    """
    Fit position and fluxes of a point source over a background of its own in each image.

    Fluxes and backgrounds enter linearly and are eliminated (variable projection); the position is
    found by Gauss-Newton steps over all images together.

    Parameters
    ----------
    stamps : Stamps
        Windows around the source.
    x, y : float
        Position to begin with, pixels.
    reach : float
        Farthest distance from there, pixels.
    move : bool
        Whether the position is fitted.
    steps : int
        Largest number of steps.

    Returns
    -------
    PointFit
        The source.
    """
    start = np.array([x, y], float)
    position, converged = start.copy(), not move
    stamps = _whitened(stamps)
    for _ in range(steps if move else 0):
        _, normal, right = _equations(stamps, position, _POSITION)
        if not _regular(normal):
            break
        step = np.linalg.solve(normal, right)
        length = np.hypot(*step)
        position = position + step * min(1.0, _FAR / max(length, _FAR))
        if np.hypot(*(position - start)) > reach:
            position = start.copy()
            break
        converged = bool(length < _NEAR)
        if length < _STILL:
            break
    linear, normal, right = _equations(stamps, position, _POSITION + _SPREAD)
    covariance, spread, spread_error = np.full((2, 2), np.inf), np.zeros((2, 2)), np.inf
    if _regular(normal[:2, :2]):
        covariance = np.linalg.inv(normal[:2, :2])
    if _regular(normal):
        inverse = np.linalg.inv(normal)
        xx, xy, yy = (inverse @ right)[2:]
        spread = np.array([[xx, xy], [xy, yy]])
        mean = np.array([0, 0, 0.5, 0, 0.5])
        spread_error = float(np.sqrt(mean @ inverse @ mean))
    return PointFit(
        x=float(position[0]),
        y=float(position[1]),
        covariance=covariance,
        flux=np.array([one.flux for one in linear]),
        error=np.array([one.error for one in linear]),
        chi2=np.array([one.chi2 for one in linear]),
        freedom=np.array([one.freedom for one in linear], float),
        spread=spread,
        spread_error=spread_error,
        converged=converged,
    )


@dataclass(frozen=True)
class _Linear:
    """Flux and background in one image."""

    flux: float
    error: float
    chi2: float
    freedom: int


def _regular(normal):
    diagonal = np.diag(normal)
    if not np.all(diagonal > 0):
        return False
    size = np.sqrt(diagonal)
    return np.linalg.eigvalsh(normal / np.outer(size, size))[0] > _SINGULAR


@dataclass(frozen=True)
class _Window:
    """Pixels of one window in units of their noise, and the space of its backgrounds."""

    shape: PsfShape
    rows: np.ndarray
    columns: np.ndarray
    used: np.ndarray
    root: np.ndarray
    data: np.ndarray
    space: np.ndarray


def _whitened(stamps):
    """Windows of the images; None for those with too few pixels."""
    found = []
    for shape, rows, columns, values, weights, background in zip(
        stamps.shapes,
        stamps.rows,
        stamps.columns,
        stamps.values,
        stamps.weights,
        stamps.terms,
        strict=True,
    ):
        used = weights > 0
        if np.count_nonzero(used) <= len(background) + 1:
            found.append(None)
            continue
        root = np.sqrt(weights[used])
        space = np.linalg.qr((background[:, used] * root).T)[0]
        found.append(_Window(shape, rows, columns, used, root, values[used] * root, space))
    return found


def _equations(windows, position, terms):
    """Fluxes, and normal equations of position and shape without flux and background."""
    orders = [(0, 0), *(order for order, _ in terms)]
    factors = np.array([factor for _, factor in terms])
    normal, right, linear = np.zeros((len(terms),) * 2), np.zeros(len(terms)), []
    x, y = position
    for one in windows:
        if one is None:
            linear.append(_Linear(0.0, np.inf, 0.0, 0))
            continue
        light = one.shape(one.rows - y, one.columns - x, orders=orders)[:, one.used] * one.root
        space = np.column_stack([one.space, _orthogonal(light[0], one.space)])
        gain = space[:, -1] @ light[0]
        if not gain > 0:
            linear.append(_Linear(0.0, np.inf, 0.0, 0))
            continue
        shares = one.data @ space
        residual = one.data - space @ shares
        flux = float(shares[-1] / gain)
        freedom = len(one.data) - space.shape[1]
        linear.append(_Linear(flux, float(1 / gain), float(residual @ residual), freedom))
        # what shows no light says nothing of its position
        if flux > 0:
            slopes = flux * factors[:, None] * light[1:]
            slopes -= (slopes @ space) @ space.T
            normal += slopes @ slopes.T
            right += slopes @ residual
    return linear, normal, right


def _orthogonal(vector, space):
    """Part of a vector outside of a space, of unit length; zero if there is none."""
    rest = vector - space @ (vector @ space)
    size = np.linalg.norm(rest)
    return rest / size if size > _SINGULAR * np.linalg.norm(vector) else np.zeros_like(rest)
