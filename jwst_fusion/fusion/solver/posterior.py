"""Posterior of a fused cube in compact form, and the error of any sum over its voxels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import scipy.fft as sf

__all__ = [
    "BLOCK",
    "UNKNOWN_PLACE",
    "CubePosterior",
    "SourcePosterior",
    "sum_variances",
]

#: Channels that share what the spectrum of a source lacks of its continuum: about the width of the
#: broad scales at which deviations from the components are looked at.
BLOCK = 16

#: Part of light at the resolution of the cube that counts as error because its place within a
#: spaxel is not known.
UNKNOWN_PLACE = 0.5

_SIMILAR = 1e-4  # of the largest singular value: masks behind PSFs that differ less are one
_FEW = 8  # sums of channels that are worked out one by one, instead of all from one matrix


@dataclass(frozen=True)
class SourcePosterior:
    """What the errors of sources with spectra of their own add.

    Attributes
    ----------
    positions : ndarray (J, 2)
        x and y, pixels of the cube.
    covariance : ndarray (J, k, k)
        Of the amplitudes of each source in the components.
    response : ndarray (k, k, 2 r + 1, 2 r + 1)
        Maps that a free amplitude changes, by the component of the amplitude (second axis).
    deviation : ndarray (J, L) or None
        1-sigma error of the part of each spectrum beyond the components, independent between
        channels, MJy/sr times pixel; None where there is no such part.
    broad : ndarray (J, L) or None
        1-sigma error of this part that the channels of a block of `BLOCK` share, in the same unit;
        None without it.
    shared : ndarray (J, L) or None
        1-sigma error that all channels of a source share, as that of its PSF, in the same unit;
        None with `deviation`.
    """

    positions: np.ndarray
    covariance: np.ndarray
    response: np.ndarray
    deviation: np.ndarray | None = field(default=None)
    shared: np.ndarray | None = field(default=None)
    broad: np.ndarray | None = field(default=None)


@dataclass(frozen=True)
class CubePosterior:
    r"""Gaussian posterior of the cube :math:`m_l + \sum_{ra} w_{lr} v_{la} (h_r * z_a)`.

    Attributes
    ----------
    covariance : ndarray (node, k, k, 2 R + 1, 2 R + 1)
        Covariance of maps a and b at pixels that are (dy, dx) apart, for each amount of data.
    share : ndarray (node, Y, X)
        Share of each amount at every pixel of the cube; they sum to one where one amount is all
        that counts, and to less between, as variances are interpolated logarithmically.
    basis : ndarray (L, k)
        Spectra of the components, MJy/sr; zero in channels without data.
    psf_weights : ndarray (L, R)
        Weights of the PSFs in each channel.
    psf : ndarray (R, m, m)
        PSFs of the cube; one by one pixel of one where it is deconvolved.
    maps : ndarray (k, Y, X)
        Component maps behind the PSF at a middle wavelength.
    noise : ndarray (L,) or None
        Noise of a voxel from which mean and basis were found, MJy/sr; None if `spectra` says what
        their errors are.
    inverse : ndarray (k, k) or None
        Inverse scatter of the maps: covariance of the noise of the basis in units of `noise`.
    samples : float
        Spectra from which the mean was found: sum of their weights.
    residual : ndarray (L, h, w) or None
        1-sigma error of what was added to the cube because no component explains it, or of what
        was left out, per spaxel, MJy/sr.
    sources : SourcePosterior or None
        Sources with spectra of their own.
    response : ndarray (k, k, 2 R + 1, 2 R + 1) or None
        What is missed in the maps (second axis) of structure of unit variance in a component (first
        axis); it is not part of `covariance`. None where structure is the same everywhere.
    structure : ndarray (k, Y, X) or None
        Variance of this structure at every pixel.
    left_spectra, left_maps : ndarray (L, q) and (q, h, w), or None
        What the residuals of the cube hold of components that stand out of the noise and are not
        among these: spectra, MJy/sr, and their weight in each spaxel.
    spectra : ndarray (L, k + 1, k + 1) or None
        Covariance of mean and basis in each channel, independent between channels.
    common : ndarray (q, k, Y, X) or None
        Changes of the maps by what observations share, as a factor on their brightness: each times
        a number of its own of unit variance.
    common_mean : ndarray (q, L) or None
        Changes of the mean spectrum that go with these, MJy/sr.
    """

    covariance: np.ndarray
    share: np.ndarray
    basis: np.ndarray
    psf_weights: np.ndarray
    psf: np.ndarray
    maps: np.ndarray
    noise: np.ndarray | None = field(default=None)
    inverse: np.ndarray | None = field(default=None)
    samples: float = field(default=np.inf)
    residual: np.ndarray | None = field(default=None)
    sources: SourcePosterior | None = field(default=None)
    response: np.ndarray | None = field(default=None)
    structure: np.ndarray | None = field(default=None)
    spectra: np.ndarray | None = field(default=None)
    left_spectra: np.ndarray | None = field(default=None)
    left_maps: np.ndarray | None = field(default=None)
    common: np.ndarray | None = field(default=None)
    common_mean: np.ndarray | None = field(default=None)

    def cropped(self, rows, columns, factor):
        """Posterior of a part of the cube.

        Parameters
        ----------
        rows, columns : slice
            Pixels of the cube, whole spaxels.
        factor : int
            Pixels per spaxel.

        Returns
        -------
        CubePosterior
            Of this part.
        """
        changes = {name: getattr(self, name)[:, rows, columns] for name in ("share", "maps")}
        if self.structure is not None:
            changes["structure"] = self.structure[:, rows, columns]
        cells = tuple(slice(one.start // factor, one.stop // factor) for one in (rows, columns))
        for name in ("residual", "left_maps"):
            if getattr(self, name) is not None:
                changes[name] = getattr(self, name)[(slice(None), *cells)]
        if self.common is not None:
            changes["common"] = self.common[..., rows, columns]
        if self.sources is not None:
            at = self.sources.positions - (columns.start, rows.start)
            changes["sources"] = replace(self.sources, positions=at)
        return replace(self, **changes)


def sum_variances(posterior, mask, weights=None):
    r"""Variances of sums over a mask, and over channels.

    Parameters
    ----------
    posterior : CubePosterior
        Posterior of the cube.
    mask : ndarray (Y, X)
        Weight of each pixel.
    weights : ndarray (n, L), optional
        Weights of the channels in each sum; each channel is a sum of its own by default.

    Returns
    -------
    ndarray (n,) or (L,)
        Variances, in the square of the unit of the cube.

    Notes
    -----
    With the mask M behind the turned PSFs and the covariance C of the maps,

    .. math:: G_{ra,r'a'} = \sum_{xx'} (\tilde h_r * M)_x C_{aa'}(x - x') (\tilde h_{r'} * M)_{x'}

    holds for any weights of the channels. What is missed of structure with the variance s in
    component a, :math:`\sum_x s_a(x) (\sum_b q_{ab} \star M_b)_x^2` with the response q, noise of
    mean and basis, which all pixels of a channel share, sources and what no component explains are
    added; of components that were left out, what the cube shows of them in this sum.
    """
    table = posterior.psf_weights[:, :, None] * posterior.basis[:, None, :]
    table = table.reshape(len(table), -1)
    rows = table if weights is None else weights @ table
    own = np.ones(1) if weights is None else None
    square = None if weights is None else weights**2
    blurred = _blurred(mask, posterior.psf)
    variance = _direct(posterior, blurred, rows) if len(rows) <= _FEW else None
    if variance is None or not np.all(variance > 0):
        gram = _gram(posterior, blurred)
        variance = np.einsum("nr,rs,ns->n", rows, gram, rows, optimize=True)

    if posterior.structure is not None:
        variance = variance + _missed_variance(posterior, blurred, rows)

    if posterior.common is not None:
        variance = variance + _common_variance(posterior, mask, blurred, rows, weights)

    # Noise of mean and basis: independent channels, the same in all pixels.
    seen = np.tensordot(posterior.maps, mask, 2)
    independent = np.zeros(len(posterior.basis))
    if posterior.noise is not None:
        basis = (mask.sum() ** 2 / posterior.samples) + seen @ posterior.inverse @ seen
        independent += np.where(np.isfinite(posterior.noise), posterior.noise, 0.0) ** 2 * basis
    if posterior.spectra is not None:
        both = np.concatenate([[mask.sum()], seen])
        independent += np.einsum("a,lab,b->l", both, posterior.spectra, both)
    if posterior.left_spectra is not None:
        variance = variance + _left_variance(posterior, mask, weights)
    if posterior.residual is not None:
        independent = independent + _residual_variance(posterior.residual, mask)
    if posterior.sources is not None:
        more, broad, shared, points = _source_terms(posterior, mask, blurred, rows)
        variance += points
        independent = independent + more
        if weights is None:
            variance += (shared**2 + broad**2).sum(0)
        else:
            variance += ((weights @ shared.T) ** 2).sum(1)
            starts = np.arange(0, len(posterior.basis), BLOCK)
            for one in broad[broad.any(1)]:
                variance += (np.add.reduceat(weights * one, starts, axis=1) ** 2).sum(1)
    return variance + (independent * own if weights is None else square @ independent)


def _blurred(mask, psf):
    """Mask behind each turned PSF, (R, Y + 2 h, X + 2 h): with a border as wide as half the PSF."""
    half = [n // 2 for n in psf.shape[1:]]
    padded = np.pad(mask.astype(float), [(h, h) for h in half])
    if psf.shape[1:] == (1, 1):
        return padded[None] * psf
    size = [sf.next_fast_len(n + 2 * h) for n, h in zip(padded.shape, half, strict=True)]
    turned = sf.rfft2(psf[:, ::-1, ::-1], size)
    full = sf.irfft2(sf.rfft2(padded, size) * turned, size)
    rows, columns = (slice(h, h + n) for n, h in zip(padded.shape, half, strict=True))
    return full[:, rows, columns]


def _cropped(blurred):
    """Blurred masks where they are not zero, and the rows and columns of that window."""
    lit = np.any(np.abs(blurred) > 1e-7 * np.abs(blurred).max(), axis=0)
    parts = []
    for axis in (1, 0):
        found = np.flatnonzero(lit.any(axis))
        parts.append(slice(int(found[0]), int(found[-1]) + 1))
    return blurred[(slice(None), *parts)], parts


def _nodes(posterior, blurred):
    """For each amount of data: spectra (R, f) of the masks and of the covariances (pair, f).

    Covariances are those of components a <= b; those of b and a are their conjugates. The spectra
    of the masks come with weights that make sums over f those over all frequencies.
    """
    edge = (np.array(blurred.shape[1:]) - posterior.share.shape[1:]) // 2
    part, (rows, columns) = _cropped(blurred)
    part = part.astype(np.float32)
    reach = posterior.covariance.shape[-1] // 2
    size = [sf.next_fast_len(n + 2 * reach, real=True) for n in part.shape[1:]]
    first, second = np.triu_indices(posterior.basis.shape[1])
    weight = np.full((size[0], size[1] // 2 + 1), 2.0 / np.prod(size), np.float32)
    weight[:, 0] /= 2
    if size[1] % 2 == 0:
        weight[:, -1] /= 2
    side = 2 * reach + 1
    y, x = sf.fftfreq(size[0])[:, None], sf.rfftfreq(size[1])
    centred = np.exp(2j * np.pi * reach * (y + x)).astype(np.complex64)
    for share, covariance in zip(posterior.share, posterior.covariance, strict=True):
        # Beyond the cube, where only wings of PSFs reach, the amount of data is that of its edge.
        wide = np.pad(share, [(e, e) for e in edge], mode="edge")[rows, columns]
        if not wide.max() > 0:
            continue
        spectrum = sf.rfft2(part * np.sqrt(wide.astype(np.float32)), size)
        kernel = np.zeros((len(first), *size), np.float32)
        kernel[:, :side, :side] = covariance[first, second]
        kernel = sf.rfft2(kernel, overwrite_x=True) * centred
        flat = (one.reshape(len(one), -1) for one in (spectrum, kernel))
        yield *flat, weight.ravel()


def _gram(posterior, blurred):
    """Matrix (R * k, R * k) from which variances of sums over channels follow."""
    nodes, rank = len(blurred), posterior.basis.shape[1]
    first, second = np.triu_indices(rank)
    total = np.zeros((nodes, rank, nodes, rank))
    for spectrum, kernel, weight in _nodes(posterior, blurred):
        kernel = np.ascontiguousarray((kernel * weight).T)
        for r in range(nodes):
            found = ((spectrum[r].conj() * spectrum) @ kernel).real  # R, pair
            total[r, first, :, second] += found.T
            total[:, second, r, first] += np.where(first == second, 0.0, 1.0) * found
    matrix = total.reshape(nodes * rank, nodes * rank)
    # Covariances end at a finite distance: what that makes negative is set to zero.
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def _direct(posterior, blurred, rows):
    """Variances (n,) of few sums of channels (n, R * k)."""
    nodes, rank = len(blurred), posterior.basis.shape[1]
    first, second = np.triu_indices(rank)
    twice = np.where(first == second, 1.0, 2.0).astype(np.float32)
    table = rows.reshape(len(rows), nodes, rank).astype(np.float32)
    variance = np.zeros(len(rows))
    for spectrum, kernel, weight in _nodes(posterior, blurred):
        for n, one in enumerate(table):
            seen = one.T @ spectrum  # k, f
            product = np.einsum("p,pf,pf,pf->f", twice, seen[first].conj(), kernel, seen[second])
            variance[n] += float(product.real @ weight.astype(float))
    return variance


def _missed_variance(posterior, blurred, rows):
    """Variances (n,) of sums of channels (n, R * k) that structure leaves."""
    nodes, rank = len(blurred), posterior.basis.shape[1]
    edge = (np.array(blurred.shape[1:]) - posterior.structure.shape[1:]) // 2
    amount = np.pad(posterior.structure, [(0, 0), *((e, e) for e in edge)], mode="edge")
    reach = posterior.response.shape[-1] // 2
    part, (top, left) = _cropped(blurred)
    # Masks behind the PSFs of neighbouring wavelengths are nearly the same.
    left_vectors, size, planes = np.linalg.svd(part.reshape(nodes, -1), full_matrices=False)
    kept = size > _SIMILAR * size[0]
    mixing = (left_vectors * size)[:, kept]
    planes = planes[kept].reshape(-1, *part.shape[1:]).astype(np.float32)
    shape = [n + 2 * reach for n in part.shape[1:]]
    padded = [sf.next_fast_len(n, real=True) for n in shape]
    spectra = sf.rfft2(planes, padded)
    # (n, planes, k)
    table = np.einsum("nrk,rp->npk", rows.reshape(len(rows), nodes, rank), mixing)
    amount = np.sqrt(amount, dtype=np.float32)
    few = len(rows) <= _FEW
    if few:
        # (n, k, f): maps that a sum looks at
        spectra = np.einsum("npk,pyx->nkyx", table.astype(np.float32), spectra)
    window = []
    for axis, one in enumerate((top, left)):
        at = np.arange(one.start - reach, one.stop + reach)
        window.append(np.clip(at, 0, amount.shape[1 + axis] - 1))
    amount = amount[:, window[0][:, None], window[1]]
    variance = np.zeros(len(rows))
    for a, kernel in enumerate(posterior.response):
        # correlation with the response, whose middle is its pixel (reach, reach)
        turned = sf.rfft2(kernel[:, ::-1, ::-1], padded)
        if few:
            seen = sf.irfft2(np.einsum("nkyx,kyx->nyx", spectra, turned), padded)
            seen = seen[:, : shape[0], : shape[1]]
            variance += np.sum((seen * amount[a]) ** 2, axis=(1, 2))
        else:
            seen = sf.irfft2(spectra[:, None] * turned, padded)[..., : shape[0], : shape[1]]
            flat = (seen * amount[a]).reshape(-1, shape[0] * shape[1])
            matrix = (flat @ flat.T).astype(float)
            both = table.reshape(len(rows), -1)
            variance += np.einsum("nr,rs,ns->n", both, matrix, both, optimize=True)
    return variance


def _left_variance(posterior, mask, weights):
    """Variances of the sums over components that were left out.

    What the cube shows of them in the sum, and a part of it in each spaxel, since their place
    within is not known.
    """
    cells = _cells(mask, posterior.left_maps.shape[1:])
    table = posterior.left_spectra
    table = table if weights is None else weights @ table
    light = (posterior.left_maps * cells).reshape(len(posterior.left_maps), -1)
    place = UNKNOWN_PLACE**2 * (light @ light.T)
    return (table @ light.sum(1)) ** 2 + np.einsum("nq,qp,np->n", table, place, table)


def _cells(mask, shape):
    """Sum of a mask over each spaxel, (h, w)."""
    h, w = shape
    return mask.reshape(h, mask.shape[0] // h, w, mask.shape[1] // w).sum((1, 3))


def _common_variance(posterior, mask, blurred, rows, weights):
    """Variances (n,) of sums of channels (n, R * k) by what observations share."""
    nodes, (rank, *shape) = len(blurred), posterior.common.shape[1:]
    edge = (np.array(blurred.shape[1:]) - shape) // 2
    inner = blurred[:, edge[0] : edge[0] + shape[0], edge[1] : edge[1] + shape[1]]
    changes = posterior.common.reshape(-1, shape[0] * shape[1])
    seen = inner.reshape(nodes, -1).astype(changes.dtype) @ changes.T
    seen = seen.reshape(nodes, -1, rank).astype(float)
    moved = np.einsum("nra,rqa->nq", rows.reshape(len(rows), nodes, rank), seen)
    mean = posterior.common_mean if weights is None else posterior.common_mean @ weights.T
    return np.sum((moved + mask.sum() * mean.T) ** 2, axis=1)


def _residual_variance(residual, mask):
    """Variances (L,) of the sums over what no component explains."""
    cells = _cells(mask, residual.shape[1:]) ** 2
    return np.einsum("lyx,yx->l", np.nan_to_num(residual) ** 2, cells)


def _source_terms(posterior, mask, blurred, rows):
    """Independent variances (L,), errors of blocks and of all (J, L), variances of amplitudes."""
    sources = posterior.sources
    nodes, rank = len(blurred), posterior.basis.shape[1]
    edge = (np.array(blurred.shape[1:]) - mask.shape) // 2
    reach = sources.response.shape[-1] // 2
    channels = len(posterior.basis)
    independent = np.zeros(channels)
    broad, shared = np.zeros((2, len(sources.positions), channels))
    points = np.zeros(len(rows))
    table = rows.reshape(-1, nodes, rank)
    for j, (x, y) in enumerate(sources.positions):
        row, column = round(y) + edge[0], round(x) + edge[1]
        window = _window(blurred, row, column, reach)
        if not np.abs(window).max() > 1e-6:
            continue
        if sources.deviation is not None:
            flux = posterior.psf_weights @ _at(blurred, y + edge[0], x + edge[1])
            independent += (sources.deviation[j] * flux) ** 2
            shared[j] = sources.shared[j] * flux
            if sources.broad is not None:
                broad[j] = sources.broad[j] * flux
        # (node, k of the maps, k of the amplitude)
        seen = np.einsum("ryx,abyx->rab", window, sources.response)
        change = np.einsum("nra,rab->nb", table, seen)
        points += np.einsum("na,ab,nb->n", change, sources.covariance[j], change)
    return independent, broad, shared, points


def _window(maps, row, column, reach):
    """Part of maps around a pixel, zero beyond them."""
    out = np.zeros((len(maps), 2 * reach + 1, 2 * reach + 1))
    rows, columns = maps.shape[1:]
    top, left = row - reach, column - reach
    y = slice(max(top, 0), min(row + reach + 1, rows))
    x = slice(max(left, 0), min(column + reach + 1, columns))
    if y.start < y.stop and x.start < x.stop:
        out[:, y.start - top : y.stop - top, x.start - left : x.stop - left] = maps[:, y, x]
    return out


def _at(maps, y, x):
    """Values of maps (n, Y, X) between pixels, linear; zero beyond them."""
    row, column = int(np.floor(y)), int(np.floor(x))
    window = _window(maps, row, column, 1)[:, 1:, 1:]
    v, u = y - row, x - column
    return window.reshape(len(maps), -1) @ np.outer([1 - v, v], [1 - u, u]).ravel()
