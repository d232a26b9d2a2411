"""What the spectral subspace adds to the errors: noise in its spectra, and signal outside it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.optimize import nnls

from jwst_fusion.hifred.response.operators import apply

__all__ = ["SHARP", "SubspaceError", "blur_of", "pulls_of", "subspace_error"]

#: Standard deviation of the finest structure that the source has, in pixels.
SHARP = 1.0
_WIDTHS = 24  # widths that are tried, in equal ratios
_SURE = 4.0  # significance from which on a correlation of residuals is taken for real
_SEED = 11  # of the images by which pulls are found

# Lag at which the autocorrelation of the derivative of a Gaussian falls to a half, in its standard
# deviations: (1 - t**2 / 2) exp(-t**2 / 4) = 1 / 2.
_HALF = 0.885
_FAINTEST = 1e-3  # of the mean variance: the least that a row or a column is given


@dataclass(frozen=True)
class SubspaceError:
    r"""
    Errors of a low-rank source :math:`Z = V W` that come from its spectra V (L, r).

    Attributes
    ----------
    row : ndarray (L,)
        Noise of each energy in the data that the spectra were found in, unit of the source.
    inverse : ndarray (r, r)
        Inverse of the scatter of the maps in these data: the noise of V at an energy l has the
        covariance ``row[l]**2 * inverse``. Zero for spectra that follow from the mean spectrum, and
        for that itself if it was smoothed.
    missing : ndarray (2,)
        Rms of the signal outside the subspace that the data show, in units of the source and of
        its derivative with respect to the channel.
    contrast : float
        Rms of that signal in the pixels of the source over that in the data, which see it blurred.
    lengths : ndarray (2,)
        Standard deviations of the Gaussians by which what the data show of it is smooth, in pixels
        and in channels.
    smooth : ndarray (2,)
        For a mean spectrum that was smoothed: the inverse of the scatter of its map, and the
        standard deviation of the Gaussian, channels; else zeros.
    pulls : ndarray (2, L, r) or None
        By how much the coefficients follow signal outside the subspace, which both instruments
        see: of signal that is smooth as `lengths` tell, and of sharp signal; see `pulls_of`. None
        if it is not known.
    """

    row: np.ndarray
    inverse: np.ndarray
    missing: np.ndarray
    contrast: float
    lengths: np.ndarray
    smooth: np.ndarray = field(default_factory=lambda: np.zeros(2))
    pulls: np.ndarray | None = None

    def scaled(self, factor):
        """
        Return the errors of a source that is multiplied by a number.

        Parameters
        ----------
        factor : float
            The number, which multiplies maps and not spectra.

        Returns
        -------
        SubspaceError
            A new object.
        """
        smooth = self.smooth / np.array([factor**2, 1.0])
        return replace(self, row=self.row * factor, inverse=self.inverse / factor**2, smooth=smooth)

    def lacking(self, weights, basis):
        """
        Return weights of sums for signal outside the subspace alone, as it is fitted.

        Parameters
        ----------
        weights : ndarray (n, L)
            Weights of sums over energies.
        basis : ndarray (L, r)
            Spectra V.

        Returns
        -------
        tuple of ndarray (n, L)
            What such signal adds to the error of the sum, of smooth and of sharp signal: less than
            the weights say, since the coefficients follow what the data show of the sum.
        """
        if self.pulls is not None:
            return tuple(weights - weights @ basis @ one.T for one in self.pulls)
        directions, scaled = self.directions(basis), weights * self.row
        return ((scaled - scaled @ directions @ directions.T) / self.row,) * 2

    def directions(self, basis):
        """
        Return orthonormal spectra of the subspace in units of the noise.

        Parameters
        ----------
        basis : ndarray (L, r)
            Spectra V.

        Returns
        -------
        ndarray (L, r)
            Their span divided by `row`.
        """
        return np.linalg.qr(basis / self.row[:, None])[0]

    def variance(self, basis, maps, cube):
        """
        Variance of each voxel.

        Parameters
        ----------
        basis : ndarray (L, r)
            Spectra.
        maps : ndarray (r, M, N)
            Their maps.
        cube : ndarray (L, M, N)
            The source.

        Returns
        -------
        ndarray (L, M, N) of float32
            Variances: noise of the spectra, and signal outside the subspace.
        """
        free = 1.0 - (self.directions(basis) ** 2).sum(axis=1)
        across = np.einsum("kyx,kj,jyx->yx", maps, self.inverse, maps, optimize=True)
        noise = (self.row**2 * free)[:, None, None] * across
        if self.smooth[0] > 0:
            # white noise that is smoothed, and shared by all pixels
            row = gaussian_filter1d(self.row**2, self.smooth[1], mode="nearest")
            row *= free / (2.0 * np.sqrt(np.pi) * self.smooth[1])
            noise = noise + row[:, None, None] * self.smooth[0] * maps[0] ** 2
        outside = self.contrast**2 * sum(one**2 for one in self.fields(cube))
        return (noise + outside).astype(np.float32)

    def fields(self, cube):
        """
        Rms of the signal outside the subspace that the data show, with the sign of the source.

        Parameters
        ----------
        cube : ndarray (L, M, N)
            The source.

        Returns
        -------
        list of ndarray (L, M, N)
            The part like the source, and that like its derivative.
        """
        slope = np.gradient(cube, axis=0) if len(cube) > 1 else np.zeros_like(cube)
        return [self.missing[0] * cube, self.missing[1] * slope]


def blur_of(response):
    """
    Find how much of the source's image one datum sees.

    Parameters
    ----------
    response : Response
        Response of the instrument.

    Returns
    -------
    float
        Standard deviation in pixels of the source, of the brightest datum; 0.5 for pixels that are
        those of the source.
    """
    return _blur(response.terms[0].spatial, response.shape[1:])


def pulls_of(objective, basis, maps, length):
    r"""
    Tell how the coefficients follow signal that the subspace lacks.

    Parameters
    ----------
    objective : Objective
        Objective with its curvature frozen at the solution.
    basis : ndarray (L, r)
        Spectra V.
    maps : ndarray (r, M, N)
        Solution.
    length : float
        Standard deviation of the Gaussian by which the signal is smooth, pixels.

    Returns
    -------
    ndarray (2, L, r)
        The matrix M of smooth and of sharp signal.

    Notes
    -----
    To first order, signal o(l) times an image f moves the coefficients of f by
    :math:`(V^T F V + R)^{-1} V^T F o`, where F is the information on spectra times f of both
    instruments and R the curvature of the penalty for f. The source's error is o less V times
    these, so that a sum with weights w has the error :math:`(w - M V^T w)^T o` with
    :math:`M = F V (V^T F V + R)^{-1}`. The images are the source's brightness times smoothed noise.
    """
    shape = maps.shape[1:]
    light = np.maximum(np.tensordot(basis.mean(axis=0), maps, axes=1), 0.0)
    noise = np.random.default_rng(_SEED).standard_normal(shape)
    found = []
    for width in (length, SHARP):
        image = light * gaussian_filter(noise, width, mode="nearest")
        image = image / np.sqrt(np.sum(image**2))
        known = np.zeros_like(basis)
        for instrument in objective.instruments:
            seen = instrument.project(image.reshape(1, -1))
            spectra = np.split(instrument.spectra, len(instrument.terms), axis=1)
            for term, one in zip(instrument.terms, seen, strict=True):
                rows = sum(
                    (instrument.curvature @ (one * other))[:, None] * shown
                    for other, shown in zip(seen, spectra, strict=True)
                )
                known[term.energies] += apply(term.spectral_t, rows)
        kept = objective.penalty.hessian(np.broadcast_to(image, maps.shape))
        prior = np.maximum((kept * image).sum(axis=(1, 2)), 0.0)
        inner = basis.T @ known + np.diag(prior)
        found.append(known @ np.linalg.pinv(inner, hermitian=True))
    return np.array(found)


def subspace_error(instruments, basis, maps, *, known=0, width=0.0, lost=None):
    r"""
    Estimate the errors that come from the spectra of a low-rank source.

    Parameters
    ----------
    instruments : list of InstrumentLikelihood
        Likelihoods of the data that the spectra were found in, with the same channels.
    basis : ndarray (L, r)
        Spectra V, so that the source is ``basis @ maps``.
    maps : ndarray (r, M, N)
        Solution W.
    known : int
        Number of spectra after the first that follow from the mean spectrum.
    width : float
        Standard deviation of the Gaussian with which that was smoothed, channels.
    lost : ndarray (r, M, N), optional
        Estimate of what the penalty takes away from the maps.

    Returns
    -------
    SubspaceError
        The errors.

    Notes
    -----
    To first order, noise :math:`\varepsilon` in a matrix changes its best approximation of low rank
    by :math:`P_V \varepsilon + (1 - P_V) \varepsilon P_W` (Stewart & Sun 1990, "Matrix Perturbation
    Theory", V). The first term is the noise of the maps, which the posterior covariance has; the
    second that of the spectra: each energy is on its own, and all pixels share its error in
    proportion to the maps. :math:`P_W` is that of the maps in the data as they are, noise
    included, so that components below the noise do not count.

    Signal outside the subspace shows by residuals above noise, less what the penalty is known to
    take away, whose error is stated elsewhere. Their square is fitted by those of
    the model and of its derivative, since lines that move or change are what few components
    lose, and brought from the data's pixels to those of the source by the contrast that the known
    components have in either. It is correlated as far as the data do not tell pixels apart, and
    along the spectrum as the residuals are, over the width of the lines at most.

    Noise in the spectra that several observations give is that of each with the scatters added,
    each weighted by how little noise it has; excess residuals are fitted to all of them at once.
    """
    rank = len(maps)
    flat = maps.reshape(rank, -1)
    found = np.append(0, np.arange(known + 1, rank))
    more = None if lost is None else lost.reshape(rank, -1)
    seen = [_seen(one, flat, len(basis), more) for one in instruments]
    first = seen[0]
    shares = [np.mean(first.row**2 / one.row**2) for one in seen]
    scatter = sum(share * one.scatter for share, one in zip(shares, seen, strict=True))
    inverse = np.zeros((rank, rank))
    inverse[np.ix_(found, found)] = np.linalg.pinv(scatter[np.ix_(found, found)], hermitian=True)
    parts = [_excess(one, inverse * share) for share, one in zip(shares, seen, strict=True)]
    columns, excess = (np.concatenate(one) for one in zip(*parts, strict=True))
    missing = np.sqrt(nnls(columns, excess)[0])
    weights = np.array(
        [share * np.trace(one.scatter) for share, one in zip(shares, seen, strict=True)]
    )
    weights = weights / weights.sum()
    light = flat.mean(axis=1)
    smooth = np.zeros(2)
    if width:
        smooth = np.array([1.0 / scatter[0, 0], width])
        inverse[0], inverse[:, 0] = 0.0, 0.0
    lines = _line_width(basis @ light, first.row * np.sqrt(light @ inverse @ light))
    lines = sum(w * _correlation(one, lines) for w, one in zip(weights, seen, strict=True))
    blur = sum(
        w * _blur(one.terms[0].spatial, maps.shape[1:])
        for w, one in zip(weights, instruments, strict=True)
    )
    contrast = sum(
        w * _contrast(flat[found]) / _contrast(one.projected[found])
        for w, one in zip(weights, seen, strict=True)
    )
    return SubspaceError(
        row=first.row,
        inverse=inverse,
        missing=missing,
        contrast=max(contrast, 1.0),
        lengths=np.array([blur, lines]),
        smooth=smooth,
    )


@dataclass(frozen=True)
class _Seen:
    """What one observation shows of the source: see `subspace_error`."""

    signal: np.ndarray
    outside: np.ndarray
    variance: np.ndarray
    used: np.ndarray
    white: np.ndarray
    row_of_data: np.ndarray
    column: np.ndarray
    projected: np.ndarray
    scatter: np.ndarray
    row: np.ndarray


def _seen(instrument, flat, size, lost):
    spectra = sum(np.split(instrument.spectra, len(instrument.terms), axis=1))
    signal = instrument.signal(flat)
    likelihood = instrument.likelihood
    precision = likelihood.expected_curvature(signal)
    used = precision > 0
    variance = np.divide(1.0, precision, out=np.zeros_like(precision), where=used)
    row, column = _mean(variance, used, 1), _mean(variance, used, 0)
    column = column / column.mean()
    background = getattr(likelihood, "background", 0.0)
    data = np.where(used, likelihood.data - background, signal)
    white = spectra / np.sqrt(row)[:, None]
    seen = np.linalg.lstsq(white, data / np.sqrt(row)[:, None], rcond=None)[0]
    scatter = (seen / column) @ seen.T
    gain, noise = _at_energies(instrument, row, size)
    projected = sum(np.split(instrument.project(flat), len(instrument.terms)))
    projected = projected / len(instrument.terms)
    outside = data - signal
    if lost is not None:
        outside = outside - instrument.signal(lost)
    return _Seen(
        signal=signal,
        outside=outside,
        variance=variance,
        used=used,
        white=white,
        row_of_data=row,
        column=column,
        projected=projected,
        scatter=scatter,
        row=np.sqrt(noise / gain**2),
    )


def _mean(values, used, axis):
    mean = (values * used).sum(axis=axis) / np.maximum(used.sum(axis=axis), 1)
    return np.maximum(mean, _FAINTEST * mean.mean())


def _at_energies(instrument, row, size):
    """Response of the data to each energy, and the variance of the data that show it."""
    gain, noise, shown = np.zeros(size), np.zeros(size), np.zeros(size)
    for term in instrument.terms:
        if term.spectral is None or term.spectral.ndim == 1:
            one = np.ones(len(row)) if term.spectral is None else np.abs(term.spectral)
            of_row = one * row[term.energies]
        else:
            matrix = abs(term.spectral_t)
            one = np.asarray(matrix.sum(axis=1)).ravel()
            of_row = np.asarray(matrix @ row).ravel()
        gain[term.energies] += one
        noise[term.energies] += of_row
        shown[term.energies] += 1
    noise = np.divide(noise, gain, out=np.full(size, row.mean()), where=gain > 0)
    gain = gain / np.maximum(shown, 1)
    return np.maximum(gain, _FAINTEST * gain.mean()), noise


def _excess(one, inverse):
    """Squares of the model and of its derivative, and squared residuals beyond noise, weighted."""
    signal, variance, used = one.signal, one.variance, one.used
    projected = one.projected
    lever_row = (np.linalg.qr(one.white)[0] ** 2).sum(axis=1)
    lever_column = np.einsum("kq,kj,jq->q", projected, inverse, projected, optimize=True)
    lever_column = lever_column / one.column
    free = (1.0 - lever_row)[:, None] * np.maximum(1.0 - lever_column, 0.0)
    excess = one.outside**2 - variance * free
    slope = np.gradient(signal, axis=0) if len(signal) > 1 else np.zeros_like(signal)
    # the variance of a square of normal or of Poisson noise; where no light is expected, none
    weight = (used & (signal > 0)) / np.sqrt(2.0 * variance**2 + variance.mean() ** 2)
    columns = [(one**2 * weight).ravel() for one in (signal, slope)]
    return np.stack(columns, axis=1), (excess * weight).ravel()


def _correlation(one, most):
    """
    Standard deviation of the Gaussian by which residuals are smooth along the spectrum, channels.

    Noise is independent between channels; what fitting r spectra to it takes away is known. Where
    the residuals show no correlation of their own, it is that of the lines, `most`.
    """
    used = one.used
    inside = np.linalg.qr(one.white)[0]
    even = one.row_of_data[:, None] * one.column
    level = np.mean(even / np.maximum(one.variance, 1e-300), where=used)
    scale = used * np.sqrt(level / even)
    left, light = one.outside * scale, one.signal * scale
    number, span = used * 1.0, len(light)
    lags = np.arange(1, min(int(2 * most) + 2, span - 1))
    found, size = np.zeros(lags.size), np.zeros(lags.size)
    for k, lag in enumerate(lags):
        shared = np.einsum("lr,lr->l", inside[:-lag], inside[lag:])
        pairs = (number[:-lag] * number[lag:]).sum(axis=1)
        found[k] = (left[:-lag] * left[lag:]).sum() + shared @ pairs
        size[k] = np.sqrt(max(pairs.sum(), 1.0))
    power = np.array([(light[:-lag] * light[lag:]).sum() for lag in lags])
    best, widths = (0.0, most), np.geomspace(1.0, max(most, 1.0), _WIDTHS)
    for width in widths:
        shape = power * np.exp(-0.25 * (lags / width) ** 2) / size
        amount = shape @ (found / size) / max(shape @ shape, 1e-300)
        gain = amount * (shape @ (found / size)) if amount > 0 else 0.0
        best = max(best, (gain, width))
    return float(best[1]) if best[0] > _SURE**2 else most


def _contrast(maps):
    """Rms of all components but the first relative to it, geometric mean over components."""
    size = np.sqrt(np.mean(maps**2, axis=1))
    ratio = size[1:] / max(size[0], 1e-300)
    return float(np.exp(np.mean(np.log(np.maximum(ratio, 1e-300))))) if ratio.size else 1.0


def _blur(spatial, shape):
    """Standard deviation of the pixels of the source that one datum sees, in pixels."""
    if spatial is None or spatial.ndim == 1:
        return 0.5
    middle = np.argmax(np.asarray(abs(spatial).sum(axis=1)).ravel())
    seen = spatial[[middle]]
    seen = seen.toarray() if sparse.issparse(seen) else seen
    weights = np.abs(seen).reshape(shape)
    weights = weights / weights.sum()
    total = 0.0
    for axis, size in enumerate(shape):
        profile, place = weights.sum(axis=1 - axis), np.arange(size)
        total += profile @ (place - profile @ place) ** 2
    return float(np.sqrt(0.5 * total))


def _line_width(spectrum, noise):
    """Standard deviation of the lines of a spectrum with noise (L,), in channels."""
    slope = np.diff(spectrum)
    if slope.size < 3:
        return 1.0
    size = 2 * slope.size
    found = np.fft.irfft(np.abs(np.fft.rfft(slope, size)) ** 2, size)[: slope.size]
    # white noise of the spectrum in the autocorrelation of its derivative
    found[0] -= 2.0 * (noise**2).sum()
    found[1] += (noise**2).sum()
    below = np.flatnonzero(found <= 0.5 * found[0])
    if found[0] <= 0 or not below.size:
        return 1.0
    found, after = found / found[0], below[0]
    lag = after - 1 + (found[after - 1] - 0.5) / (found[after - 1] - found[after])
    return float(max(lag / _HALF, 1.0))
