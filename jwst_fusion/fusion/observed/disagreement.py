"""Point sources of which images and cube disagree: damaged cores, and sources that varied."""

import logging
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from jwst_fusion.fusion.observed.background import robust_line
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
# Fine pixels: radius of the stamps in which a PSF is fitted, distance up to which the position may
# be wrong, and step of its search.
_STAMP, _ASTRAY, _STEP = 10.0, 3.0, 0.5
# Radii (fine pixels) of cores that may be damaged, the smallest first. Resampling spreads what is
# wrong with a pixel over its neighbours.
_RADII = (2.5, 3.5, 4.5, 6.0)
# Light of a core over what the wings say below which it is damaged: PSFs are never that wrong.
_DAMAGED = 0.8
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
    for index, (image, response) in enumerate(zip(images, responses, strict=True)):
        mended.append(image)
        known = np.isfinite(aligned.errors[index])
        if known and left[index] > _ALIGNED:
            continue
        nodes = response @ psf.weights
        own = np.tensordot(nodes, psf.image, axes=1)
        found = find_disagreements(
            aligned.data[index],
            synthetic_image(cube, response),
            psf_image=own,
            psf_cube=np.tensordot(nodes, psf.cube, axes=1),
            factor=grid.factor,
            alike=not known,
        )
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
    squares of 5 spaxels. Where they differ, a PSF on a sloping ground is fitted to the image
    without the core. If the core has less light than its wings say, it is damaged (saturated,
    clipped, zero); of the radii of such a core, the smallest is taken for which the wings say what
    the cube sees. If the core agrees with its wings, the source itself has another brightness.
    """
    comparison = _Comparison(synthetic, matching_kernel(psf_image, psf_cube, factor), factor)
    line = comparison.line(image)
    if line is None:
        return []
    difference, sums, scatter = comparison.sums(image, line)
    if alike and not comparison.alike(image, difference):
        return []
    found = []
    for row, column in _peaks(sums, scatter, line, difference, synthetic):
        place = _centre(difference, row, column, factor)
        fit = _Star.fitted(image, psf_image, place, _RADII[0])
        if fit is None or any(np.hypot(fit.x - o.x, fit.y - o.y) < _ASTRAY for o in found):
            continue
        if fit.core(image, _RADII[0]) > _DAMAGED:
            whole = _Star.fitted(image, psf_image, place, -np.inf)
            varied = whole and _varied(comparison, whole, image, line, (row, column))
            found += [varied] if varied else []
            continue
        radius = _RADII[-1]
        for trial in _RADII:
            wings = _Star.fitted(image, psf_image, place, trial)
            if wings is None:
                continue
            _, now, _ = comparison.sums(wings.filled(image, trial), line)
            if abs(now[row, column]) < _LEFT * abs(sums[row, column]):
                radius, fit = trial, wings
                break
        found.append(Disagreement(fit.x, fit.y, radius, np.nan))
    return found


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


def _peaks(sums, scatter, line, difference, synthetic):
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
        best, steps = None, np.arange(-_ASTRAY, _ASTRAY + _STEP / 2, _STEP)
        rows, columns = np.indices(image.shape)
        distance = np.hypot(columns - place[0], rows - place[1])
        near = distance < _STAMP
        # One set of pixels for all positions, so that their misfits can be compared.
        used = near & (distance > radius + 1) & np.isfinite(image)
        if np.count_nonzero(used) < _FEWEST:
            return None
        x, y, target = columns[used], rows[used], image[used]
        for dy in steps:
            for dx in steps:
                at = place[0] + dx, place[1] + dy
                light = _at(psf, x - at[0], y - at[1])
                matrix = np.stack([light, np.ones(x.size), x - place[0], y - place[1]], -1)
                solution, misfit, rank, _ = np.linalg.lstsq(matrix, target, rcond=None)
                if rank < 4 or solution[0] <= 0:
                    continue
                if best is None or misfit[0] < best[0]:
                    best = misfit[0], at, solution
        if best is None:
            return None
        _, at, (flux, level, slope_x, slope_y) = best
        ground = (level, slope_x, slope_y, *place)
        return cls(*(float(one) for one in at), float(flux), ground, psf, image.shape)

    def _pixels(self, radius):
        rows, columns = np.indices(self.shape)
        inside = np.hypot(columns - self.x, rows - self.y) < radius
        return inside, columns[inside], rows[inside]

    def _model(self, x, y):
        level, slope_x, slope_y, x0, y0 = self.ground
        ground = level + slope_x * (x - x0) + slope_y * (y - y0)
        return self.flux * _at(self.psf, x - self.x, y - self.y), ground

    def core(self, image, radius):
        """Light of the core over what the wings say; 0 where there are no data."""
        inside, x, y = self._pixels(radius)
        light, ground = self._model(x, y)
        seen = np.where(np.isfinite(image[inside]), image[inside] - ground, 0.0)
        return float(seen.sum() / light.sum())

    def filled(self, image, radius):
        """Image with the core replaced."""
        inside, x, y = self._pixels(radius)
        image = image.copy()
        image[inside] = sum(self._model(x, y))
        return image

    def unit(self):
        """Image (d h, d w) of a source of unit flux at the place."""
        rows, columns = np.indices(self.shape)
        return _at(self.psf, columns - self.x, rows - self.y)


def _at(psf, x, y):
    """PSF at distances from its middle, pixels."""
    middle = psf.shape[0] // 2
    return ndimage.map_coordinates(psf, [y + middle, x + middle], order=3, mode="constant")


def _varied(comparison, star, image, line, spaxel):
    """A source with another brightness than in the cube; None if the cube does not tell."""
    # A few pixels without data, left out of the smoothed image, would make the source fainter.
    whole = np.where(np.isfinite(image), image, star.filled(image, _STAMP))
    difference, *_ = comparison.sums(whole, line)
    unit = star.unit()
    seen, _ = comparison.matched(unit)
    half = _BOX // 2
    part = tuple(slice(max(at - half, 0), at + half + 1) for at in spaxel)
    template = line[0] * seen[part]
    power = np.sum(template**2)
    if not power > 0:
        return None
    missing = np.sum(template * difference[part]) / power
    flux = star.flux + missing
    if not flux > 0:
        return None
    return Disagreement(star.x, star.y, 0.0, float(star.flux / flux), float(-missing))
