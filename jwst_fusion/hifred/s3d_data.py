"""From two JWST cubes (s3d) of different resolution to the data of a fusion."""

import logging
from dataclasses import replace

import numpy as np
from scipy import sparse
from scipy.stats import norm

from jwst_fusion.errors import NotFusableError
from jwst_fusion.hifred.data import HifredData, coarse_response, nodes_in_band
from jwst_fusion.hifred.pairing import check_different, field_window, pixel_matrix, roles
from jwst_fusion.hifred.psf_image import gaussian_psf, psf_reach, read_psf_image
from jwst_fusion.hifred.response.response import Response
from jwst_fusion.numerics.gaussian import FWHM_OF_SIGMA

__all__ = ["data_from_s3d"]

log = logging.getLogger(__name__)

_ROUNDING = 1e-3  # channel; edges that agree within it are taken to be the same
_NOTHING = 1e-9  # of the largest element of a response; smaller ones are left out


def data_from_s3d(first, second, responses, options):
    """
    Set up the fusion of two cubes with Gaussian noise.

    Parameters
    ----------
    first, second : `~jwst_fusion.fusion.observed.observation.CubeObservation`
        The cubes, in any order.
    responses : dict of str to path
        File by ``psf``.
    options : object
        Attributes ``wave_band`` (um, two numbers or None), ``margin`` and ``psf_fwhm`` (arcsec),
        ``psf_angle`` (degrees), ``psf_centre``, ``lsf_fwhm`` (um).

    Returns
    -------
    data : HifredData
        Both observations; Y in the order of rising wavelength.
    x, y : `~jwst_fusion.fusion.observed.observation.CubeObservation`
        The cubes, sorted: X, of which the part that is used, has the finer spaxels, Y the finer
        channels.

    Raises
    ------
    NotFusableError
        If the cubes do not overlap, or one has no usable data.
    ValueError
        If something is missing, or a file does not fit.

    Notes
    -----
    Cubes are in surface brightness: spaxels and channels are means of those of Z, not sums. Near
    the border the light beyond is taken to be like that within.
    """
    unused = [name for name in responses if name != "psf"]
    if unused:
        msg = f"{', '.join(unused)} cannot be used with JWST cubes: they are for cubes of counts"
        raise ValueError(msg)
    check_different((first.name, second.name), first.data, second.data)
    kinds = [
        (
            one.name,
            one.data.shape,
            one.grid.scale,
            float(np.median(np.abs(np.diff(one.wavelength)))),
        )
        for one in (first, second)
    ]
    x, y = (first, second) if roles(*kinds) else (second, first)
    edges_x, edges_y = (_edges(np.sort(one.wavelength)) for one in (x, y))
    channels_x, channels_y = _band(x, y, edges_x, edges_y, options.wave_band)
    wavelength = np.sort(y.wavelength)[channels_y]
    psf, nodes = _psf(responses, x, wavelength, options)
    x = _near_coarse(x, y, psf, options.margin)
    (data_x, sigma_x, good_x), (data_y, sigma_y, good_y) = (
        _ascending(one, channels) for one, channels in ((x, channels_x), (y, channels_y))
    )
    shape = (wavelength.size, *data_x.shape[1:])
    pixels, _, covered = pixel_matrix(
        shape[1:], data_y.shape[1:], x.grid.wcs, y.grid.wcs, names=(x.name, y.name)
    )
    good_y = good_y & covered
    for one, good, values in ((x, good_x, data_x), (y, good_y, data_y)):
        if not values[good].any():
            msg = f"{one.name} has no usable data where both cubes overlap (all bad, or all zero)"
            raise NotFusableError(msg)
    edges = (
        edges_x[channels_x.start : channels_x.stop + 1],
        edges_y[channels_y.start : channels_y.stop + 1],
    )
    spectral = _spectral(*edges, options, x.name)
    response_x = Response(shape, shape[1:], spectral=spectral, mask=good_x)
    response_y = coarse_response(
        shape, pixels, data_y.shape[1:], psf=psf, nodes=nodes, mean=True, mask=good_y
    )
    data = HifredData(
        x=data_x,
        y=data_y,
        response_x=response_x,
        response_y=response_y,
        sigma_x=sigma_x,
        sigma_y=sigma_y,
        coordinate=wavelength,
        unit="MJy/sr",
        channels=(channels_x, channels_y),
        names=(x.name, y.name),
        edges=edges,
        pixels=pixels,
    )
    return data, x, y


def _near_coarse(x, y, psf, margin):
    """X without the spaxels that are too far from Y to matter."""
    rim = psf_reach(psf) if margin is None else margin / x.grid.scale
    window = field_window(x.data.shape[1:], y.data.shape[1:], x.grid.wcs, y.grid.wcs, rim)
    part = (slice(None), *window)
    arrays = {name: getattr(x, name)[part] for name in ("data", "err", "good")}
    return replace(x, grid=x.grid.cropped(window), **arrays)


def _edges(wavelength):
    middle = 0.5 * (wavelength[1:] + wavelength[:-1])
    first, last = 2 * wavelength[0] - middle[0], 2 * wavelength[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def _band(x, y, edges_x, edges_y, band):
    low, high = max(edges_x[0], edges_y[0]), min(edges_x[-1], edges_y[-1])
    if band is not None:
        low, high = max(low, band[0]), min(high, band[1])
    found = []
    for one, edges in ((y, edges_y), (x, edges_x)):
        close = _ROUNDING * float(np.diff(edges).min())
        inside = np.flatnonzero((edges[:-1] >= low - close) & (edges[1:] <= high + close))
        if inside.size < 2:
            msg = (
                f"{x.name} ({edges_x[0]:.4g} to {edges_x[-1]:.4g} um) and {y.name} "
                f"({edges_y[0]:.4g} to {edges_y[-1]:.4g} um) have fewer than two channels of "
                f"{one.name} in common within the band"
            )
            raise NotFusableError(msg)
        found.append(slice(int(inside[0]), int(inside[-1]) + 1))
        low, high = edges[inside[0]], edges[inside[-1] + 1]
    return found[1], found[0]


def _ascending(one, channels):
    """Data, errors and mask in the order of rising wavelength; zero and one where masked."""
    order = slice(None, None, 1 if one.wavelength[0] < one.wavelength[-1] else -1)
    data, err, good = (array[order][channels] for array in (one.data, one.err, one.good))
    data = np.where(good, data, 0.0).astype(float)
    return data, np.where(good, err, 1.0).astype(float), np.ascontiguousarray(good)


def _spectral(channels, edges, options, name):
    """Mean over each channel of X of the broadened spectrum, (l, L)."""
    if options.lsf_fwhm is None:
        log.info("%s: no lsf_fwhm is given; its channels are means of those of the result", name)
    middle = 0.5 * (edges[1:] + edges[:-1])
    sigma = (options.lsf_fwhm or 0.0) / FWHM_OF_SIGMA
    if sigma > 0:
        matrix = np.diff(norm.cdf((channels[:, None] - middle) / sigma), axis=0)
        matrix *= np.diff(edges)
    else:
        low = np.maximum(channels[:-1, None], edges[:-1])
        matrix = np.clip(np.minimum(channels[1:, None], edges[1:]) - low, 0.0, None)
    matrix[matrix < _NOTHING * matrix.max()] = 0.0
    return sparse.csr_array(matrix / matrix.sum(axis=1, keepdims=True))


def _psf(responses, x, wavelength, options):
    if responses.get("psf") is None:
        if options.psf_fwhm is None:
            msg = (
                "the PSF that makes the sharper cube as blurred as the other is missing: give psf "
                "(a FITS file) or psf_fwhm (arcsec)"
            )
            raise ValueError(msg)
        return gaussian_psf(options.psf_fwhm / x.grid.scale)[None], None
    stack, nodes = read_psf_image(
        responses["psf"], x.grid.scale, angle=options.psf_angle, centre=options.psf_centre
    )
    return nodes_in_band(stack, nodes, wavelength)
