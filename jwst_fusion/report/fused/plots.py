"""Plots of spectra and of the solution in a report on a fused cube."""

import numpy as np

from jwst_fusion.report.components import stacked_spectra
from jwst_fusion.report.frame import Frame
from jwst_fusion.report.picture import COLOURS, Picture, new_figure, range_of

__all__ = [
    "channel_picture",
    "component_plot",
    "mean_spectrum_picture",
    "spectrum_picture",
    "tuning_pictures",
]

_WAVE = "wavelength [µm]"


def spectrum_picture(product, cube, place):
    """
    Show the spectrum of one pixel with its error, and that of the spaxel it lies in.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube.
    cube : `~jwst_fusion.report.fused.product.InputCube` or None
        The cube before the fusion; without it, only the fused spectrum is shown.
    place : `~jwst_fusion.report.measures.Place`
        The pixel.

    Returns
    -------
    Picture
        A plot of MJy/sr over micrometre.
    """
    figure, axis = new_figure()
    wave, y, x = product.wavelength, place.y, place.x
    spectrum, error = (np.array(one[:, y, x], float) for one in (product.data, product.err))
    before = np.full(0, np.nan)
    if cube is not None:
        before = _spaxel(product, cube, y, x)
        axis.plot(wave, before, color=COLOURS["cube"], lw=0.8, label="cube, spaxel around it")
    low, high = spectrum - error, spectrum + error
    axis.fill_between(wave, low, high, color=COLOURS["fused"], alpha=0.3, lw=0, label="± 1 σ")
    axis.plot(wave, spectrum, color=COLOURS["fused"], lw=1.1, label="fused")
    range_of(axis, spectrum, before)
    axis.set_xlabel(_WAVE, fontsize=10)
    axis.set_ylabel("MJy/sr", fontsize=10)
    axis.set_title(f"{place.letter}: {place.title}", fontsize=11)
    axis.legend(fontsize=9, frameon=False)
    right, up = Frame.of(product).place(y, x)
    ra, dec = product.wcs.all_pix2world([x], [y], 0)
    where = f'pixel x {x}, y {y}; {right:+.2f}", {up:+.2f}" from the middle'
    return Picture(
        f"spectrum_{place.letter.lower()}",
        figure,
        f"Spectrum of the pixel {place.title} with its error.",
        f"{where}; RA {ra[0]:.6f}, Dec {dec[0]:.6f}",
        wide=True,
    )


def _spaxel(product, cube, y, x):
    column, row = cube.wcs.all_world2pix(*product.wcs.all_pix2world([x], [y], 0), 0)
    at = round(float(row[0])), round(float(column[0]))
    if not all(0 <= i < size for i, size in zip(at, cube.data.shape[1:], strict=True)):
        return np.full(len(cube.data), np.nan)
    return cube.data[:, *at]


def mean_spectrum_picture(product):
    """
    Compare mean spectra, with their relative error below (Marquis et al. 2026, figure 7).

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of the channels.

    Returns
    -------
    Picture
        A plot of MJy/sr and percent over micrometre.
    """
    table, wave = product.channels, product.wavelength
    figure, (top, below) = new_figure(height=1.25, rows=2, ratios=(2, 1))
    top.plot(wave, table["mean_cube"], color=COLOURS["cube"], lw=2.4, label="cube")
    top.plot(wave, table["mean_fused"], color=COLOURS["fused"], lw=0.9, label="fused")
    top.set_ylabel("mean [MJy/sr]", fontsize=10)
    top.legend(fontsize=9, frameon=False)
    below.axhline(0, color=COLOURS["faint"], lw=0.8)
    style = {"lw": 0.9}
    fused, seen = 100 * table["spectrum_error"], 100 * table["reobserved_error"]
    below.plot(wave, fused, color=COLOURS["fused"], label="fused", **style)
    below.plot(wave, seen, color=COLOURS["other"], ls=":", label="re-observed", **style)
    range_of(below, fused, seen)
    below.set_ylabel("error [%]", fontsize=10)
    below.set_xlabel(_WAVE, fontsize=10)
    below.legend(fontsize=9, frameon=False, ncols=2)
    return Picture(
        "mean_spectrum",
        figure,
        "Mean spectra of the cube and of the fused cube, and their relative difference.",
        "Mean over the same spaxels. Re-observed: blurred to the PSF of the cube, so that light "
        "crossing the border of the field does not count.",
        wide=True,
    )


def channel_picture(product):
    """
    Show the reduced chi-square of every channel of the cube.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of the channels.

    Returns
    -------
    Picture
        A plot of the chi-square over micrometre.
    """
    figure, axis = new_figure(height=0.8)
    axis.axhline(1, color=COLOURS["faint"], lw=0.8)
    chi2 = np.asarray(product.channels["chi2"], float)
    axis.plot(product.wavelength, chi2, color=COLOURS["fused"], lw=0.8)
    known = chi2[np.isfinite(chi2)]
    if known.size and known.max() > 10 * max(np.median(known), 1e-6):
        axis.set_yscale("log")
    axis.set_xlabel(_WAVE, fontsize=10)
    axis.set_ylabel("reduced χ²", fontsize=10)
    return Picture(
        "chi2_channels",
        figure,
        "Reduced chi-square of the re-observed cube in every channel.",
        "Re-observed against input cube, channel by channel. 1 is expected if the errors are "
        "right; below it if they are overstated.",
        wide=True,
    )


def component_plot(product):
    """
    Show the spectra of the components, one above the other.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the spectra of its components.

    Returns
    -------
    list of Picture
        One plot; none if the product has no such spectra.
    """
    spectra = product.arrays.get("spectra")
    if spectra is None:
        return []
    noise = np.asarray(product.channels["noise"], float)
    return [stacked_spectra(spectra, noise, product.wavelength, _WAVE)]


def tuning_pictures(product):
    """
    Show how regularisation and noise scales were found.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of the tuning.

    Returns
    -------
    list of Picture
        One plot; empty if they were given.
    """
    table = product.tables.get("tuning")
    if table is None:
        return []
    step = np.arange(1, len(table) + 1)
    figure, axes = new_figure(height=1.5, rows=3)
    low, high = table["regularisation_low"], table["regularisation_high"]
    axes[0].fill_between(step, low, high, color=COLOURS["fused"], alpha=0.25, lw=0)
    axes[0].plot(step, table["regularisation_median"], "o-", ms=3, color=COLOURS["fused"])
    axes[0].set_yscale("log")
    axes[0].set_ylabel("strength µ", fontsize=10)
    for name, colour, style in (("image", "fused", "o-"), ("cube", "cube", "s--")):
        values = table[f"noise_scale_{name}"]
        axes[1].plot(step, values, style, ms=3, color=COLOURS[colour], label=name)
    axes[1].set_ylabel("noise scale", fontsize=10)
    axes[1].legend(fontsize=9, frameon=False)
    change = np.maximum(table["change"], 1e-6)
    axes[2].plot(step, change, "o-", ms=3, color=COLOURS["other"])
    axes[2].axhline(0.03, color=COLOURS["faint"], lw=0.8)
    axes[2].set_yscale("log")
    axes[2].set_ylabel("change", fontsize=10)
    axes[2].set_xlabel("step", fontsize=10)
    for axis in axes:
        for edge in np.flatnonzero(np.diff(table["run"])) + 1.5:
            axis.axvline(edge, color=COLOURS["faint"], lw=0.8, ls=":")
    return [
        Picture(
            "tuning",
            figure,
            "Regularisation, noise scales and their change at every step of the evidence.",
            "Maximum evidence, step by step: smallest, median and largest strength over the "
            "components; errors relative to those given; largest change, which must fall below "
            "the grey line. Dotted: solved anew, without outliers or with refined spectra.",
            wide=True,
        )
    ]
