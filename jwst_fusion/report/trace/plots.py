"""Plots of a report on an exposure with a trace model."""

import numpy as np

from jwst_fusion.report.picture import (
    COLOURS,
    MAP,
    MISSING,
    Picture,
    asinh_stretch,
    new_figure,
    plain_ticks,
)

__all__ = ["profile_picture", "slice_picture", "spectrum_picture", "wiggle_picture"]

_WAVE = "wavelength [µm]"
# Residuals are shown from minus to plus this many errors.
_SIGMA = 5.0
# Half of the rows that are shown around a trace.
_ROWS = 7


def _axis_of(one):
    """Wavelengths of the columns, or their numbers where none is known."""
    known = np.isfinite(one.wavelength)
    if known.sum() < 2:
        return np.arange(len(one.wavelength)), "column"
    index = np.arange(len(known))
    return np.interp(index, index[known], one.wavelength[known]), _WAVE


def wiggle_picture(one, pair, *, name="wiggles"):
    """
    Show the wiggles of spectra near the peak, before and after.

    Parameters
    ----------
    one : `~jwst_fusion.report.trace.slices.TracedSlice`
        The slice.
    pair : tuple of `~jwst_fusion.metrics.wiggles.Wiggles`
        Before and after.
    name : str, optional
        First part of the name of the file.

    Returns
    -------
    Picture
        Two plots of the ratio over wavelength or column: before and after.
    """
    wave, label = _axis_of(one)
    figure, axes = new_figure(height=1.15, rows=2)
    reach = 1.3 * max(np.nanpercentile(np.abs(w.ratio - 1), 99) for w in pair) + 1e-4
    for axis, wiggles, when, colour in zip(
        axes, pair, ("before", "after"), ("cube", "fused"), strict=True
    ):
        axis.axhline(1, color=COLOURS["faint"], lw=0.8)
        for ratio in wiggles.ratio:
            axis.plot(wave, ratio, color=COLOURS[colour], lw=0.7, alpha=0.8)
        axis.set_ylim(1 - reach, 1 + reach)
        axis.set_ylabel(when, fontsize=10)
        axis.set_title(f"half-amplitude {100 * wiggles.mean:.2f} %", fontsize=9, loc="right")
    axes[0].set_title(f"slice {one.name}", fontsize=11, loc="left")
    axes[1].set_xlabel(label, fontsize=10)
    return Picture(
        f"{name}_{_file(one)}",
        figure,
        f"Spectra near the peak of slice {one.name} over that of an aperture, before and after.",
        wide=True,
    )


def spectrum_picture(one, unit):
    """
    Show spectra at the peak and half a pixel beside it, before and after.

    Parameters
    ----------
    one : `~jwst_fusion.report.trace.slices.TracedSlice`
        The slice.
    unit : str
        Unit of the flux; may be empty.

    Returns
    -------
    Picture
        Two plots over wavelength or column: at the peak and half a pixel beside it.
    """
    wave, label = _axis_of(one)
    figure, axes = new_figure(height=1.15, rows=2)
    for axis, offset, text in zip(axes, (0.0, 0.5), ("peak", "half a pixel beside"), strict=True):
        place = one.peak + offset * one.pitch
        before, after = (one.spectrum(place, oversampled=flag) for flag in (False, True))
        axis.plot(wave, before, color=COLOURS["cube"], lw=0.8, label="before")
        axis.plot(wave, after, color=COLOURS["fused"], lw=0.8, label="after")
        values = np.concatenate([before, after])
        values = values[np.isfinite(values)]
        if values.size:
            low, high = np.percentile(values, [0.5, 99.5])
            room = 0.2 * (high - low) + 1e-12
            axis.set_ylim(low - room, high + room)
        axis.set_title(text, fontsize=9, loc="right")
        axis.set_ylabel(unit or "flux", fontsize=10)
    axes[0].set_title(f"slice {one.name}", fontsize=11, loc="left")
    axes[0].legend(fontsize=9, frameon=False, ncols=2)
    axes[1].set_xlabel(label, fontsize=10)
    return Picture(
        f"spectrum_{_file(one)}",
        figure,
        f"Spectra of slice {one.name} at its peak and beside it, before and after.",
        wide=True,
    )


def slice_picture(one, unit, *, name="trace"):
    """
    Show a slice around its trace: pixels, oversampled pixels, model, and residuals.

    Parameters
    ----------
    one : `~jwst_fusion.report.trace.slices.TracedSlice`
        The slice.
    unit : str
        Unit of the flux; may be empty.
    name : str, optional
        First part of the name of the file.

    Returns
    -------
    Picture
        Four images, the dispersion to the right.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    colours = colormaps[MAP].with_extremes(bad=MISSING)
    norm = asinh_stretch(one.flux, low=2, high=99.5)
    sigma = Normalize(-_SIGMA, _SIGMA)
    panels = (
        ("exposure", one.flux, one.coordinate, norm),
        ("after", one.after, one.fine, norm),
        ("model", one.model, one.fine, norm),
        ("(after − model) / σ", one.residual_sigma, one.fine, sigma),
    )
    figure, axes = new_figure(height=1.5, rows=4)
    wave, label = _axis_of(one)
    for axis, (title, image, where, stretched) in zip(axes, panels, strict=True):
        shown = axis.imshow(
            np.ma.masked_invalid(_straightened(image, where, one)),
            aspect="auto",
            origin="lower",
            norm=stretched,
            cmap=colours,
            interpolation="nearest",
            extent=(wave[0], wave[-1], -_ROWS, _ROWS),
        )
        axis.set_title(title, fontsize=9, loc="left", pad=2)
        bar = figure.colorbar(shown, ax=axis, pad=0.01, aspect=12)
        plain_ticks(bar, stretched)
        bar.ax.tick_params(labelsize=7)
    axes[-1].set_xlabel(label, fontsize=10)
    figure.supylabel("pixels from the peak", fontsize=10)
    return Picture(
        f"{name}_{_file(one)}",
        figure,
        f"Slice {one.name}: exposure, oversampled exposure, trace model, what the model lacks.",
        f"Slice {one.name}, {unit or 'flux'}, along the slit relative to the peak. Grey: no data, "
        "or the model is not used.",
        wide=True,
    )


def _straightened(image, where, one):
    """Nearest pixel at evenly spaced places along the slit, (place, column)."""
    count = int(2 * _ROWS * max(one.factor, 1) * 2) + 1
    places = one.peak + np.linspace(-_ROWS, _ROWS, count) * one.pitch
    out = np.full((count, len(image)), np.nan)
    for column, (values, known) in enumerate(zip(image, where, strict=True)):
        good = np.flatnonzero(np.isfinite(known))
        if good.size < 2:
            continue
        order = good[np.argsort(known[good])]
        index = np.interp(places, known[order], np.arange(order.size), left=-1, right=-1)
        inside = index >= 0
        out[inside, column] = values[order[np.round(index[inside]).astype(int)]]
    return out


def profile_picture(slices, unit):
    """
    Show the brightness along the slit in several slices.

    Parameters
    ----------
    slices : sequence of `~jwst_fusion.report.trace.slices.TracedSlice`
        The slices, of which three at most are shown.
    unit : str
        Unit of the flux; may be empty.

    Returns
    -------
    Picture
        A plot of the flux over native pixels from the peak.
    """
    figure, axis = new_figure()
    styles = (("fused", "-"), ("cube", "--"), ("other", ":"))
    for one, (colour, style) in zip(slices, styles, strict=False):
        places, values = one.profile
        offset = (places - one.peak) / one.pitch
        axis.plot(offset, values, style, color=COLOURS[colour], lw=1.2, label=f"slice {one.name}")
    axis.set_xlabel("pixels along the slit from the peak", fontsize=10)
    axis.set_ylabel(unit or "flux", fontsize=10)
    axis.legend(fontsize=9, frameon=False)
    return Picture(
        "profiles",
        figure,
        "Brightness along the slit of the brightest slices.",
        "Median over wavelength.",
        wide=True,
    )


def _file(one):
    return "".join(c if c.isalnum() else "_" for c in one.name).lower()
