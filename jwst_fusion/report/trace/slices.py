"""Slices before and after the trace model, and their spectra at fixed places along the slit.

Slices are (column, row) with the dispersion along the columns.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from jwst_fusion.adaptive_trace_model.compact import row_pitch
from jwst_fusion.adaptive_trace_model.interpolation import interpolate_smooth
from jwst_fusion.metrics.wiggles import measure_wiggles

__all__ = ["TracedSlice", "slices_of"]

# Offsets from the peak, in native pixels, at which spectra are taken.
_OFFSETS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
# Width, in native pixels, of the aperture whose spectrum has no wiggles.
_APERTURE = 5.0
# A spectrum needs data in this part of the columns where the source is bright.
_ENOUGH = 0.3
# Wiggles are measured where light of the source is this many sigma of a pixel, since noise of that
# size already looks like wiggles of four per cent, in at least so many columns.
_LIT, _LIT_COLUMNS = 20.0, 100
# Columns over which the signal-to-noise ratio of a spectrum is smoothed.
_SMOOTHED = 51


@dataclass(frozen=True)
class TracedSlice:
    """
    One slice or slit.

    Attributes
    ----------
    name : str
        Its number, or the name of the slit.
    flux, error, coordinate : array (column, row)
        Native pixels and their slit coordinates.
    wavelength : array (column,)
        Micrometre, at the peak.
    after, model, fine, fine_error : array (column, oversampled row)
        Oversampled flux and trace model, slit coordinates, and errors of the pixels there before.
    pitch : float
        Size of a native pixel along the slit.
    factor : float
        Oversampling factor.
    chi2 : float
        Chi-square per pixel of the fit, median of the columns, with an error of the model of 5 %;
        NaN if there is none or it is not known.
    refused : float
        Part of the places where the model would have been used that are interpolated, since
        interpolation predicts the data better there.
    """

    name: str
    flux: np.ndarray
    error: np.ndarray
    coordinate: np.ndarray
    wavelength: np.ndarray
    after: np.ndarray
    model: np.ndarray
    fine: np.ndarray
    fine_error: np.ndarray
    pitch: float
    factor: float
    chi2: float = np.nan
    refused: float = 0.0

    @cached_property
    def profile(self):
        """Median brightness along the slit: coordinates and values, half a pixel apart."""
        good = np.isfinite(self.flux) & np.isfinite(self.coordinate)
        if not good.any() or not np.isfinite(self.pitch):
            return np.zeros(0), np.zeros(0)
        step = self.pitch / 2
        first = self.coordinate[good].min()
        number = ((self.coordinate[good] - first) / step).astype(int)
        order = np.argsort(number, kind="stable")
        edges = np.flatnonzero(np.diff(number[order])) + 1
        parts = np.split(self.flux[good][order], edges)
        places = number[order][np.r_[0, edges]]
        return first + (places + 0.5) * step, np.array([np.median(part) for part in parts])

    @cached_property
    def peak(self):
        """Slit coordinate of the brightest place."""
        places, values = self.profile
        return float(places[np.argmax(values)]) if places.size else np.nan

    @cached_property
    def significance(self):
        """Brightness of the peak above the median along the slit, in sigma of a pixel."""
        _, values = self.profile
        noise = np.nanmedian(self.error) if np.isfinite(self.error).any() else np.nan
        return float((values.max() - np.median(values)) / noise) if values.size else np.nan

    @cached_property
    def used(self):
        """Part of the pixels near the peak, one native pixel to each side, with the model."""
        near = np.abs(self.fine - self.peak) <= self.pitch
        seen = near & np.isfinite(self.after)
        return float(np.mean(np.isfinite(self.model[seen]))) if seen.any() else 0.0

    @property
    def residual_sigma(self):
        """What the model lacks, on the oversampled pixels, over the errors of the exposure."""
        return (self.after - self.model) / self.fine_error

    @cached_property
    def misfit(self):
        """Median size of the residuals within two pixels of the peak; 0.67 if it is noise."""
        near = np.abs(self.fine - self.peak) <= 2 * self.pitch
        values = np.abs(self.residual_sigma[near])
        values = values[np.isfinite(values)]
        return float(np.median(values)) if values.size else np.nan

    def spectrum(self, place, *, width=1.0, oversampled=False):
        """
        Spectrum at one place along the slit, as a spaxel of a cube would have it.

        Parameters
        ----------
        place : float
            Slit coordinate.
        width : float, optional
            Width of the spaxel, native pixels.
        oversampled : bool, optional
            Whether to use the oversampled pixels.

        Returns
        -------
        array (column,)
            Mean of the pixels, weighted by how much of the spaxel each of them covers (drizzling);
            NaN where less than half of it is covered.
        """
        flux, where = (self.after, self.fine) if oversampled else (self.flux, self.coordinate)
        size = self.pitch / (self.factor if oversampled else 1.0)
        return self._mean(flux, where, size, place, width)

    def _mean(self, flux, where, size, place, width):
        """Mean of pixels of a size within a width (native pixels) around a place, (column,)."""
        half = 0.5 * width * self.pitch
        overlap = np.minimum(where + size / 2, place + half) - np.maximum(
            where - size / 2, place - half
        )
        weight = np.where(np.isfinite(flux), np.nan_to_num(np.clip(overlap, 0, size)), 0)
        total = weight.sum(1)
        values = (weight * np.nan_to_num(flux)).sum(1)
        enough = total > 0.5 * min(2 * half, np.inf)
        return np.where(enough, values / np.where(enough, total, 1), np.nan)

    @cached_property
    def lit(self):
        """Columns where the peak is far above the noise."""
        place, width = self.peak, _APERTURE
        light = self.spectrum(place, width=width)
        error = self._mean(self.error, self.coordinate, self.pitch, place, width)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = light / error
        known = np.isfinite(ratio)
        if known.any():
            ratio[known] = ndimage.median_filter(ratio[known], _SMOOTHED, mode="nearest")
        return known & (ratio > _LIT)

    def wiggles(self, *, oversampled):
        """
        Measure the wiggles of spectra around the peak, see `measure_wiggles`.

        Parameters
        ----------
        oversampled : bool
            Whether to use the oversampled pixels.

        Returns
        -------
        Wiggles or None
            Of five places up to a pixel from the peak, in columns where the source is well above
            the noise; None where there are too few. The reference is the spectrum of an aperture of
            five pixels, before.
        """
        if self.lit.sum() < _LIT_COLUMNS:
            return None
        reference = np.where(self.lit, self.spectrum(self.peak, width=_APERTURE), np.nan)
        places = self.peak + _OFFSETS * self.pitch
        spectra = [self.spectrum(place, oversampled=oversampled) for place in places]
        with np.errstate(invalid="ignore", divide="ignore"):
            known = [np.isfinite(one / reference)[self.lit].mean() > _ENOUGH for one in spectra]
        spectra = np.array([one for one, enough in zip(spectra, known, strict=True) if enough])
        if not len(spectra):
            return None
        spaxels = np.column_stack([np.zeros(len(spectra), int), np.arange(len(spectra))])
        return measure_wiggles(spectra.T[:, None], reference, spaxels)


def slices_of(exposure):
    """
    Cut an exposure into its slices.

    Parameters
    ----------
    exposure : TracedExposure
        The exposure before and after the trace model.

    Returns
    -------
    list of TracedSlice
        Those with data, the brightest first.
    """
    found = []
    for spectrum in exposure.spectra:
        several = len(spectrum.geometry.layouts) > 1
        for layout in spectrum.geometry.layouts:
            one = _cut(spectrum, layout, str(layout.label) if several else spectrum.name or "1")
            if one is not None and np.isfinite(one.peak):
                found.append(one)
    level = {id(one): np.nan_to_num(one.significance, nan=-np.inf) for one in found}
    return sorted(found, key=lambda one: -level[id(one)])


def _cut(spectrum, layout, name):
    flux = layout.cut(spectrum.flux)
    if not np.isfinite(flux).any():
        return None
    coordinate, wavelength = spectrum.geometry.coordinates(layout)
    rows, valid, position = layout.oversampled_rows(spectrum.factor)
    columns = np.broadcast_to(layout.index()[1], rows.shape)
    inside = np.minimum(rows, len(spectrum.after) - 1)
    after, model = (
        np.where(valid, image[inside, columns], np.nan).astype(float)
        for image in (spectrum.after, spectrum.model)
    )
    record = spectrum.records.get(layout.label)
    fine = interpolate_smooth(coordinate, np.isfinite(coordinate), position)
    owner = np.clip(np.round(position).astype(int), 0, flux.shape[1] - 1)
    error = layout.cut(spectrum.error)
    with np.errstate(invalid="ignore"):
        middle = np.array([np.nanmedian(w) if np.isfinite(w).any() else np.nan for w in wavelength])
    return TracedSlice(
        name=name,
        flux=flux,
        error=error,
        coordinate=coordinate,
        wavelength=middle,
        after=after,
        model=model,
        fine=np.broadcast_to(fine, after.shape),
        fine_error=np.take_along_axis(error, np.broadcast_to(owner, after.shape), axis=1),
        pitch=row_pitch(coordinate),
        factor=spectrum.factor,
        chi2=record.chi2 if record else np.nan,
        refused=record.refused if record else 0.0,
    )
