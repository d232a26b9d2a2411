"""Channels and pixels of the product of exposures: what cube building would have made of them."""

import logging
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.observed.registration import choose_factor
from jwst_fusion.fusion.observed.sky import SkyGrid

__all__ = ["ProductChannels", "choose_channels", "choose_grid", "finest_factor", "spaxel_of"]

log = logging.getLogger(__name__)

# Spaxels of cubes that jwst builds by default, arcsec: of NIRSpec, and of the MIRI spectrometer by
# channel.
_SPAXELS = {"": 0.1, "1": 0.13, "2": 0.17, "3": 0.20, "4": 0.35}
# Fine pixels per spaxel without images: such that the PSF of optics, slice and pixel is well
# sampled, 0.03 arcsec with NIRSpec, 0.07 to 0.17 with the MIRI spectrometer.
_FACTORS = {"NIRSPEC": 3, "MIRI_MRS": 2}
_BEAM = 0.0312  # arcsec per micrometre: wavelength over diameter of the telescope
# Part of the highest frequency of the optics that fine pixels sample at the shortest wavelength:
# pixels and slices leave less than 1 % of the PSF beyond. More pixels per spaxel than this are not
# worth their cost: with five, a star between them is wrong by 3 % at 0.9 micrometre, 7 % at 0.7.
_SAMPLED, _FINEST = 0.75, 5
_BINS = 64  # of the wavelengths, in each of which the dispersion is its median
_EVERY = 7  # of the rows or columns along the slices that tell the dispersion
# Channels are evenly spaced unless the dispersion changes by more than this factor.
_EVEN = 1.3
# Exposures whose dispersion differs by more than this factor at the same wavelength resolve lines
# differently: no scene without a line-spread function explains both.
_SAME_DISPERSION = 1.25
_FEW = 0.1  # of the typical number of pixels: channels with fewer are the gap between detectors
_LARGEST = 60.0  # arcsec: no mosaic of integral field units is larger


@dataclass(frozen=True)
class ProductChannels:
    """
    Channels of a product.

    Attributes
    ----------
    wavelength : array (L,)
        Ascending, micrometre.
    even : bool
        Whether they are evenly spaced, so that a linear axis describes them.
    """

    wavelength: np.ndarray
    even: bool


def spaxel_of(exposure):
    """
    Return the spaxel of the cube that jwst builds of an exposure by default.

    Parameters
    ----------
    exposure : ExposureObservation
        The exposure.

    Returns
    -------
    float
        Arcsec.
    """
    return _SPAXELS[exposure.grating[:1] if exposure.instrument == "MIRI_MRS" else ""]


def finest_factor(exposures, wavelength, scales=()):
    """
    Return the fine pixels per spaxel that suit the images and sample the PSF of the exposures.

    Parameters
    ----------
    exposures : list of ExposureObservation
        The exposures.
    wavelength : array (L,)
        Ascending channels, micrometre.
    scales : sequence of float, optional
        Pixels of the images, arcsec.

    Returns
    -------
    int
        Pixels along each side of a spaxel.

    Notes
    -----
    A point source between coarser pixels would be seen otherwise than it is: with three pixels to a
    spaxel of NIRSpec by 0.2 % of its image (rms) at 1.9 micrometre, 4 % at 1.55 and 18 % at 0.9, as
    ``benchmarks/bench_psf.py --only sampling`` measures.
    """
    spaxel, shortest = spaxel_of(exposures[0]), float(wavelength[0])
    sampled = int(np.ceil(_SAMPLED * 2 * spaxel / (_BEAM * shortest)))
    suited = choose_factor(spaxel, scales) if len(scales) else _FACTORS[exposures[0].instrument]
    return max(suited, min(sampled, _FINEST))


def choose_channels(exposures, *, wave_min=None, wave_max=None):
    """
    Choose channels as far apart as the pixels of the detectors.

    Parameters
    ----------
    exposures : list of ExposureObservation
        Exposures of one grating, or of the bands of one channel of the MIRI spectrometer.
    wave_min, wave_max : float, optional
        Shortest and longest wavelength, micrometre; by default those that half of the slices see.

    Returns
    -------
    ProductChannels
        The channels, without those between the detectors.

    Raises
    ------
    NotFusableError
        If fewer than four channels are left.
    ValueError
        If exposures disperse the same wavelengths differently.
    """
    low, high, curves = [], [], []
    for exposure in exposures:
        first, last = _range(exposure)
        low.append(first)
        high.append(last)
        curves.append(_dispersion(exposure))
    _check_dispersion(exposures, curves)
    start, stop = min(low), max(high)
    start = start if wave_min is None else max(start, wave_min)
    stop = stop if wave_max is None else min(stop, wave_max)
    every = np.linspace(start, stop, 20 * _BINS) if stop > start else np.array([start])
    steps = np.nanmean(
        [
            np.interp(every, *curve, left=np.nan, right=np.nan)
            for curve in _span(curves, start, stop)
        ],
        axis=0,
    )
    if len(every) > 1:
        even = bool(steps.max() < _EVEN * steps.min())
        if even:
            wavelength = np.arange(start, stop, float(np.median(steps)))
        else:
            number = np.concatenate([[0], np.cumsum(np.diff(every) * 2 / (steps[1:] + steps[:-1]))])
            wavelength = np.interp(np.arange(np.floor(number[-1]) + 1), number, every)
        kept = _seen(exposures, wavelength)
        gaps = np.diff(np.flatnonzero(kept))
        wavelength, even = wavelength[kept], even and not np.any(gaps > 1)
    if len(every) < 2 or len(wavelength) < 4:
        msg = (
            f"the exposures have fewer than four channels within wave_min and wave_max; they see "
            f"{min(low):.4f} to {max(high):.4f} um"
        )
        raise NotFusableError(msg)
    return ProductChannels(wavelength, even)


def _range(exposure):
    """Wavelengths between which half of the slices have good pixels."""
    wavelength = exposure.wavelength[exposure.good]
    label = exposure.label[exposure.good]
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.diff(label[order], prepend=label[order[0]] - 1))
    first = np.minimum.reduceat(wavelength[order], starts)
    last = np.maximum.reduceat(wavelength[order], starts)
    return float(np.median(first)), float(np.median(last))


def _dispersion(exposure):
    """Wavelengths and how far pixels are apart there, micrometre."""
    along, across = exposure.row, exposure.column
    if exposure.slit_axis == "column":
        along, across = across, along
    some = np.flatnonzero((along % _EVERY == 0) & np.isfinite(exposure.wavelength))
    order = some[np.lexsort((across[some], along[some], exposure.label[some]))]
    pairs = (np.diff(exposure.label[order]) == 0) & (np.diff(along[order]) == 0)
    pairs &= np.diff(across[order]) == 1
    wavelength = exposure.wavelength[order]
    middle = ((wavelength[1:] + wavelength[:-1]) / 2)[pairs]
    step = np.abs(np.diff(wavelength))[pairs]
    edges = np.quantile(middle, np.linspace(0, 1, _BINS + 1))
    bins = np.clip(np.searchsorted(edges, middle, side="right") - 1, 0, _BINS - 1)
    groups = [bins == number for number in np.unique(bins)]
    found = np.array([(np.median(middle[one]), np.median(step[one])) for one in groups])
    return np.unique(found[:, 0]), found[np.unique(found[:, 0], return_index=True)[1], 1]


def _span(curves, start, stop):
    """Curves, continued to the ends of the range by those that reach nearest to them."""
    first = min(curves, key=lambda curve: curve[0][0])
    last = max(curves, key=lambda curve: curve[0][-1])
    for curve in curves:
        at, step = curve
        if curve is first:
            at, step = np.r_[min(start, at[0] - 1e-9), at], np.r_[step[0], step]
        if curve is last:
            at, step = np.r_[at, max(stop, at[-1] + 1e-9)], np.r_[step, step[-1]]
        yield at, step
    # Between detectors the dispersion is that of the nearest pixels.
    order = np.argsort(np.concatenate([curve[0] for curve in curves]))
    merged = [np.concatenate([curve[part] for curve in curves])[order] for part in (0, 1)]
    yield np.r_[start - 1, merged[0], stop + 1], np.r_[merged[1][0], merged[1], merged[1][-1]]


def _check_dispersion(exposures, curves):
    for number, (at, step) in enumerate(curves):
        for other in range(number):
            low, high = max(at[0], curves[other][0][0]), min(at[-1], curves[other][0][-1])
            if high <= low:
                continue
            every = np.linspace(low, high, _BINS)
            ratio = np.median(np.interp(every, at, step) / np.interp(every, *curves[other]))
            if not 1 / _SAME_DISPERSION < ratio < _SAME_DISPERSION:
                one, two = exposures[number], exposures[other]
                msg = (
                    f"{one.name} ({one.grating}) and {two.name} ({two.grating}) see the same "
                    "wavelengths with different spectral resolution: fuse them one by one"
                )
                raise ValueError(msg)


def _seen(exposures, wavelength):
    """Channels that enough pixels see."""
    steps = np.gradient(wavelength)
    edges = np.concatenate([wavelength - steps / 2, [wavelength[-1] + steps[-1] / 2]])
    count = np.zeros(len(wavelength))
    for exposure in exposures:
        count += np.histogram(exposure.wavelength[exposure.good], edges)[0]
    usual = np.median(count[count > 0]) if np.any(count > 0) else 1
    return count >= max(_FEW * usual, 1)


def choose_grid(exposures, channels, *, spaxel, factor, field=None):
    """
    Choose the pixels of the product: North up, around all that the exposures see.

    Parameters
    ----------
    exposures : list of ExposureObservation
        The exposures.
    channels : ProductChannels
        Channels of the product.
    spaxel : float
        Spaxel of which pixels are a part, arcsec.
    factor : int
        Pixels per spaxel along each side.
    field : tuple of float, optional
        Right ascension and declination of the middle, degree, and width and height, arcsec, of a
        part that is wanted.

    Returns
    -------
    SkyGrid
        The grid.

    Raises
    ------
    NotFusableError
        If the part that is wanted lies beside the exposures.
    ValueError
        If exposures lie apart and no part of the sky is named.
    """
    positions = [_positions(exposure, channels) for exposure in exposures]
    known = [one for one in positions if len(one)]
    if not known:
        msg = "the exposures have no good pixel within wave_min and wave_max"
        raise NotFusableError(msg)
    if field is not None:
        middle = SkyCoord(field[0], field[1], unit=u.deg)
    else:
        _check_together(exposures, positions)
        middle = _middle(np.concatenate([one[:: max(1, len(one) // 20000)] for one in known]))
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN"], ["deg", "deg"]
    wcs.wcs.crval = [middle.ra.deg, middle.dec.deg]
    wcs.wcs.crpix = [1, 1]
    wcs.wcs.cdelt = [-spaxel / 3600, spaxel / 3600]
    wcs.wcs.set()
    near = SkyGrid(wcs, (1, 1))
    # Spaxels that the centres of pixels fall on, counted from the middle.
    lowest, highest = np.full(2, np.inf), np.full(2, -np.inf)
    for one in known:
        sky = SkyCoord(*one.T, unit=u.deg)
        inside = sky.separation(middle).arcsec < _LARGEST
        at = np.array(near.pixels(sky[inside])).reshape(2, -1)
        if at.size:
            lowest, highest = np.minimum(lowest, at.min(1)), np.maximum(highest, at.max(1))
    if field is not None:
        half = np.array([field[2], field[3]]) / spaxel / 2
        lowest, highest = np.maximum(lowest, -half), np.minimum(highest, half)
        if np.any(highest < lowest):
            msg = (
                "field_ra, field_dec, field_width and field_height give a field without data of "
                f"the exposures, which see {_describe(known)}"
            )
            raise NotFusableError(msg)
    first, last = (np.rint(one).astype(int) for one in (lowest + 1e-6, highest - 1e-6))
    last = np.maximum(first, last)
    (left, bottom), (right, top) = first.tolist(), last.tolist()
    return near.padded((-bottom, top), (-left, right)).refined(factor)


def _positions(exposure, channels):
    """Right ascension and declination (n, 2) of the good pixels within the channels."""
    low, high = channels.wavelength[[0, -1]]
    inside = exposure.good & (exposure.wavelength >= low) & (exposure.wavelength <= high)
    return np.column_stack([exposure.ra[inside], exposure.dec[inside]])


def _middle(positions):
    """Mean direction, wherever right ascension begins."""
    mean = SkyCoord(*positions.T, unit=u.deg).cartesian.mean()
    sky = SkyCoord(mean.x, mean.y, mean.z, representation_type="cartesian")
    sky = SkyCoord(sky.spherical.lon, sky.spherical.lat)
    offsets = sky.spherical_offsets_to(SkyCoord(*positions.T, unit=u.deg))
    # The middle of what is seen, not where most pixels are.
    east, north = ((one.min() + one.max()) / 2 for one in offsets)
    return sky.spherical_offsets_by(east, north)


def _describe(positions):
    middle = _middle(np.concatenate(positions))
    return f"the surroundings of {middle.to_string('hmsdms', precision=2)}"


def _check_together(exposures, positions):
    """Refuse exposures that do not overlap with each other."""
    circles = []
    for exposure, one in zip(exposures, positions, strict=True):
        if len(one):
            some = one[:: max(1, len(one) // 2000)]
            middle = _middle(some)
            radius = SkyCoord(*some.T, unit=u.deg).separation(middle).arcsec.max()
            circles.append((exposure.name, middle, radius))
    connected, rest = [circles[0]], circles[1:]
    while True:
        joined = [
            one
            for one in rest
            if any(one[1].separation(two[1]).arcsec < one[2] + two[2] for two in connected)
        ]
        if not joined:
            break
        connected += joined
        rest = [one for one in rest if one not in joined]
    if rest:
        far, middle, _ = rest[0]
        name, here, _ = connected[0]
        msg = (
            f'{far} sees another field, {middle.separation(here).arcsec:.1f}" from {name}: leave '
            "one of them out, or name the field (field_ra, field_dec, field_width, field_height)"
        )
        raise ValueError(msg)
