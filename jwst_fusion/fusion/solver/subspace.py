"""Spectral subspace of a cube: noise-whitened PCA with missing voxels, and choice of rank."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy.linalg as sla

from jwst_fusion.messages import warn
from jwst_fusion.numerics.progress import Progress

__all__ = [
    "LARGEST_RANK",
    "MAX_RANK",
    "WhitenedSubspace",
    "estimate_subspace",
    "noise_edge",
    "parse_rank",
    "separate_smoothness",
]

log = logging.getLogger(__name__)

#: Most components that may be asked for; memory and time grow with their square.
LARGEST_RANK = 200
#: Most components that an automatic rank has by default; few fields have more kinds of spectra.
MAX_RANK = 12
_IMPUTATION_STEPS = 60  # at most; sums of the series of changes keep them few
_IMPUTATION_TOLERANCE = 0.02  # of one sigma: what is imputed is then far below the noise
_LEAST_SIGNAL = 0.02  # of the variance of a component that noise seems to explain as a whole
_EDGE_MARGIN = 1.03  # the largest noise eigenvalue scatters about the edge by a few per cent


@dataclass(frozen=True)
class WhitenedSubspace:
    """Affine spectral subspace ``mean + basis @ z``.

    Attributes
    ----------
    mean : ndarray (L,)
        Mean spectrum, in the unit of the cube; NaN in channels without data.
    basis : ndarray (L, k)
        Basis spectra; ``basis / sigma[:, None]`` has orthonormal columns. Zero without data.
    sigma : ndarray (L,)
        Noise per channel used for whitening; infinite in channels without data.
    eigenvalues : ndarray (n,)
        Eigenvalues of the whitened sample covariance, largest first.
    explained : ndarray (n,)
        Cumulative fraction of the whitened variance.
    noise : float
        Noise level of the whitened data outside the subspace: 1 if ``sigma`` is right.
    scores : ndarray (k, h, w)
        Coordinates of every spaxel; NaN outside the mask.
    samples : int
        Number of spaxels used.
    signal : int
        Number of components above the edge of the noise, whether they are kept or not.
    """

    mean: np.ndarray
    basis: np.ndarray
    sigma: np.ndarray
    eigenvalues: np.ndarray
    explained: np.ndarray
    noise: float
    scores: np.ndarray
    samples: int
    signal: int = 0

    @property
    def rank(self):
        """Number of basis spectra."""
        return self.basis.shape[1]

    @property
    def truncated(self):
        """Rms of the components above the noise that are not kept, in noise of a voxel, or 0."""
        left = self.eigenvalues[self.rank : self.signal] - self.noise**2
        channels = max(int(np.count_nonzero(self.valid)), 1)
        return float(np.sqrt(np.sum(np.maximum(left, 0.0)) / channels))

    def scatter(self, weight):
        """Scatter matrix of the maps of the components: what tells mean and basis from noise.

        Parameters
        ----------
        weight : ndarray (h, w)
            Relative inverse variance of each spaxel, 1 where `sigma` is the noise.

        Returns
        -------
        ndarray (k, k)
            Weighted sum over the spaxels of the products of their deviations from the mean.
        """
        known = np.isfinite(self.scores).all(0)
        values, weight = self.scores[:, known], weight[known]
        values = values - np.average(values, axis=1, weights=weight)[:, None]
        return (weight * values) @ values.T

    @property
    def valid(self):
        """Channels (L,) that have data."""
        return np.isfinite(self.sigma)


def estimate_subspace(cube, sigma, *, mask=None, weight=None, rank="auto", max_rank=MAX_RANK):
    """Estimate the spectral subspace of a cube by principal components of whitened spectra.

    Parameters
    ----------
    cube : ndarray (L, h, w)
        Spectra; NaN voxels are imputed by the low-rank model itself, never by zero.
    sigma : ndarray (L,)
        1-sigma noise per channel, in the unit of the cube.
    mask : ndarray (h, w) of bool, optional
        Good spaxels; all by default. Spaxels with less than half their channels are left out.
    weight : ndarray (h, w), optional
        Relative inverse variance of each spaxel; spaxels of weight zero are left out.
    rank : "auto", int, float or str
        "auto" keeps the components above the Marchenko-Pastur edge of the noise. Level and width of
        the noise spectrum are fitted to its bulk, so that wrong or correlated errors do not inflate
        the rank. A fraction below 1, or "explained:0.999", keeps as many of these as explain this
        part of their variance.
    max_rank : int
        Upper limit of the automatic rank.

    Returns
    -------
    WhitenedSubspace
        Mean, basis and diagnostics.

    Raises
    ------
    ValueError
        If an option is invalid, or if fewer than two spaxels or channels have data.
    """
    cube = np.asarray(cube)
    channels = len(cube)
    rank = parse_rank(rank)
    if int(max_rank) != max_rank or not 1 <= max_rank <= LARGEST_RANK:
        msg = f"max_rank must be a whole number from 1 to {LARGEST_RANK}, got {max_rank!r}"
        raise ValueError(msg)
    sigma = np.array(sigma, float)
    if cube.ndim != 3 or sigma.shape != (channels,):
        msg = f"cube (L, h, w) and sigma (L,) do not match: {cube.shape} and {sigma.shape}"
        raise ValueError(msg)
    good = np.ones(cube.shape[1:], bool) if mask is None else np.array(mask, bool)
    weight = np.ones(cube.shape[1:]) if weight is None else np.asarray(weight, float)
    good &= weight > 0

    # (spaxel, channel): the order in which spectra are contiguous.
    data = np.ascontiguousarray(cube[:, good].T, dtype=float)
    finite = np.isfinite(data)
    usable = np.isfinite(sigma) & (sigma > 0) & (finite.sum(0) >= min(3, max(1, len(data))))
    enough = finite[:, usable].mean(1) > 0.5 if usable.any() else np.zeros(len(data), bool)
    usable &= finite[enough].any(0) if enough.any() else False
    if enough.sum() < 2 or usable.sum() < 2:
        msg = (
            f"the cube has {enough.sum()} spaxels and {usable.sum()} channels with enough data; at "
            "least 2 of each are needed: check cube, cube_sigma and spaxel_weight"
        )
        raise ValueError(msg)
    good[good] = enough
    sigma[~usable] = np.inf
    root = np.sqrt(weight[good])[:, None]
    root /= np.sqrt(np.mean(root**2))
    data, finite = data[enough][:, usable] / sigma[usable], finite[enough][:, usable]

    limit = min(data.shape[0] - 1, data.shape[1])
    cap = min(limit, max_rank if not isinstance(rank, int) else rank)
    missing = ~finite
    if missing.any():
        log.info("Imputing %.2f %% missing voxels of the cube", 100 * missing.mean())
        data = _impute(data, missing, root, rank, cap)
    mean = np.average(data, axis=0, weights=root[:, 0] ** 2)
    centred = data - mean
    values, vectors = _principal(centred * root, limit)
    degrees = (data.shape[0] - 1, data.shape[1])
    edge = noise_edge(values, *degrees, skip=max(cap, 12))
    k = _chosen(values, edge, rank, cap)
    if not isinstance(rank, int):
        if rank == "auto" and np.sum(values > edge) > cap:
            log.info("%d components lie above the noise; %d kept", np.sum(values > edge), k)
    elif k < rank:
        warn(log, "rank = %d exceeds what %d spaxels allow; using %d", rank, len(data), k)

    freedom = max((degrees[0] - k) * (degrees[1] - k), 1)
    noise = float(np.sqrt(values[k:].sum() / freedom)) if k < limit else 1.0
    full_mean, basis = np.full(channels, np.nan), np.zeros((channels, k))
    full_mean[usable] = mean * sigma[usable]
    basis[usable] = vectors[:, :k] * sigma[usable, None]
    scores = np.full((k, *good.shape), np.nan)
    scores[:, good] = (centred @ vectors[:, :k]).T
    total = np.cumsum(values)
    return WhitenedSubspace(
        mean=full_mean,
        basis=basis,
        sigma=sigma,
        eigenvalues=values / (data.shape[0] - 1),
        explained=total / max(total[-1], np.finfo(float).tiny),
        noise=noise,
        scores=scores,
        samples=len(data),
        signal=int(np.sum(values > edge)),
    )


def separate_smoothness(subspace):
    r"""Turn the basis to components whose maps differ most in smoothness.

    Principal components mix what is sharp and what is smooth: each would get one prior for both.
    With the covariance C of their maps and that of their gradients G, noise taken off, both are
    diagonal in the basis of generalised eigenvectors, :math:`G w = \lambda C w`: the maximum
    autocorrelation factors of Switzer & Green (1984).

    Parameters
    ----------
    subspace : WhitenedSubspace
        Subspace, with the maps of its principal components.

    Returns
    -------
    WhitenedSubspace
        The same subspace, the components with the smallest scales first; the columns of the
        whitened basis are of unit length, but not orthogonal.
    """
    scores, rank = subspace.scores, subspace.rank
    known = np.isfinite(scores).all(0)
    steps = [np.diff(scores, axis=axis).reshape(rank, -1) for axis in (1, 2)]
    steps = np.concatenate(steps, axis=1)
    steps = steps[:, np.isfinite(steps).all(0)]
    if rank == 1 or steps.shape[1] <= rank:
        return subspace
    noise = subspace.noise**2 * np.eye(rank)
    values = scores[:, known]
    values = values - values.mean(1, keepdims=True)
    power = values @ values.T / values.shape[1]
    gradient = steps @ steps.T / steps.shape[1]
    # Noise may be correlated: what is taken off leaves a part of every component.
    power = _positive(power - noise, power)
    gradient = _positive(gradient - 2 * noise, gradient)
    ratios, turn = sla.eigh(gradient, power)
    turn = turn[:, np.argsort(ratios)[::-1]]
    mixing = np.linalg.inv(turn.T)
    norm = np.linalg.norm(mixing, axis=0)
    mixing, turn = mixing / norm, turn * norm
    return replace(
        subspace,
        basis=subspace.basis @ mixing,
        scores=np.einsum("ab,byx->ayx", turn.T, scores),
    )


def _positive(matrix, whole):
    """Matrix whose eigenvalues, relative to those of another one, are not below a small part."""
    values, vectors = sla.eigh(matrix, whole)
    back = whole @ vectors
    return (back * np.maximum(values, _LEAST_SIGNAL)) @ back.T


def parse_rank(rank):
    """Check a rank and bring it to one of its three forms.

    Parameters
    ----------
    rank : str, int or float
        "auto", a number of components, or a fraction of the variance, also as "explained:0.999".

    Returns
    -------
    str, int or float
        "auto", an integer from 1 to 200, or a fraction between 0 and 1.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if isinstance(rank, str) and rank == "auto":
        return rank
    fraction = isinstance(rank, str) and rank.startswith("explained:")
    try:
        value = float(rank.removeprefix("explained:") if fraction else rank)
    except (TypeError, ValueError):
        value = np.nan
    if 0 < value < 1:
        return value
    whole = 1 <= value <= LARGEST_RANK and value == np.floor(value)
    if whole and not fraction and not isinstance(rank, bool):
        return int(value)
    msg = (
        f"rank must be 'auto', a whole number from 1 to {LARGEST_RANK}, or a fraction of the "
        f"variance between 0 and 1 such as 0.999 or 'explained:0.999', got {rank!r}"
    )
    raise ValueError(msg)


def _chosen(values, edge, rank, cap):
    """Number of components that a parsed rank asks for."""
    if isinstance(rank, int):
        return cap
    signal = int(np.sum(values > edge))
    if rank != "auto" and signal:
        share = np.cumsum(values[:signal]) / np.sum(values[:signal])
        signal = int(np.searchsorted(share, rank * (1 - 1e-12))) + 1
    return max(1, min(signal, cap))


def _principal(matrix, limit):
    """Eigenvalues (descending) and right singular vectors of a (spaxel, channel) matrix."""
    rows, columns = matrix.shape
    if rows <= columns:
        values, left = sla.eigh(matrix @ matrix.T)
        values, left = np.maximum(values[::-1][:limit], 0), left[:, ::-1][:, :limit]
        keep = min(limit, LARGEST_RANK)
        scale = np.sqrt(np.maximum(values[:keep], np.finfo(float).tiny))
        return values, matrix.T @ (left[:, :keep] / scale)
    values, right = sla.eigh(matrix.T @ matrix)
    return np.maximum(values[::-1][:limit], 0), right[:, ::-1][:, :limit]


def _impute(data, missing, root, rank, cap):
    """Fill missing voxels by expectation-maximisation of the low-rank model."""
    filled = np.where(missing, 0.0, data)
    present = ~missing
    mean = filled.sum(0) / present.sum(0)
    level = np.where(present, data, 0).sum(1) / np.maximum((present * mean).sum(1), 1e-300)
    filled[missing] = (mean * np.clip(level, 0.1, 10.0)[:, None])[missing]
    degrees = (len(data) - 1, data.shape[1])
    previous = np.zeros(int(missing.sum()))
    progress = Progress()
    for step in range(_IMPUTATION_STEPS):
        mean = np.average(filled, axis=0, weights=root[:, 0] ** 2)
        weighted = (filled - mean) * root
        if step % 10 == 0:
            values, vectors = _principal(weighted, min(degrees))
            edge = noise_edge(values, *degrees, skip=max(cap, 12))
            k = _chosen(values, edge, rank, cap)
            basis, power = vectors[:, :k], values[:k]
        else:  # one step of orthogonal iteration keeps up with the slowly changing data
            basis = np.linalg.qr(weighted.T @ (weighted @ basis))[0]
            power = np.sum((weighted @ basis) ** 2, axis=0)
        # Shrinking each component by its share of noise keeps the imputation from fitting noise.
        shrink = np.maximum(1 - edge / np.maximum(power, edge), 0)
        model = mean + ((filled - mean) @ basis * shrink) @ basis.T
        update = model[missing] - filled[missing]
        filled[missing] += update
        change = np.abs(update).max()
        if change < _IMPUTATION_TOLERANCE:
            break
        if progress.due():
            log.info("Imputation: step %d, change %.2g sigma", step, change)
        if step % 10 in (5, 9):
            # Bright lines in few spaxels converge slowly, as a geometric series: sum its rest.
            ratio = float(update @ previous / max(previous @ previous, 1e-300))
            filled[missing] += update * np.clip(ratio / max(1 - ratio, 0.05), 0, 20)
        previous = update
    else:
        warn(
            log,
            "Imputation of missing voxels still changes by %.2g sigma after %d steps",
            change,
            step + 1,
        )
    return filled


def noise_edge(values, samples, channels, *, skip=12):
    """Upper edge of the noise part of a scatter spectrum.

    White noise of any level has eigenvalues with the density of Marchenko & Pastur (1967,
    Mat. Sbornik 72, 507), whose median gives the level and whose upper edge separates the signal.
    Correlated noise has a wider spectrum, whose edge is found where the eigenvalues below the
    first `skip` extrapolate to: they approach it as the 2/3 power of their rank.

    Parameters
    ----------
    values : ndarray (n,)
        Eigenvalues of the scatter matrix, largest first.
    samples, channels : int
        Degrees of freedom along the two axes.
    skip : int
        Leading eigenvalues that may be signal.

    Returns
    -------
    float
        Largest eigenvalue that noise explains.
    """
    large, small = max(samples, channels), min(samples, channels)
    values = np.sort(values)[::-1][:small] / large
    aspect = small / large
    if len(values) < max(8, skip // 2):  # too few to see the bulk: trust the errors
        return _EDGE_MARGIN * (1 + np.sqrt(aspect)) ** 2 * large
    variance = np.median(values) / _median_eigenvalue(round(aspect, 4))
    edge = _EDGE_MARGIN * variance * (1 + np.sqrt(aspect)) ** 2
    count = min(3 * skip, len(values) // 3)
    if len(values) > 2 * skip and count >= 6:
        # The rank that the first guess leaves decides where the noise spectrum begins.
        index = np.arange(skip, skip + count)
        first = min(int(np.sum(values > edge)), skip)
        for _ in range(3):
            slope, top = np.polyfit((index - first + 0.5) ** (2 / 3), values[index], 1)
            wide = max(edge, _EDGE_MARGIN**2 * top) if slope < 0 else edge
            first = min(int(np.sum(values > wide)), skip)
        edge = wide
    return edge * large


@lru_cache(maxsize=64)
def _median_eigenvalue(aspect):
    """Median of the Marchenko-Pastur density for unit variance."""
    lo, hi = (1 - np.sqrt(aspect)) ** 2, (1 + np.sqrt(aspect)) ** 2
    angle = (np.arange(4000) + 0.5) / 4000 * np.pi
    x = (lo + hi) / 2 - (hi - lo) / 2 * np.cos(angle)
    mass = np.cumsum(np.sin(angle) ** 2 / np.maximum(x, 1e-12))
    return float(np.interp(0.5, mass / mass[-1], x))
