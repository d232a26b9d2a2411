"""Pictures in a report on a cube joined from several fused ones."""

import numpy as np

from jwst_fusion.report.frame import Frame
from jwst_fusion.report.picture import (
    COLOURS,
    Picture,
    asinh_stretch,
    new_figure,
    range_of,
    sky_panel,
)

__all__ = ["border_pictures", "mean_picture", "part_pictures", "whole_spectrum_picture"]

_WAVE = "wavelength [µm]"
_SIGMA = 5.0  # ends of the scale of difference maps, standard deviations


def _draw_borders(axis, joined):
    """Borders as dotted lines, overlaps as grey bands."""
    for border in joined.borders:
        if border.overlap:
            axis.axvspan(border.low, border.high, color=COLOURS["faint"], alpha=0.2, lw=0)
        for place in {border.low, border.high}:
            axis.axvline(place, color=COLOURS["faint"], lw=0.8, ls=":")


def _name_parts(axis, joined):
    """Name of each part above a plot."""
    for part in joined.parts:
        axis.annotate(
            part.label,
            (0.5 * (part.first + part.last), 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color="#555555",
        )


def whole_spectrum_picture(joined, place):
    """
    Show the whole spectrum of one pixel, with the borders of the parts.

    Parameters
    ----------
    joined : `~jwst_fusion.report.joined.product.JoinedProduct`
        The joined cube, and those of its parts that are known.
    place : `~jwst_fusion.report.measures.Place`
        The pixel of the joined cube.

    Returns
    -------
    Picture
        A plot of MJy/sr over micrometre.
    """
    whole, y, x = joined.whole, place.y, place.x
    figure, axis = new_figure()
    _draw_borders(axis, joined)
    spectrum, error = (np.array(one[:, y, x], float) for one in (whole.data, whole.err))
    _draw_parts(axis, joined, y, x)
    axis.fill_between(
        whole.wavelength,
        spectrum - error,
        spectrum + error,
        color=COLOURS["fused"],
        alpha=0.3,
        lw=0,
        label="± 1 σ",
    )
    axis.plot(whole.wavelength, spectrum, color=COLOURS["fused"], lw=1.0, label="joined")
    range_of(axis, spectrum)
    _name_parts(axis, joined)
    axis.set_xlabel(_WAVE, fontsize=10)
    axis.set_ylabel("MJy/sr", fontsize=10)
    axis.set_title(f"{place.letter}: {place.title}", fontsize=11, pad=16)
    axis.legend(fontsize=9, frameon=False)
    right, up = Frame.of(whole).place(y, x)
    ra, dec = whole.wcs.all_pix2world([x], [y], 0)
    return Picture(
        f"spectrum_{place.letter.lower()}",
        figure,
        f"Whole spectrum of the pixel {place.title} with its error and the borders of the parts.",
        f'pixel x {x}, y {y}; {right:+.2f}", {up:+.2f}" from the middle; RA {ra[0]:.6f}, Dec '
        f"{dec[0]:.6f}",
        wide=True,
    )


def _draw_parts(axis, joined, y, x):
    """Spectra of the parts at the same place where they overlap."""
    sky = joined.whole.wcs.all_pix2world([x], [y], 0)
    styles = ({"color": COLOURS["cube"]}, {"color": COLOURS["other"], "ls": "--"})
    for number, part in enumerate(joined.parts):
        if part.product is None:
            continue
        column, row = (round(float(one[0])) for one in part.product.wcs.all_world2pix(*sky, 0))
        height, width = part.product.data.shape[1:]
        wave = part.product.wavelength
        shared = np.zeros(wave.size, bool)
        for border in joined.borders:
            if border.overlap and part in (border.before, border.after):
                shared |= (wave >= border.low) & (wave <= border.high)
        if not (0 <= column < width and 0 <= row < height) or not shared.any():
            continue
        values = np.where(shared, np.asarray(part.product.data[:, row, column], float), np.nan)
        axis.plot(wave, values, lw=0.9, label=f"{part.label} alone", **styles[number % 2])


def mean_picture(joined):
    """
    Show the mean spectrum of the joined cube.

    Parameters
    ----------
    joined : `~jwst_fusion.report.joined.product.JoinedProduct`
        The joined cube, with the table of its channels.

    Returns
    -------
    Picture
        A plot of MJy/sr over micrometre.
    """
    whole = joined.whole
    figure, axis = new_figure()
    _draw_borders(axis, joined)
    mean = np.asarray(whole.channels["mean_fused"], float)
    axis.plot(whole.wavelength, mean, color=COLOURS["fused"], lw=1.0)
    range_of(axis, mean)
    _name_parts(axis, joined)
    axis.set_xlabel(_WAVE, fontsize=10)
    axis.set_ylabel("mean [MJy/sr]", fontsize=10)
    return Picture(
        "mean_spectrum",
        figure,
        "Mean spectrum of the joined cube with the borders of its parts.",
        "Mean over the pixels that all parts have. Grey: overlaps.",
        wide=True,
    )


def part_pictures(joined, marks=()):
    """
    Show the field in the continuum of every part.

    Parameters
    ----------
    joined : `~jwst_fusion.report.joined.product.JoinedProduct`
        The joined cube.
    marks : sequence, optional
        As for `~jwst_fusion.report.picture.sky_panel`.

    Returns
    -------
    list of Picture
        One image for each part: its median over wavelength, MJy/sr.
    """
    whole, pictures = joined.whole, []
    frame = Frame.of(whole)
    for number, part in enumerate(joined.parts):
        inside = np.flatnonzero((whole.wavelength >= part.first) & (whole.wavelength <= part.last))
        chosen = inside[:: max(1, inside.size // 60)]
        stack = np.array([whole.data[i] for i in chosen], float)
        seen = np.isfinite(stack).any(0)
        image = np.full(seen.shape, np.nan)
        image[seen] = np.nanmedian(stack[:, seen], axis=0)
        pictures.append(
            Picture(
                f"continuum_{number + 1:02d}",
                sky_panel(
                    image,
                    frame,
                    title=f"{part.label}: {part.first:.2f}–{part.last:.2f} µm",
                    norm=asinh_stretch(image),
                    arrows=number == 0,
                    marks=marks,
                ),
                f"The field in the continuum of {part.label}.",
            )
        )
    return pictures


def border_pictures(joined):
    """
    Show the overlaps of the parts.

    Parameters
    ----------
    joined : `~jwst_fusion.report.joined.product.JoinedProduct`
        The joined cube, with the images of both parts in each overlap.

    Returns
    -------
    list of list of Picture
        For each overlap of cubes that are known: both, and their difference.
    """
    from matplotlib.colors import Normalize

    groups = []
    for number, border in enumerate(joined.borders, 1):
        if border.images is None:
            continue
        before, after, sigma = border.images
        frame, norm = Frame.of(border.before.product), asinh_stretch(before, after)
        with np.errstate(invalid="ignore", divide="ignore"):
            pull = (after - before) / np.where(sigma > 0, sigma, np.nan)
        group = [
            Picture(
                f"overlap_{number:02d}_{key}",
                sky_panel(image, frame, title=f"overlap: {part.label}", norm=norm),
                f"The field in the overlap, by {part.label}.",
            )
            for key, image, part in (
                ("before", before, border.before),
                ("after", after, border.after),
            )
        ]
        group.append(
            Picture(
                f"overlap_{number:02d}_difference",
                sky_panel(
                    pull,
                    frame,
                    title="(second − first) / σ",
                    norm=Normalize(-_SIGMA, _SIGMA),
                    label="σ",
                ),
                "Difference of both in units of their errors.",
            )
        )
        groups.append(group)
    return groups
