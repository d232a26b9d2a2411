"""Point sources of which images and cube disagree: damaged cores, and sources that varied."""

import logging
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy import ndimage

from jwst_fusion.fusion.observed.background import CALIBRATED, robust_line
from jwst_fusion.fusion.observed.matching import blur_with_gaps, matching_kernel, sample_spaxels
from jwst_fusion.fusion.observed.photometry import synthetic_image
from jwst_fusion.messages import warn

__all__ = ["Disagreement", "find_disagreements", "mend_images"]

log = logging.getLogger(__name__)

# Where less than this share of a PSF falls on data, a spaxel is not compared.
_COMPLETE = 0.9
# Spaxels at least that are compared.
_FEWEST = 25
_BOX = 5  # spaxels, side of the squares in which light is summed: the core of the cube's PSF
# Robust standard deviations of these sums, and part of the light of what stands out in the square,
# by which they must differ. Wrong PSFs move light within the squares more than across their edges.
_SIGNIFICANT, _PART = 10.0, 0.1
_MOST = 8  # sources of an image at most, the worst first; where there are more, the match is wrong
# Logarithms of gains: images of one epoch agree on that of a source to this, and that of a source
# in a single image is believed from this on.
_LIKEWISE, _FAR = 0.15, 0.3
# Fine pixels: radius of the stamps in which a PSF is fitted, distance up to which its position may
# be wrong, in the cube and, as it was found there, in the image, and steps of the search.
_STAMP, _ASTRAY, _NEAR, _STEP, _FINE_STEP = 10.0, 3.0, 1.0, 0.5, 0.1
# Radii (fine pixels) of cores that may be damaged, the smallest first. Resampling spreads what is
# wrong with a pixel over its neighbours.
_RADII = (2.5, 3.5, 4.5, 6.0)
_UNLIKE = 0.15  # part of the light of a core, rms, by which a sound one differs from the PSF
_MISSING = 1.5  # fine pixels around a source: where they have no data, it is known to be damaged
_LEFT = 0.3  # of the difference that may be left once the core is replaced by what the wings say
# Offset (fine pixels) up to which an image counts as lying on the cube, and, where the offset is
# not known because of such a source, robust scatter of the difference over that of the cube.
_ALIGNED, _ALIKE = 0.3, 0.2


@dataclass(frozen=True)
class Disagreement:
    """
    A point source that image and cube do not show alike.

    Attributes
    ----------
    x, y : float
        Position, fine pixels.
    radius : float
        Of its core that is damaged in the image, fine pixels; 0 if it is sound.
    gain : float
        By how much the source is brighter in the image than in the cube; NaN for a damaged core.
    excess : float
        Its flux in the image beyond that in the cube, surface brightness times the area of a fine
        pixel; 0 for a damaged core.
    """

    x: float
    y: float
    radius: float
    gain: float
    excess: float = 0.0


def mend_images(cube, images, responses, aligned, *, psf, grid):
    """
    Mask damaged cores in images, and give sources that varied the brightness of the cube.

    Parameters
    ----------
    cube : array (L, h, w)
        The cube on the padded grid, MJy/sr; NaN where there are no data.
    images : list of `~jwst_fusion.fusion.observed.observation.ImageObservation`
        The images.
    responses : array (F, L)
        Weights of the channels in each filter.
    aligned : `~jwst_fusion.fusion.observed.alignment.Alignment`
        These images on the common grid.
    psf : `~jwst_fusion.fusion.psf.instrument_psf.PsfPair`
        PSFs of both.
    grid : `~jwst_fusion.fusion.observed.registration.CommonGrid`
        The common grid.

    Returns
    -------
    images : list of `~jwst_fusion.fusion.observed.observation.ImageObservation`
        The images, mended.
    count : int
        Number of sources that were.
    """
    mended, count = [], 0
    left = np.hypot(*(aligned.measured - aligned.applied).T)
    planes = [np.tensordot(one @ psf.weights, psf.image, axes=1) for one in responses]
    every = []
    for index, response in enumerate(responses):
        known = np.isfinite(aligned.errors[index])
        every.append([])
        if known and left[index] > _ALIGNED:
            continue
        every[-1] = find_disagreements(
            aligned.data[index],
            synthetic_image(cube, response),
            psf_image=planes[index],
            psf_cube=np.tensordot(response @ psf.weights, psf.cube, axes=1),
            factor=grid.factor,
            alike=not known,
        )
    for index, (image, own) in enumerate(zip(images, planes, strict=True)):
        mended.append(image)
        found = [one for one in every[index] if one.radius or _confirmed(one, index, every)]
        if not found:
            continue
        frame = grid.fine.shifted(*aligned.applied[index])
        if aligned.turned[index]:
            frame = frame.turned(aligned.turned[index])
        rows, columns = np.indices(image.data.shape)
        x, y = frame.pixels(image.grid.sky(columns, rows))
        data, good = np.array(image.data), np.array(image.good)
        for one in found:
            place = grid.fine.sky(one.x, one.y).to_string("hmsdms", precision=2)
            if one.radius:
                good &= np.hypot(x - one.x, y - one.y) > one.radius
                warn(
                    log,
                    "%s: the core of a source at %s does not agree with its wings and the cube "
                    "(saturated or damaged); %.1f fine pixels around it are not used",
                    image.name,
                    place,
                    one.radius,
                    kind="damaged_core",
                )
            else:
                data -= one.excess * _at(own, x - one.x, y - one.y)
                warn(
                    log,
                    "%s: a source at %s is %.3f times as bright as in the cube (variable, or "
                    "saturated in the cube); it is given the brightness of the cube",
                    image.name,
                    place,
                    one.gain,
                    kind="varied_source",
                )
        mended[-1] = replace(image, data=data, good=good)
        count += len(found)
    return mended, count


def _confirmed(one, index, every):
    """Whether another image has the same source as much brighter, or it varied by far."""
    if len(every) == 1:
        return abs(np.log(max(one.gain, np.finfo(float).tiny))) > _FAR
    return any(
        not other.radius
        and np.hypot(other.x - one.x, other.y - one.y) < _ASTRAY
        and one.gain > 0
        and other.gain > 0
        and abs(np.log(other.gain / one.gain)) < _LIKEWISE
        for number, found in enumerate(every)
        if number != index
        for other in found
    )


def find_disagreements(image, synthetic, *, psf_image, psf_cube, factor, alike=False):
    """
    Find point sources of which an image has more or less light than the cube.

    Parameters
    ----------
    image : array (d h, d w)
        The image on the fine grid, aligned; NaN where there are no data.
    synthetic : array (h, w)
        The cube seen through the filter of the image; NaN where there are no data.
    psf_image, psf_cube : array (m, m)
        PSFs of both in the band, on the fine grid, unit sum, odd size.
    factor : int
        Fine pixels per spaxel, d.
    alike : bool, optional
        Whether image and cube must be alike elsewhere, as if it is not known that they show the
        same.

    Returns
    -------
    list of Disagreement
        The sources.

    Notes
    -----
    The cube is compared with the image at its resolution, up to a scale and a level, in sums over
    squares of 5 spaxels. Where they differ, a PSF on a sloping ground is fitted to cube and image.
    If the image shows a source of the shape of its PSF, the source itself has another brightness.
    Else its core is damaged (saturated, clipped, zero). Of the radii of such a core, the smallest
    is taken for which the PSF, fitted to the wings without it, says what the cube sees.
    """
    comparison = _Comparison(synthetic, matching_kernel(psf_image, psf_cube, factor), factor)
    line = comparison.line(image)
    if line is None or not 1 / CALIBRATED < line[0] < CALIBRATED:
        return []
    difference, sums, scatter = comparison.sums(image, line)
    if alike and not comparison.alike(image, difference):
        return []
    found = []
    for row, column in _peaks(sums, scatter, difference, synthetic):
        # The cube has all of the source.
        centre = _centre(difference, row, column, factor)
        seen = comparison.fitted(psf_cube, centre)
        if seen is None:
            continue
        place, flux = seen
        if _lacks_data(image, place) or any(_apart(place, one) < _ASTRAY for one in found):
            continue
        whole = _Star.fitted(image, psf_image, place, -np.inf)
        if whole and whole.sound(image):
            flux = flux / line[0]
            if abs(np.log(whole.flux / flux)) > _PART:
                gain, excess = whole.flux / flux, whole.flux - flux
                found.append(Disagreement(whole.x, whole.y, 0.0, gain, excess))
            continue
        # Where wings do not tell, as around what is no star, all that differs is left out.
        damage = Disagreement(*centre, _RADII[-1], np.nan)
        for trial in _RADII:
            wings = _Star.fitted(image, psf_image, centre, trial)
            if wings is None:
                continue
            _, now, _ = comparison.sums(wings.filled(image, centre, trial), line)
            if abs(now[row, column]) < _LEFT * abs(sums[row, column]):
                damage = Disagreement(*centre, trial, np.nan)
                break
        found.append(damage)
    return found


def _apart(place, one):
    return np.hypot(place[0] - one.x, place[1] - one.y)


def _lacks_data(image, place):
    """Whether the core has no data anyway."""
    rows, columns = np.indices(image.shape)
    inside = np.hypot(columns - place[0], rows - place[1]) < _MISSING
    return not np.isfinite(image[inside]).all()


class _Comparison:
    """The image at the resolution of the cube against the cube."""

    def __init__(self, synthetic, kernel, factor):
        self.synthetic, self.kernel, self.factor = synthetic, kernel, factor

    def matched(self, image):
        total, share = blur_with_gaps(image, self.kernel)
        seen = sample_spaxels(total / np.maximum(share, 1e-6), self.factor)
        used = np.isfinite(self.synthetic) & (sample_spaxels(share, self.factor) > _COMPLETE)
        return seen, used

    def line(self, image):
        """Scale and level (cube over image); None if too little can be compared."""
        seen, used = self.matched(image)
        if np.count_nonzero(used) < _FEWEST:
            return None
        found = robust_line(seen[used], self.synthetic[used], 0.0)
        return None if found is None else (found.slope, found.level)

    def fitted(self, psf, place):
        """Position and flux of the source that the cube shows around a place, or None."""
        rows, columns = (
            self.factor * one + (self.factor - 1) / 2 for one in np.indices(self.synthetic.shape)
        )
        reach = max(_STAMP, (_BOX / 2 + 1) * self.factor)
        near = np.hypot(columns - place[0], rows - place[1]) < reach
        near &= np.isfinite(self.synthetic)
        if np.count_nonzero(near) < _FEWEST:
            return None
        found = _fit(self.synthetic[near], columns[near], rows[near], psf, place, _ASTRAY)
        return None if found is None else (found[0], float(found[1][0]))

    def alike(self, image, difference):
        """Whether image and cube are alike, a few places aside."""
        _, used = self.matched(image)
        one, other = difference[used], self.synthetic[used]
        spread = np.median(np.abs(other - np.median(other)))
        return np.median(np.abs(one - np.median(one))) < _ALIKE * spread

    def sums(self, image, line):
        """Cube minus image (h, w), its sums over squares, and their robust scatter."""
        seen, used = self.matched(image)
        difference = np.where(used, self.synthetic - line[0] * (seen - line[1]), 0.0)
        sums = ndimage.uniform_filter(difference, _BOX, mode="constant") * _BOX**2
        scatter = 1.4826 * np.median(np.abs(sums[used])) if used.any() else 0.0
        return difference, np.where(used, sums, 0.0), scatter


def _peaks(sums, scatter, difference, synthetic):
    """Spaxels (row, column) in whose surroundings there is more or less light, the worst first."""
    size = np.abs(sums)
    peaks = (size == ndimage.maximum_filter(size, _BOX)) & (size > _SIGNIFICANT * scatter)
    filled = np.nan_to_num(synthetic)
    ground = ndimage.percentile_filter(filled, 30, size=2 * _BOX + 1)
    contrast = ndimage.uniform_filter(np.maximum(filled - ground, 0), _BOX) * _BOX**2
    other = np.maximum(filled - difference - ground, 0)
    contrast = np.maximum(contrast, ndimage.uniform_filter(other, _BOX) * _BOX**2)
    peaks &= size > _PART * contrast
    places = np.argwhere(peaks)
    return places[np.argsort(-size[peaks])][:_MOST]


def _centre(difference, row, column, factor):
    """Place (x, y) of the difference around a spaxel, fine pixels."""
    half = _BOX // 2
    rows = slice(max(row - half, 0), row + half + 1)
    columns = slice(max(column - half, 0), column + half + 1)
    part = difference[rows, columns]
    part = np.maximum(part * np.sign(part.sum()), 0) ** 2
    y, x = np.indices(part.shape)
    total = max(part.sum(), np.finfo(float).tiny)
    y, x = rows.start + (y * part).sum() / total, columns.start + (x * part).sum() / total
    return factor * x + (factor - 1) / 2, factor * y + (factor - 1) / 2


@dataclass(frozen=True)
class _Star:
    """A PSF on a sloping ground, fitted to an image around a place."""

    x: float
    y: float
    flux: float
    ground: tuple
    psf: np.ndarray
    shape: tuple

    @classmethod
    def fitted(cls, image, psf, place, radius):
        """Fit outside a core; None if there are not enough data."""
        rows, columns = np.indices(image.shape)
        distance = np.hypot(columns - place[0], rows - place[1])
        # One set of pixels for all positions, so that their misfits can be compared.
        used = (distance < _STAMP) & (distance > radius + 1) & np.isfinite(image)
        if np.count_nonzero(used) < _FEWEST:
            return None
        found = _fit(image[used], columns[used], rows[used], psf, place, _NEAR)
        if found is None:
            return None
        at, (flux, level, slope_x, slope_y) = found
        ground = (level, slope_x, slope_y, *place)
        return cls(*(float(one) for one in at), float(flux), ground, psf, image.shape)

    def _pixels(self, place, radius):
        rows, columns = np.indices(self.shape)
        inside = np.hypot(columns - place[0], rows - place[1]) < radius
        return inside, columns[inside], rows[inside]

    def _model(self, x, y):
        level, slope_x, slope_y, x0, y0 = self.ground
        ground = level + slope_x * (x - x0) + slope_y * (y - y0)
        return self.flux * _at(self.psf, x - self.x, y - self.y), ground

    def sound(self, image):
        """Whether the core has the shape of the PSF."""
        inside, x, y = self._pixels((self.x, self.y), _RADII[0])
        light, ground = self._model(x, y)
        seen = np.isfinite(image[inside])
        left = (image[inside] - ground - light)[seen]
        return np.linalg.norm(left) < _UNLIKE * np.linalg.norm(light[seen])

    def filled(self, image, place, radius):
        """Image with a core replaced."""
        inside, x, y = self._pixels(place, radius)
        image = image.copy()
        image[inside] = sum(self._model(x, y))
        return image


def _fit(values, x, y, psf, place, astray):
    """Position, and flux and ground, of a PSF on a sloping ground; None if it is not bright."""
    best, middle = None, place
    for reach, step in ((astray, _STEP), (_STEP, _FINE_STEP)):
        steps = np.arange(-reach, reach + step / 2, step)
        for dx, dy in product(steps, steps):
            at = middle[0] + dx, middle[1] + dy
            light = _at(psf, x - at[0], y - at[1])
            matrix = np.stack([light, np.ones(x.size), x - place[0], y - place[1]], -1)
            solution, misfit, rank, _ = np.linalg.lstsq(matrix, values, rcond=None)
            if rank == len(solution) and solution[0] > 0 and misfit.size:
                best = min(best or (np.inf,), (misfit[0], at, solution), key=lambda one: one[0])
        if best is None:
            return None
        middle = best[1]
    return best[1:]


def _at(psf, x, y):
    """PSF at distances from its middle, pixels."""
    middle = psf.shape[0] // 2
    return ndimage.map_coordinates(psf, [y + middle, x + middle], order=3, mode="constant")
