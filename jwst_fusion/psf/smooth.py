"""The images of a star in the channels of a cube as smooth functions of wavelength."""

import numpy as np
from scipy.ndimage import gaussian_filter, median_filter

from jwst_fusion.numerics.robust import robust_sigma
from jwst_fusion.psf.cube import chebyshev_nodes, lagrange_weights

__all__ = ["fill_gaps", "smooth_channels"]

# Channels that differ from the smooth PSF by more than this many standard deviations are left out.
_OUTLIER = 6.0
_OFTEN = 0.2  # share of the channels: what is off in more of them is not an outlier
# Spikes are sought among this many channels, within which a PSF changes by less than this share.
_AROUND, _CHANGE = 15, 0.3
_MOST_NODES = 12  # largest degree of the polynomial in wavelength
# Channels in which the star has less than this share of its median brightness are left out.
_FAINT_CHANNEL = 0.05


def smooth_channels(data, err, good, wavelength, *, distance, core, name):
    """
    Describe the images of a star in all channels by those at a few wavelengths.

    Parameters
    ----------
    data, err : ndarray
        The star without background, and standard deviations, shape (wavelength, n, n).
    good : ndarray of bool
        Pixels that may be used, same shape.
    wavelength : ndarray
        Ascending wavelengths, shape (wavelength,) [um].
    distance : ndarray
        Distance of each pixel from the star, shape (n, n) [pixel].
    core : float
        Half width of its core at half maximum [pixel].
    name : str
        The exposure, for messages.

    Returns
    -------
    images, sigma : ndarray
        Images at Chebyshev nodes and their standard deviations, shape (node, n, n).
    nodes : ndarray
        Wavelengths of the nodes, shape (node,) [um].
    filled : float
        Share of the light put into pixels that have no data in hardly any channel.

    Raises
    ------
    ValueError
        If the star is seen in fewer than three channels.
    """
    data, err, good = _scaled(data, err, good, distance, core)
    bright = good.any(axis=(1, 2))
    if bright.sum() < 3:
        msg = f"{name} shows its star in fewer than three channels"
        raise ValueError(msg)
    data, err, good, wavelength = data[bright], err[bright], good[bright], wavelength[bright]
    good &= ~_spikes(data, err, good)
    weights, data = np.where(good, 1.0 / err**2, 0.0), np.where(good, data, 0.0)
    dead = ~(good.sum(axis=0) > _MOST_NODES)
    best = None
    for _ in range(2):
        best = _best_polynomial(data, weights, wavelength, dead)
        nodes, images, _, fit = best
        outlier = np.abs(data - fit) * np.sqrt(weights) > _OUTLIER * _excess(data, fit, weights)
        if not outlier.any():
            break
        # Where most channels differ it is the PSF that is not smooth.
        weights = np.where(outlier & (outlier.mean(axis=0) < _OFTEN), 0.0, weights)
    nodes, images, sigma, _ = best
    filled = 0.0
    for image in images:
        image[...], share = fill_gaps(image, ~dead)
        filled = max(filled, abs(share) / image.sum())
    return images, sigma * _excess(data, best[3], weights), nodes, filled


def _scaled(data, err, good, distance, core):
    """Divide each channel by the brightness of the star in it; leave faint ones out."""
    inside = distance < 2.0 * core
    template = np.nanmedian(np.where(good, data, np.nan)[:, inside], axis=0)
    usable = good[:, inside]
    cross = np.sum(np.where(usable, data[:, inside] * template, 0.0), axis=1)
    norm = np.sum(np.where(usable, template**2, 0.0), axis=1)
    scale = np.divide(cross, norm, out=np.zeros(len(data)), where=norm > 0.5 * np.sum(template**2))
    bright = (
        scale > _FAINT_CHANNEL * np.median(scale[scale > 0]) if (scale > 0).any() else scale > 0
    )
    scale = np.where(bright, scale, 1.0)[:, None, None]
    return data / scale, err / scale, good & bright[:, None, None]


def _spikes(data, err, good):
    """Voxels far from the median over the channels around them."""
    size = (min(_AROUND, len(data) // 2 * 2 - 1), 1, 1)
    known = np.where(good, data, np.nanmedian(np.where(good, data, np.nan)))
    middle = median_filter(known, size=size, mode="nearest")
    return np.abs(known - middle) > _OUTLIER * err + _CHANGE * np.abs(middle)


def _best_polynomial(data, weights, wavelength, dead):
    """Nodes, images, their standard deviations, and the fit of the smallest Akaike criterion."""
    live = ~dead
    values, weight = data[:, live], weights[:, live]
    count = np.count_nonzero(weight)
    best, lowest = None, np.inf
    for degree in range(1, min(_MOST_NODES, len(wavelength) // 2) + 1):
        nodes = chebyshev_nodes(wavelength[0], wavelength[-1], max(degree, 2))
        basis = lagrange_weights(nodes, wavelength) if degree > 1 else np.ones((len(wavelength), 1))
        pairs = (basis[:, :, None] * basis[:, None, :]).reshape(len(basis), -1)
        normal = (weight.T @ pairs).reshape(-1, degree, degree)
        normal += 1e-10 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(degree)
        covariance = np.linalg.inv(normal)
        moment = (weight * values).T @ basis
        solution = np.einsum("prs,ps->rp", covariance, moment)
        residual = values - basis @ solution
        criterion = count * np.log(np.mean(weight * residual**2)) + 2.0 * solution.size
        if criterion < lowest:
            lowest = criterion
            variance = np.einsum("prr->rp", covariance)
            best = nodes, basis, solution, variance
    nodes, basis, solution, variance = best
    if len(solution) == 1:
        solution, variance = np.repeat(solution, 2, axis=0), np.repeat(variance, 2, axis=0)
    images = np.zeros((len(solution), *dead.shape))
    sigma, fit = np.zeros_like(images), np.zeros_like(data)
    images[:, live], sigma[:, live] = solution, np.sqrt(variance)
    fit[:, live] = basis @ best[2]
    return nodes, images, sigma, fit


def _excess(data, fit, weights):
    """How much larger the scatter of the channels is than their errors say."""
    used = weights > 0
    return max(robust_sigma((data - fit)[used] * np.sqrt(weights[used])), 1e-12)


def fill_gaps(image, good):
    """
    Estimate pixels without data from their neighbours.

    Parameters
    ----------
    image : ndarray
        Shape (y, x).
    good : ndarray of bool
        Pixels with data, same shape.

    Returns
    -------
    image : ndarray
        The image without gaps.
    light : float
        Sum of what was put into them.
    """
    if good.all():
        return image, 0.0
    out = np.where(good, image, 0.0)
    width = 1.0
    missing = ~good
    while missing.any() and width < max(image.shape):
        share = gaussian_filter(good.astype(float), width)
        near = missing & (share > 0.1)
        out[near] = (gaussian_filter(np.where(good, image, 0.0), width) / np.maximum(share, 0.1))[
            near
        ]
        missing &= ~near
        width *= 2.0
    return out, float(out[~good].sum())
