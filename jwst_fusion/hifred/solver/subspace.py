"""The spectral subspace of a fusion: whitened principal components of the cube of fine spectra."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.sparse.linalg import LinearOperator, lsqr

from jwst_fusion.hifred.response.operators import apply
from jwst_fusion.hifred.response.spectral import negligible

__all__ = ["SpectralSubspace", "across", "find_subspace"]

log = logging.getLogger(__name__)

# Draws of noise alone that tell where components of smoothed data stand out, and by how many of
# their standard deviations: noise is taken for a component once in a hundred fields.
_RESAMPLED, _SURE, _SEED = 8, 3.0, 5


@dataclass(frozen=True)
class SpectralSubspace:
    """
    Spectra that span the source's spectra.

    Attributes
    ----------
    directions : ndarray (L, r)
        Orthonormal spectra of the whitened source.
    scale : ndarray (L,)
        Scale of each energy; the basis is ``scale * directions``.
    singular : ndarray (r,)
        Singular values of the whitened data in units of the largest that noise alone gives.
    known : int
        Number of spectra after the first that follow from the mean spectrum and were not found as
        principal components.
    width : float
        Standard deviation of the Gaussian with which the mean spectrum was smoothed, channels.
    """

    directions: np.ndarray
    scale: np.ndarray
    singular: np.ndarray
    known: int = 0
    width: float = 0.0

    @property
    def basis(self):
        """Spectra (L, r)."""
        return self.scale[:, None] * self.directions

    def truncated(self, rank):
        """
        Return the subspace of the first components.

        Parameters
        ----------
        rank : int
            Number of components to keep; all if there are fewer.

        Returns
        -------
        SpectralSubspace
            The smaller subspace.
        """
        return SpectralSubspace(self.directions[:, :rank], self.scale, self.singular[:rank])


def across(spectra, known):
    """
    Carry spectra across energies at which they are not known.

    Parameters
    ----------
    spectra : ndarray (L,) or (L, k)
        Spectra.
    known : ndarray of bool (L,)
        Where they are known.

    Returns
    -------
    ndarray of the same shape
        The spectra, with straight lines between the nearest energies that are known on both sides,
        and the value of the nearest beyond the last.
    """
    held, lost = np.flatnonzero(known), np.flatnonzero(~known)
    if not lost.size or not held.size:
        return spectra
    place = np.interp(lost, held, np.arange(held.size))
    low = place.astype(int)
    part = (place - low).reshape(-1, *(1,) * (spectra.ndim - 1))
    spectra = spectra.copy()
    spectra[lost] = (1 - part) * spectra[held[low]] + part * spectra[
        held[np.ceil(place).astype(int)]
    ]
    return spectra


def _filled(data, used, rows, columns):
    """Data with the product of row and column means where none are used."""
    if used.all():
        return data
    model = rows[:, None] * columns[None, :]
    total = (model * used).sum()
    return np.where(used > 0, data, model * (data * used).sum() / max(total, 1e-300))


def _bridged(used, *arrays):
    """Arrays and what is used of them, with channels that hold no data taken from neighbours."""
    held = np.flatnonzero(used.any(axis=1))
    lost = np.flatnonzero(~used.any(axis=1))
    if not lost.size or not held.size:
        return used, *arrays
    place = np.interp(lost, held, np.arange(held.size))
    low = place.astype(int)
    below, above, part = held[low], held[np.ceil(place).astype(int)], (place - low)[:, None]
    used = used.copy()
    used[lost] = used[below] * used[above]
    out = []
    for array in arrays:
        array = array.copy()
        array[lost] = ((1 - part) * array[below] + part * array[above]) * used[lost]
        out.append(array)
    return used, *out


def find_subspace(likelihood, response, spectrum, most, *, known=None, width=0.0):
    r"""
    Principal components of a cube, whitened for its noise.

    Parameters
    ----------
    likelihood : Poisson or Gaussian
        Data of the cube with the fine spectra.
    response : Response
        Its response.
    spectrum : ndarray (L,)
        Mean spectrum of the source, positive.
    most : int
        Largest number of components.
    known : ndarray (L, k), optional
        Spectra of the source that follow on the mean one, whatever the data say of them.
    width : float
        Standard deviation of the Gaussian, channels, with which the mean spectrum was smoothed. So
        are the data, by one channel at least, to find weak components after those that stand out
        without it; used with `known` only.

    Returns
    -------
    SpectralSubspace
        Components in order of their significance; with `known`, after the mean and these, only
        such as stand out against noise.

    Notes
    -----
    Counts have the variance of their expectation. Divided by the square root of (sum over pixels
    times sum over energies) they have one variance throughout, 1 / N, and principal components
    separate signal from noise at the edge :math:`\sqrt{l} + \sqrt{q}` of the singular values of
    noise (Marchenko & Pastur 1967). The first component is the mean spectrum itself, even if noise
    outweighs it, as in few counts. Lascar et al. (2025) take principal components of the counts as
    they are, in which bright lines outweigh everything.
    """
    data = likelihood.data
    used = np.ones_like(data) if likelihood.weights is None else (likelihood.weights > 0) * 1.0
    if likelihood.name == "poisson":
        signal = data - likelihood.background * used
        used, signal, data = _bridged(used, signal, data)
        rows = np.maximum(_mean(data, used, 1), 0.5 / used.sum(axis=1).clip(1))
        columns = np.maximum(_mean(data, used, 0), 0.5 / used.sum(axis=0).clip(1))
        left, right = np.sqrt(rows), np.sqrt(columns)
        # variance of an element: d / (r c) with d = r c / mean
        noise = 1.0 / np.sqrt(_mean(data, used, None))
        filled = _filled(signal, used, rows, columns)
    else:
        signal = data
        variance = np.divide(1.0, likelihood.weights, out=np.zeros_like(data), where=used > 0)
        used, signal, variance, data = _bridged(used, signal, variance, data)
        rows, columns = _mean(variance, used, 1), _mean(variance, used, 0)
        rows[rows <= 0], columns[columns <= 0] = rows.max(), columns.max()
        left, right = np.sqrt(rows), np.sqrt(columns / columns.mean())
        noise = 1.0
        filled = _filled(signal, used, np.abs(_mean(data, used, 1)), np.abs(_mean(data, used, 0)))
    white = filled / left[:, None] / right[None, :]
    energies = white.shape[0]
    first = left[:, None] if likelihood.name == "poisson" else None
    edge = noise * (np.sqrt(energies) + np.sqrt(white.shape[1]))
    scale = np.sqrt(spectrum)
    if known is not None:
        seen = _seen(response, np.column_stack([spectrum, known]), len(white)) / left[:, None]
        empty = _resampled(likelihood, rows, columns, left, right, used)
        found, significance = _beyond(white, seen, (edge, noise, empty), width, most)
        rest = _unfolded(
            response, left[:, None] * found, left, scale, significance[seen.shape[1] :]
        )
        taken = np.column_stack([spectrum, known]) / scale[:, None]
        taken = np.column_stack([taken / np.linalg.norm(taken, axis=0), rest])
        directions, upper = np.linalg.qr(taken)
        directions *= np.sign(np.diag(upper))
        return SpectralSubspace(directions, scale, significance, known.shape[1], width)
    left_vectors, singular = _leading(white, most, first)
    significance = singular / edge
    if likelihood.name == "gaussian":
        scale = left if len(left) == len(spectrum) else np.full(len(spectrum), left.mean())
    directions = _unfolded(response, left[:, None] * left_vectors, left, scale, significance)
    return SpectralSubspace(directions, scale, significance)


def _mean(data, used, axis):
    return (data * used).sum(axis=axis) / np.maximum(used.sum(axis=axis), 1)


def _leading(white, most, first=None):
    """Left singular vectors and values of a matrix, by the smaller of its Gram matrices."""
    if first is not None:
        # one that is known, and those of what it leaves
        first = first / np.linalg.norm(first)
        along = first.T @ white
        vectors, singular = _leading(white - first @ along, most - 1)
        size = np.linalg.norm(along)
        kept = singular > 1e-6 * size
        left = np.column_stack([first, vectors[:, kept]])
        return left, np.append(size, singular[kept])
    if white.shape[0] > white.shape[1]:
        values, vectors = np.linalg.eigh(white.T @ white)
        order = np.argsort(values)[::-1][:most]
        singular = np.sqrt(np.maximum(values[order], 0))
        left = white @ vectors[:, order] / np.maximum(singular, 1e-12 * singular[0])
    else:
        values, left = np.linalg.eigh(white @ white.T)
        order = np.argsort(values)[::-1][:most]
        singular, left = np.sqrt(np.maximum(values[order], 0)), left[:, order]
    kept = singular > 1e-6 * singular[0]
    return left[:, kept], singular[kept]


def _seen(response, spectra, rows):
    """Spectra (L, k) of the source as the mean over the terms of a response shows them."""
    total, shown = np.zeros((rows, spectra.shape[1])), 0
    for term in response.terms:
        total += apply(term.spectral, spectra[term.energies])
        shown += 1
    return total / shown


def _resampled(likelihood, rows, columns, left, right, used):
    """Return a function of a random generator that draws whitened data of one spectrum."""
    if likelihood.name == "gaussian":
        return lambda rng: rng.standard_normal(used.shape)
    model = rows[:, None] * columns[None, :]
    total = (rows[:, None] * used).sum()
    model *= total / max((model * used).sum(), 1e-300) * (used > 0)
    return lambda rng: (rng.poisson(model) - model) / left[:, None] / right[None, :]


def _beyond(white, seen, noises, width, most):
    """
    Components of whitened data beside known ones, and the significance of all.

    Those that stand out against white noise come first, then those that do after smoothing.
    """
    edge, noise, empty = noises
    inside = np.linalg.qr(seen)[0]
    along = inside.T @ white
    # noise of one row; for the largest of many there is the edge
    significance = list(np.linalg.norm(along, axis=1) / (noise * np.sqrt(white.shape[1])))
    rest = white - inside @ along
    found = np.zeros((len(white), 0))
    room = most - inside.shape[1]
    vectors, singular = _leading(rest, room)
    strong = singular > edge
    found = vectors[:, strong]
    significance += list(singular[strong] / edge)
    room -= found.shape[1]
    if room < 1:
        return found, np.array(significance)
    taken = np.column_stack([inside, found])
    rest = rest - found @ (found.T @ rest)

    def smoothed(matrix):
        smooth = gaussian_filter1d(matrix, max(width, 1.0), axis=0, mode="nearest")
        return smooth - taken @ (taken.T @ smooth)

    rng = np.random.default_rng(_SEED)
    tops = [_leading(smoothed(empty(rng)), 1)[1][:1].sum() for _ in range(_RESAMPLED)]
    limit = np.mean(tops) + _SURE * np.std(tops, ddof=1)
    vectors, singular = _leading(smoothed(rest), room)
    weak = singular > limit
    significance += list(singular[weak] / limit)
    return np.column_stack([found, vectors[:, weak]]), np.array(significance)


def _unfolded(response, spectra, noise, scale, significance):
    """Whitened spectra of the source, orthonormal, that the instrument sees as given ones."""
    terms = response.terms
    if all(t.spectral is None or t.spectral.ndim == 1 for t in terms):
        seen = sum(_diagonal(t, len(scale)) for t in terms) / len(terms)
        blind = negligible(seen)
        rates = across(spectra / np.where(blind, np.inf, seen)[:, None], ~blind)
        found = rates / scale[:, None]
    else:
        # the mean over the terms' energies: every energy is seen by some of them
        def forward(v):
            return (
                sum(apply(t.spectral, (scale * v)[t.energies][:, None])[:, 0] for t in terms)
                / noise
            )

        def adjoint(u):
            total = np.zeros(len(scale))
            for t in terms:
                total[t.energies] += apply(t.spectral_t, (u / noise)[:, None])[:, 0]
            return scale * total

        shape = (len(spectra), len(scale))
        size = np.sqrt(np.mean([np.sum(adjoint(row) ** 2) for row in _probes(shape[0])]))
        matrix = LinearOperator(shape, matvec=forward, rmatvec=adjoint, dtype=float)
        columns = [
            lsqr(matrix, one / noise, damp=size / max(s, 1.0), iter_lim=200)[0]
            for one, s in zip(spectra.T, significance, strict=True)
        ]
        found = np.array(columns).reshape(len(columns), len(scale)).T
    if not found.size:
        return np.zeros((len(scale), 0))
    found, upper = np.linalg.qr(found)
    return found * np.sign(np.diag(upper))


def _probes(size):
    rng = np.random.default_rng(0)
    return rng.choice([-1.0, 1.0], size=(4, size)) / np.sqrt(size)


def _diagonal(term, size):
    out = np.zeros(size)
    values = 1.0 if term.spectral is None else term.spectral
    out[term.energies] = values
    return out
