"""Find point sources in images: what fits the PSF, stands out of the noise and of its place."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from photutils.detection import find_peaks
from scipy import ndimage

from jwst_fusion.fusion.sources.holes import holes
from jwst_fusion.fusion.sources.matched_filter import (
    amplitude_map,
    background_terms,
    expected_peaks,
    significance,
)
from jwst_fusion.fusion.sources.point_fit import PointFit, Stamps, fit_point
from jwst_fusion.fusion.sources.psf_shapes import PsfShape, filter_psfs
from jwst_fusion.fusion.sources.source_list import SourceList

__all__ = ["find_in_images", "find_sources"]

log = logging.getLogger(__name__)

_WINDOW = 2.0  # widths of the PSF: radius of the window in which a source is fitted
_ROUNDS = 4  # searches, each in what the sources of those before leave
_SWEEPS = 3  # fits of every source with all others subtracted
_FOLLOWS = 6.0  # widths of the PSF: within, sources are fitted again when one changes
_STILL = 0.01  # pixel, moves that are not followed
_PRESELECTED = 0.7  # of the level that a source must reach, at whole pixels
_CLOSE = 0.7  # widths of the PSF: nearer sources are not told apart
_REACH = 1.2  # widths of the PSF: a fit that ends farther away has found something else
_AROUND = (1.2, 5.0)  # widths of the PSF: ring in which structure is measured
_QUANTILE, _NORMAL_QUANTILE = 0.9, 1.645  # of absolute values; that of a normal variable
_MISFIT = 0.9  # variance in the window that no point source explains, over that which it does
_WIDER = 0.3  # variance of a source beyond that of the PSF, over that of the PSF
_SEEN = 0.7  # part of the window that the image must have for the shape to be told
_SHARPER = 0.5  # variance by which a source is narrower than the PSF, over that of the PSF
# The PSF is known to this part of its light in a pixel: less beside another source is not believed.
_PSF_ERROR = 0.15
_CORE = 0.6  # widths of the PSF: radius of a hole that leaves only the wings
# How well the centre of a PSF is known when its wavefront is not exact, in its widths.
_PSF_CENTRE = 0.008
_SIGMA = 1 / 2.3548  # of a Gaussian of unit full width at half maximum


def find_sources(data, *, false_alarms=0.1, most=200, known=None):
    """
    Find point sources in the images of a fusion.

    Parameters
    ----------
    data : FusionData
        Images, their errors and PSFs.
    false_alarms : float
        Expected number of sources in the field that are noise.
    most : int
        Largest number of sources, the most significant ones.
    known : SourceList, optional
        Sources that are there; others are found beside them.

    Returns
    -------
    SourceList
        Those found, the most significant first, without the known ones.

    Raises
    ------
    ValueError
        If an option is not allowed.
    """
    return find_in_images(
        data.images,
        data.image_weight / data.image_sigma[:, None, None] ** 2,
        filter_psfs(data),
        false_alarms=false_alarms,
        most=most,
        known=known,
    )


def find_in_images(
    images, inverse_variance, psfs, *, false_alarms=0.1, most=200, known=None, light=None
):
    """
    Find point sources in images of one field through several filters.

    A source is where a point source with a smooth (quadratic) background is significant in all
    images together, where it stands out of what the same fit shows around it, where nothing else of
    its strength is left over, and where no wider profile fits better. The images are searched again
    after the light of the sources that were found is subtracted.

    Parameters
    ----------
    images : ndarray (F, Y, X)
        Images, NaN where there are no data.
    inverse_variance : ndarray (F, Y, X)
        Inverse variance of independent pixels, 0 where there are no data.
    psfs : ndarray (F, m, m)
        Their PSFs, odd size, centred, unit sum.
    false_alarms : float
        Expected number of sources in the field that are noise.
    most : int
        Largest number of sources, the most significant ones.
    known : SourceList, optional
        Sources that are there; others are found beside them.
    light : ndarray (F, Y, X), optional
        Light of point sources that the images do not show any more because it was subtracted;
        companions that are faint beside it are not believed.

    Returns
    -------
    SourceList
        Those found, the most significant first, without the known ones.

    Raises
    ------
    ValueError
        If an option is not allowed.
    """
    if not false_alarms > 0:
        msg = f"false_alarms must be a positive number, got {false_alarms!r}"
        raise ValueError(msg)
    if most < 1:
        msg = f"most must be at least 1, got {most!r}"
        raise ValueError(msg)
    field = _Field.of(images, inverse_variance, psfs, light)
    pixels = int(np.count_nonzero(np.any(field.weights > 0, axis=0)))
    if pixels == 0:
        return SourceList.empty()
    sharpest = min(range(len(psfs)), key=lambda one: field.shapes[one].fwhm)
    level = expected_peaks(false_alarms, pixels, psfs[sharpest], field.radii[sharpest])
    search = _Search(field=field, level=level, most=most)
    if known is not None and len(known):
        search.add_known(known)
    for number in range(_ROUNDS):
        if not search.round(first=number == 0):
            break
    return search.sources()


@dataclass
class _Field:
    """Images with what is needed to fit sources in them."""

    images: np.ndarray
    weights: np.ndarray
    psfs: np.ndarray
    shapes: list
    radii: list
    light: np.ndarray
    places: list

    @classmethod
    def of(cls, images, inverse_variance, psfs, light):
        images = np.asarray(images, float)
        weights = np.where(np.isfinite(images), np.asarray(inverse_variance, float), 0.0)
        images = np.where(weights > 0, images, 0.0)
        shapes = [PsfShape(psf) for psf in psfs]
        dark, places = holes(images, weights, [shape.fwhm for shape in shapes])
        # pixels beside those of a saturated core are not to be trusted
        dark = np.array([ndimage.binary_dilation(one) for one in dark])
        reach = len(psfs[0]) // 2
        return cls(
            images=images,
            weights=np.where(dark, 0.0, weights),
            psfs=np.asarray(psfs),
            shapes=shapes,
            radii=[min(max(3, round(_WINDOW * shape.fwhm)), reach) for shape in shapes],
            light=np.zeros(images.shape) if light is None else np.array(light, float),
            places=places,
        )

    @property
    def width(self):
        """Width of the sharpest PSF, pixels."""
        return min(shape.fwhm for shape in self.shapes)

    def stamp(self, x, y):
        """Pixels around a source that its PSFs reach: a box, and the PSFs there."""
        reach = self.shapes[0].reach
        rows, columns = (
            np.arange(max(round(at) - reach, 0), min(round(at) + reach + 1, size))
            for at, size in zip((y, x), self.images.shape[1:], strict=True)
        )
        box = (slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        return box, np.array([shape(rows - y, columns - x)[0] for shape in self.shapes])


@dataclass
class _Source:
    """A source or a candidate for one."""

    x: float
    y: float
    flux: np.ndarray
    hole: float = 0.0  # radius of the saturated core, pixels
    name: str = ""
    given: bool = False
    fit: PointFit | None = None
    stamp: tuple | None = None  # where its light was taken from, and that light
    significance: float = np.nan
    contrast: float = np.inf  # ratio to the structure around it


class _Search:
    """Sources of a field and what is left of its images without them."""

    def __init__(self, field, level, most):
        self.field, self.level, self.most = field, level, most
        self.left = field.images.copy()
        self.light = field.light.copy()
        self.found = []
        self.refused = []
        self.ratios = None
        self._follows = _FOLLOWS * field.width
        self._full_freedom = [
            np.count_nonzero(background_terms(radius)[0]) - 7 for radius in field.radii
        ]

    def add_known(self, known):
        for x, y, name in zip(known.x, known.y, known.name, strict=True):
            ny, nx = self.field.images.shape[1:]
            if -0.5 <= x < nx - 0.5 and -0.5 <= y < ny - 0.5:
                source = _Source(x, y, np.zeros(len(self.left)), name=name, given=True)
                self._fit(source)
                self._take(source)
                self.found.append(source)
        self._sweep(self.found)

    def round(self, *, first):
        """Search once; return whether there was something new."""
        self.ratios = self._maps()
        candidates = self._holes() if first else []
        candidates += self._peaks(candidates)
        if not candidates:
            return False
        for source in candidates:
            self._fit(source)
            self._take(source)
        self._sweep(self.found + candidates, candidates)
        shaped = self._passed(candidates, self._looks_like_a_point)
        # what is left now has neither the sources nor holes where there were none
        self.ratios = self._maps()
        kept = self._passed(shaped, self._stands_out)
        self.found += kept
        # what was put back is light that others had not seen
        self._sweep(self.found, candidates)
        # some are what others seemed to leave
        own = [one for one in self.found if not one.given]
        held = self._passed(self._passed(own, self._looks_like_a_point), self._stands_out)
        self.found = [one for one in self.found if one.given or one in held]
        return bool(kept)

    def sources(self):
        """Return the list of what was found."""
        found = [one for one in self.found if not one.given]
        found = sorted(found, key=lambda one: -one.significance)[: self.most]
        errors = [self._errors(one) for one in found]
        return SourceList(
            x=np.array([one.x for one in found], float),
            y=np.array([one.y for one in found], float),
            x_error=np.array([one[0] for one in errors], float),
            y_error=np.array([one[1] for one in errors], float),
            significance=np.array([one.significance for one in found], float),
            name=np.array([f"source-{number}" for number in range(1, len(found) + 1)], str),
            given=np.zeros(len(found), bool),
        )

    def _errors(self, source):
        """Errors of a position, larger by what the noise does not explain."""
        fit = source.fit
        excess = max(1.0, fit.chi2.sum() / max(fit.freedom.sum(), 1))
        # structure hides a source as noise of the same ratio would
        excess = max(excess, 1 + np.sum(np.maximum(fit.ratios, 0) ** 2) / source.contrast**2)
        floor = _PSF_CENTRE * self.field.width
        return np.sqrt(np.diag(fit.covariance) * excess + floor**2)

    def _maps(self):
        field = self.field
        maps = [
            amplitude_map(*one)
            for one in zip(self.left, field.weights, field.psfs, field.radii, strict=True)
        ]
        amplitude, error = (np.array(one) for one in zip(*maps, strict=True))
        return amplitude / error

    def _holes(self):
        return [
            _Source(x, y, np.zeros(len(self.left)), hole=radius)
            for x, y, radius in self.field.places
            if not self._near(x, y, self.found, self.field.width + radius)
        ]

    def _peaks(self, others):
        """Candidates at the peaks of the combined map, the most significant first."""
        combined = significance(self.ratios)
        threshold = _PRESELECTED * self.level
        if not np.any(combined > threshold):
            return []
        peaks = find_peaks(combined, threshold, box_size=3)
        peaks.sort("peak_value", reverse=True)
        close = _CLOSE * self.field.width
        chosen = []
        for x, y in zip(peaks["x_peak"], peaks["y_peak"], strict=True):
            near_hole = any(np.hypot(x - one.x, y - one.y) < one.hole + close for one in others)
            if near_hole or self._near(x, y, self.found + chosen, close):
                continue
            if self._near(x, y, self.refused, 1.0):
                continue
            if self._weigh(x, y, self.ratios[:, y, x])[0] < threshold:
                continue
            chosen.append(_Source(float(x), float(y), np.zeros(len(self.left))))
            if len(chosen) == 2 * self.most:
                break
        return chosen

    def _lost(self, source):
        """Whether the core is missing, so that only the wings tell of the source."""
        return source.hole > _CORE * self.field.width

    def _near(self, x, y, sources, distance):
        return any(np.hypot(x - one.x, y - one.y) < distance for one in sources)

    def _surroundings(self, x, y):
        """Deviations of the map around a position beyond the noise, per image (F,)."""
        inner, outer = (one * self.field.width for one in _AROUND)
        half = int(np.ceil(outer))
        rows, columns = (
            np.arange(max(round(at) - half, 0), min(round(at) + half + 1, size))
            for at, size in zip((y, x), self.ratios.shape[1:], strict=True)
        )
        distance = np.hypot(rows[:, None] - y, columns - x)
        ring = self.ratios[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        ring = ring[:, (distance >= inner) & (distance <= outer)]
        scale = np.quantile(np.abs(ring), _QUANTILE, axis=1) / _NORMAL_QUANTILE
        return np.sqrt(np.maximum(scale**2 - 1, 0))

    def _weigh(self, x, y, ratios):
        """
        Significance against noise and structure, and the ratio to the structure alone.

        Structure is common to all images, so that more of them do not make it less: it counts by
        its mean.
        """
        power = np.maximum(ratios, 0) ** 2
        total = power.sum()
        if total == 0:
            return 0.0, 0.0
        structure = np.sum(power * self._surroundings(x, y) ** 2) / total
        share = structure / total
        strength = float(significance(ratios))
        return strength / np.sqrt(1 + share * strength**2), np.sqrt(1 / max(share, 1e-30))

    def _take(self, source):
        """Take the light of a source out of what is left of the images."""
        box, psf = self.field.stamp(source.x, source.y)
        source.stamp = box, source.flux[:, None, None] * psf
        self.left[box] -= source.stamp[1]
        self.light[box] += source.stamp[1]

    def _put_back(self, source):
        box, light = source.stamp
        self.left[box] += light
        self.light[box] -= light

    def _fit(self, source, *, steps=8):
        field = self.field
        extra = int(np.ceil(source.hole))
        radii = [
            min(radius + extra, source_shape.reach)
            for radius, source_shape in zip(field.radii, field.shapes, strict=True)
        ]
        stamps = Stamps.cut(
            self.left,
            field.weights,
            field.shapes,
            x=source.x,
            y=source.y,
            radii=radii,
            linear=self._lost(source),
        )
        reach = _REACH * field.width + source.hole
        fit = fit_point(stamps, source.x, source.y, reach=reach, move=not source.given, steps=steps)
        source.fit, source.x, source.y = fit, fit.x, fit.y
        source.flux = np.where(np.isfinite(fit.error), fit.flux, 0.0)

    def _sweep(self, sources, changed=None):
        """
        Fit each source with all others subtracted, until none changes by more than its noise.

        Those that `changed`, by default all, are where it begins; others follow if they are near
        one that changes.
        """
        order = sorted(sources, key=lambda one: -one.flux.sum())
        moved = order if changed is None else changed
        for _ in range(_SWEEPS):
            near = [one for one in order if self._near(one.x, one.y, moved, self._follows)]
            moved = []
            for source in near:
                x, y, flux = source.x, source.y, source.flux
                self._put_back(source)
                self._fit(source, steps=2)
                self._take(source)
                change = np.abs(source.flux - flux) / source.fit.error
                if np.hypot(source.x - x, source.y - y) > _STILL or change.max() > 0.5:
                    moved.append(source)
            if not moved:
                return

    def _passed(self, sources, test):
        """Sources that pass a test; the light of others is put back."""
        kept = []
        for source in sorted(sources, key=lambda one: -one.flux.sum()):
            if test(source, kept):
                kept.append(source)
            else:
                self._put_back(source)
                self.refused.append(source)
        return kept

    def _looks_like_a_point(self, source, kept):
        """Whether a source is significant, fits the PSF, and is no flaw of that of another."""
        fit, field = source.fit, self.field
        ny, nx = field.images.shape[1:]
        if not fit.converged or not (-0.5 <= source.x < nx - 0.5 and -0.5 <= source.y < ny - 0.5):
            return False
        best = int(np.argmax(fit.ratios))
        seen = fit.freedom[best] / self._full_freedom[best]
        if (seen < _SEEN and not source.hole) or significance(fit.ratios) < self.level:
            return False
        power = np.sum(np.maximum(fit.ratios, 0) ** 2)
        freedom = fit.freedom.sum()
        excess = fit.chi2.sum() - freedom - 2 * np.sqrt(2 * freedom)
        if excess > _MISFIT * power:
            return False
        width = (_SIGMA * field.width) ** 2
        narrowest, widest = np.linalg.eigvalsh(fit.spread)
        if not self._lost(source) and (
            widest > _WIDER * width + fit.spread_error
            or narrowest < -_SHARPER * width - 3 * fit.spread_error
        ):
            return False
        others = [one for one in self.found + kept if one is not source]
        if self._near(source.x, source.y, others, _CLOSE * field.width):
            return False
        # an error of the PSF moves its light by as much as it is wide
        row, column, reach = round(source.y), round(source.x), round(field.width / 2)
        box = (
            best,
            slice(max(row - reach, 0), row + reach + 1),
            slice(max(column - reach, 0), column + reach + 1),
        )
        ((_, rows, columns), own) = source.stamp
        alone = self.light[box].copy()
        at_rows = np.arange(*box[1].indices(ny)) - rows.start
        at_columns = np.arange(*box[2].indices(nx)) - columns.start
        alone -= own[best][np.ix_(at_rows, at_columns)]
        return source.flux[best] * field.shapes[best].peak > _PSF_ERROR * alone.max()

    def _stands_out(self, source, _):
        """Whether a source stands out of what the same fit shows around it."""
        found = self._weigh(source.x, source.y, source.fit.ratios)
        source.significance, source.contrast = found
        return source.significance > self.level
