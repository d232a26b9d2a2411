"""How a fused cube agrees with the observations: in bands, in channels, in pixels."""

from dataclasses import dataclass, field

import numpy as np

from jwst_fusion.metrics.lines import find_lines

__all__ = ["LINE_FITS", "Agreement", "Band", "Residuals", "agreement", "band_image"]

#: Images of what the lines of each pixel have beyond what is expected: velocity and its error,
#: km/s; excess of the squared width and its error, km2/s2; width of expected lines, km/s.
LINE_FITS = ("velocity", "velocity_error", "square", "square_error", "width")
_LIGHT = 299792.458  # km/s
_LEAST = 12  # channels of a pixel, for a fit of brightness, slope, velocity and width
_LINES = 3  # bands of lines, at most; each is a row of pictures in the report


@dataclass(frozen=True)
class Band:
    """
    Part of the spectrum.

    Attributes
    ----------
    name : str
        "total" or "line".
    low, high : float
        Edges, keV or um.
    """

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Residuals:
    """
    One cube against what is expected of it for the fused cube.

    Attributes
    ----------
    images, models, sigmas : ndarray (band, y, x)
        Counts, or mean brightness, in each band; expected ones; standard deviations. NaN where no
        voxel is used.
    pixels : ndarray (3, y, x)
        For each pixel: reduced chi-square; spectral angle between cube and expectation; the angle
        that noise alone gives, degrees.
    lines : ndarray (5, y, x)
        What the lines of each pixel have beyond expectation, see `LINE_FITS`; NaN where it cannot
        be told.
    edges : ndarray (l + 1,)
        Edges of the channels, keV or um.
    channels : slice
        Which channels of the cube they are, in the order of rising energy or wavelength.
    observed, expected, error : ndarray (l,)
        Sums (counts) or means (brightness) of each channel over the voxels that are used.
    chi2 : ndarray (l,)
        Reduced chi-square of each channel.
    used : ndarray of int (l,)
        Number of voxels that are used.
    """

    images: np.ndarray
    models: np.ndarray
    sigmas: np.ndarray
    pixels: np.ndarray
    lines: np.ndarray
    edges: np.ndarray
    channels: slice
    observed: np.ndarray
    expected: np.ndarray
    error: np.ndarray
    chi2: np.ndarray
    used: np.ndarray


@dataclass(frozen=True)
class Agreement:
    """
    Both cubes against a fused cube.

    Attributes
    ----------
    bands : list of Band
        All energies or wavelengths, and those of the strongest lines.
    x, y : Residuals
        Those of the sharper cube, and that with the finer channels.
    owner : ndarray of int32 (M, N)
        Number of the pixel of Y, along x first, in which each pixel of X lies; -1 for none.
    more : list of Residuals
        Those of further observations.
    """

    bands: list
    x: Residuals
    y: Residuals
    owner: np.ndarray
    more: list = field(default_factory=list)


def agreement(data, result):
    """
    Compare a fused cube with the observations.

    Parameters
    ----------
    data : `~jwst_fusion.hifred.data.HifredData`
        The observations.
    result : `~jwst_fusion.hifred.solver.result.HifredResult`
        What was made of them.

    Returns
    -------
    Agreement
        The comparison.

    Notes
    -----
    Of counts, chi-square is the sum of squared residuals over the sum of expected counts, which is
    1 on average however few counts a voxel has.
    """
    counts = data.sigma_x is None
    models = data.models(result)
    inputs = (
        (data.x, models["X"], data.sigma_x, data.response_x),
        (data.y, models["Y"], data.sigma_y, data.response_y),
    )
    bands = _bands(data, models["Y"])
    residuals = [
        _residuals(*one, data.edges[k], data.channels[k], bands, counts)
        for k, one in enumerate(inputs)
    ]
    more = [
        _residuals(
            one.data, models[one.label], None, one.response, one.edges, one.channels, bands, counts
        )
        for one in data.more
    ]
    return Agreement(bands, *residuals, data.owner(), more)


def _bands(data, model):
    """The whole range, and whole channels of X around the strongest lines."""
    fine, wide = data.edges[1], data.edges[0]
    low, high = max(fine[0], wide[0]), min(fine[-1], wide[-1])
    bands = [Band("total", float(low), float(high))]
    spectrum = np.asarray(model, float).sum(axis=(1, 2))
    middle = 0.5 * (fine[1:] + fine[:-1])
    for line in find_lines(middle, spectrum, count=_LINES):
        start = max(np.searchsorted(wide, fine[line.channels.start], "right") - 1, 0)
        stop = min(np.searchsorted(wide, fine[line.channels.stop]), wide.size - 1)
        one = Band("line", float(wide[start]), float(wide[stop]))
        if all(one.low >= other.high or one.high <= other.low for other in bands[1:]):
            bands.append(one)
    return bands


def band_image(cube, edges, band, used=None, *, mean=False):
    """
    Image of a cube in a band.

    Parameters
    ----------
    cube : array (l, y, x)
        Cube; NaN where nothing is known.
    edges : array (l + 1,)
        Edges of its channels.
    band : Band
        The band; channels whose middle lies in it are taken, at least one.
    used : array of bool (l, y, x), optional
        Voxels that count; by default those that are known.
    mean : bool
        Mean instead of sum.

    Returns
    -------
    ndarray (y, x)
        NaN where no voxel counts.
    """
    middle = 0.5 * (edges[1:] + edges[:-1])
    inside = np.flatnonzero((middle > band.low) & (middle < band.high))
    if not inside.size:
        inside = [int(np.argmin(np.abs(middle - 0.5 * (band.low + band.high))))]
    part = slice(int(inside[0]), int(inside[-1]) + 1)
    values = np.asarray(cube[part], float)
    good = np.isfinite(values) if used is None else used[part]
    number = good.sum(axis=0)
    total = np.where(good, values, 0.0).sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1) if mean else total, np.nan)


def _residuals(data, model, sigma, response, edges, channels, bands, counts):
    model = np.asarray(model, float)
    used = np.isfinite(data)
    if response.mask is not None:
        used = used & response.mask
    variance = model if counts else sigma**2
    options = {"used": used, "mean": not counts}
    images, models = (
        np.array([band_image(one, edges, band, **options) for band in bands])
        for one in (data, model)
    )
    sums = [band_image(variance, edges, band, used=used) for band in bands]
    number = [band_image(np.ones(data.shape), edges, band, used=used) for band in bands]
    sigmas = np.sqrt(sums) / (1.0 if counts else np.maximum(number, 1))
    residual = np.where(used, data - model, 0.0)
    weight = np.where(used, variance, 0.0)
    number = used.sum(axis=(1, 2))
    norm = 1.0 if counts else np.maximum(number, 1)
    totals = [np.where(used, one, 0.0).sum(axis=(1, 2)) / norm for one in (data, model)]
    background = 0.0 if response.background is None else response.background
    angle, noise = _angles(data - background, model - background, weight, used)
    chi2 = [_chi2(residual, variance, weight, used, axis, counts) for axis in (0, (1, 2))]
    return Residuals(
        images=images,
        models=models,
        sigmas=sigmas,
        pixels=np.array([chi2[0], angle, noise]),
        lines=_line_fits(data - background, model - background, variance, used, edges, counts),
        edges=np.asarray(edges, float),
        channels=channels,
        observed=totals[0],
        expected=totals[1],
        error=np.sqrt(weight.sum(axis=(1, 2))) / norm,
        chi2=chi2[1],
        used=number,
    )


def _chi2(residual, variance, weight, used, axis, counts):
    if counts:
        top, below = (residual**2).sum(axis=axis), weight.sum(axis=axis)
    else:
        top = np.divide(residual**2, variance, out=np.zeros_like(residual), where=used)
        top, below = top.sum(axis=axis), used.sum(axis=axis)
    return np.divide(top, below, out=np.full(np.shape(top), np.nan), where=below > 0)


def _angles(data, model, weight, used):
    """Spectral angle of each pixel, and that of noise alone, degrees."""
    data, model = np.where(used, data, 0.0), np.where(used, model, 0.0)
    sizes = [np.sqrt((one**2).sum(axis=0)) for one in (data, model)]
    known = (sizes[0] > 0) & (sizes[1] > 0)
    cosine = np.divide(
        (data * model).sum(axis=0),
        sizes[0] * sizes[1],
        out=np.full(known.shape, np.nan),
        where=known,
    )
    noise = np.full(known.shape, np.nan)
    noise[known] = np.arctan2(np.sqrt(weight.sum(axis=0)[known]), sizes[1][known])
    return np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))), np.rad2deg(noise)


def _line_fits(data, model, variance, used, edges, counts):
    """
    Fit what the lines of each pixel have beyond expectation, images as in `LINE_FITS`.

    Residuals are fitted, to first order, by the expectation and its continuum, and by its first and
    second derivatives, which are what lines that move and widen add. Spectra of the field stand for
    the shape of the lines where pixels have few counts.
    """
    middle = 0.5 * (edges[1:] + edges[:-1])
    shape = data.shape[1:]
    out = np.full((len(LINE_FITS), *shape), np.nan)
    if len(middle) < _LEAST:
        return out
    mean = np.where(used, model, 0.0).sum(axis=(1, 2)) / np.maximum(used.sum(axis=(1, 2)), 1)
    # along the logarithm of energy, in which a velocity moves all lines alike
    step = np.gradient(np.log(middle))
    first = np.gradient(mean) / step
    second = np.gradient(first) / step
    slope = mean * (middle - middle.mean()) / np.ptp(middle)
    sign = 1.0 if counts else -1.0
    columns = [mean, slope, sign * first / _LIGHT, 0.5 * second / _LIGHT**2]
    residual = np.where(used, data - model, 0.0).reshape(len(middle), -1)
    bright = np.where(used, model, 0.0).reshape(len(middle), -1).sum(axis=0)
    bright /= np.maximum((used.reshape(len(middle), -1) * mean[:, None]).sum(axis=0), 1e-300)
    floor = 1e-6 * max(float(np.max(variance, where=used, initial=0.0)), 1e-300)
    weight = np.where(used, 1.0 / np.maximum(variance, floor), 0.0).reshape(len(middle), -1)
    design = np.stack(columns, axis=1)
    scale = np.maximum(np.sqrt((design**2).sum(axis=0)), 1e-300)
    design = design / scale
    normal = np.einsum("li,lq,lj->qij", design, weight, design, optimize=True)
    right = np.einsum("li,lq->qi", design, weight * residual, optimize=True)
    known = (used.reshape(len(middle), -1).sum(axis=0) >= _LEAST) & (bright > 0)
    inverse = np.linalg.pinv(normal[known], rcond=1e-10, hermitian=True)
    factor = scale * bright[known][:, None]
    amount = np.einsum("qij,qj->qi", inverse, right[known]) / factor
    error = np.sqrt(np.maximum(np.einsum("qii->qi", inverse), 0.0)) / factor
    width = _LIGHT * np.sqrt((first**2).sum() / max((second**2).sum(), 1e-300))
    flat = out.reshape(len(out), -1)
    flat[:, known] = [
        amount[:, 2],
        error[:, 2],
        amount[:, 3],
        error[:, 3],
        np.full(known.sum(), width),
    ]
    return out
