"""Make the figures of a report, in one style, and write them as PNG."""

import io
from dataclasses import dataclass

import numpy as np

__all__ = [
    "COLOURS",
    "MAP",
    "MISSING",
    "Picture",
    "asinh_stretch",
    "encode",
    "new_figure",
    "plain_ticks",
    "range_of",
    "sky_panel",
]

#: A sequential map whose brightness rises evenly: readable in grey and by the colour-blind.
MAP = "cividis"
#: Colour of what has no data.
MISSING = "#d9d9d9"
#: Colours (Okabe & Ito 2008) that differ in brightness, too.
COLOURS = {"cube": "#E69F00", "fused": "#0072B2", "other": "#000000", "faint": "#888888"}
_DPI = 150  # pixels per inch
# inch: width of a panel, room above and below its image, rim
_PANEL, _TITLE, _BAR, _RIM = 3.3, 0.3, 0.62, 0.05
_PLOT = (6.4, 3.6)  # inch: size of a plot
# An image is drawn no flatter and no taller than this many times its width.
_FLAT, _TALL = 0.4, 2.0
_COLOURS_KEPT = 256  # of a picture that is stored with a palette


@dataclass(frozen=True)
class Picture:
    """
    One figure of a report.

    Parameters
    ----------
    name : str
        Name of the PNG file without extension; unique in a report.
    figure : `~matplotlib.figure.Figure`
        The figure, drawn when the page is written.
    alt : str
        What it shows, for those who cannot see it.
    caption : str, optional
        Text below the figure.
    wide : bool, optional
        Whether it is a plot rather than a small image.
    """

    name: str
    figure: object
    alt: str
    caption: str = ""
    wide: bool = False


def new_figure(*, height=1.0, rows=1, ratios=None):
    """
    Make the figure of a plot without touching the state of pyplot.

    Parameters
    ----------
    height : float, optional
        Factor on the usual height.
    rows : int, optional
        Number of axes, one below the other, with a common x axis.
    ratios : sequence of float, optional
        Their heights.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        The figure.
    axes : Axes or array of Axes
        Its axes from top to bottom; an array if there are several.
    """
    figure = _figure(_PLOT[0], _PLOT[1] * height, layout="constrained")
    axes = figure.subplots(
        rows, 1, sharex=True, gridspec_kw={"height_ratios": ratios} if ratios else None
    )
    for axis in np.atleast_1d(axes):
        axis.tick_params(labelsize=9)
    return figure, axes


def _figure(width, height, **options):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, **options)
    FigureCanvasAgg(figure)
    return figure


def _panel(frame):
    """Figure, axes and axes of the colour bar of an image, with fixed margins."""
    left, right, bottom, top = frame.extent
    wide = _PANEL - 2 * _RIM
    tall = wide * min(max((top - bottom) / (right - left), _FLAT), _TALL)
    height = tall + _TITLE + _BAR
    figure = _figure(_PANEL, height)
    axis = figure.add_axes((_RIM / _PANEL, _BAR / height, wide / _PANEL, tall / height))
    bar = figure.add_axes((0.05, (_BAR - 0.16) / height, 0.9, 0.1 / height))
    return figure, axis, bar


def encode(source, *, shrink=None):
    """
    Turn a figure into a PNG file.

    Parameters
    ----------
    source : `~matplotlib.figure.Figure` or bytes
        Figure, or a PNG file.
    shrink : float, optional
        Factor on both sides; the file then has a palette, which makes it a third as large.

    Returns
    -------
    bytes
        The PNG file.
    """
    from PIL import Image

    if isinstance(source, bytes):
        with Image.open(io.BytesIO(source)) as image:
            image = image.convert("RGB")
    else:
        source.canvas.draw()
        image = Image.fromarray(np.asarray(source.canvas.buffer_rgba())[..., :3])
    if shrink is not None:
        size = [max(1, round(side * shrink)) for side in image.size]
        image = image.resize(size).quantize(_COLOURS_KEPT)
    out = io.BytesIO()
    image.save(out, format="png", optimize=True)
    return out.getvalue()


def asinh_stretch(*images, low=1.0, high=99.7):
    """
    One stretch, inverse hyperbolic sine, for several images.

    Parameters
    ----------
    *images : array
        Images; NaN is not looked at.
    low, high : float, optional
        Percentiles that are the limits.

    Returns
    -------
    `~matplotlib.colors.AsinhNorm`
        Stretch between the percentiles, linear within an eighth of their distance around 0.
    """
    from matplotlib.colors import AsinhNorm

    values = np.concatenate([np.asarray(image, float).ravel() for image in images])
    values = values[np.isfinite(values)]
    bottom, top = np.percentile(values, [low, high]) if values.size else (0.0, 1.0)
    if not top > bottom:
        top = bottom + max(abs(bottom), 1.0) * 1e-3
    return AsinhNorm(linear_width=(top - bottom) / 8, vmin=bottom, vmax=top)


def sky_panel(
    image, frame, *, title, norm, label="MJy/sr", extent=None, marks=(), arrows=False, note=""
):
    """
    Draw an image of the field.

    Parameters
    ----------
    image : array (y, x)
        Brightness or another quantity; NaN is shown in grey.
    frame : `~jwst_fusion.report.frame.Frame`
        Size and orientation of the field.
    title : str
        Title above the image.
    norm : `~matplotlib.colors.Normalize`
        Stretch.
    label : str, optional
        What the colours mean.
    extent : tuple of float, optional
        Left, right, bottom and top edge, arcsec from the middle; by default those of the field.
    marks : sequence of (str, tuple of float), optional
        Letters and their places, arcsec from the middle.
    arrows : bool, optional
        Whether to show North and East.
    note : str, optional
        Text within the image.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The image with a colour bar and a scale bar.
    """
    from matplotlib import colormaps
    from matplotlib.patheffects import withStroke

    figure, axis, below = _panel(frame)
    colours = colormaps[MAP].with_extremes(bad=MISSING)
    shown = axis.imshow(
        np.ma.masked_invalid(image),
        origin="lower",
        extent=extent or frame.extent,
        norm=norm,
        cmap=colours,
        interpolation="nearest",
    )
    left, right, bottom, top = frame.extent
    axis.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
    axis.set_title(title, fontsize=11)
    bar = figure.colorbar(shown, cax=below, orientation="horizontal")
    bar.set_label(label, fontsize=9, labelpad=1)
    bar.ax.tick_params(labelsize=8)
    plain_ticks(bar, norm)
    outline = [withStroke(linewidth=2.5, foreground="black")]
    length, text = frame.bar
    start = left + 0.06 * (right - left), bottom + 0.06 * (top - bottom)
    style = {"color": "white", "path_effects": outline, "solid_capstyle": "butt"}
    axis.plot([start[0], start[0] + length], [start[1]] * 2, lw=2, **style)
    words = {"color": "white", "path_effects": outline, "fontsize": 9}
    above = start[1] + 0.02 * (top - bottom)
    axis.text(start[0] + length / 2, above, text, ha="center", va="bottom", **words)
    if arrows:
        _draw_arrows(axis, frame, words)
    for letter, place in marks:
        axis.plot(*place, "o", ms=9, mfc="none", mec="white", mew=1.4, path_effects=outline)
        axis.annotate(letter, place, xytext=(6, 5), textcoords="offset points", **words)
    if note:
        axis.text(0.5, 0.5, note, transform=axis.transAxes, ha="center", va="center", **words)
    return figure


def _draw_arrows(axis, frame, words):
    left, right, bottom, top = frame.extent
    size = 0.09 * min(right - left, top - bottom)
    origin = right - 2.2 * size, top - 2.2 * size
    for name, (x, y) in (("N", frame.north), ("E", frame.east)):
        axis.annotate(
            "",
            (origin[0] + size * x, origin[1] + size * y),
            xytext=origin,
            arrowprops={"arrowstyle": "->", "color": "white", "lw": 1.5, "shrinkA": 0},
        )
        place = origin[0] + 1.5 * size * x, origin[1] + 1.5 * size * y
        axis.text(*place, name, ha="center", va="center", **words)


def plain_ticks(bar, norm):
    """
    Put few ticks on a colour bar, spread evenly along it.

    Parameters
    ----------
    bar : `~matplotlib.colorbar.Colorbar`
        The colour bar, which is changed.
    norm : `~matplotlib.colors.Normalize`
        Its stretch.
    """
    from matplotlib.colors import AsinhNorm
    from matplotlib.ticker import FixedLocator, NullLocator

    places = [0.04, 0.36, 0.68, 0.96] if isinstance(norm, AsinhNorm) else [0, 0.5, 1]
    values = np.asarray(norm.inverse(np.array(places)), float)
    bar.locator = FixedLocator([float(f"{value:.2g}") for value in values])
    bar.minorlocator = NullLocator()
    bar.formatter = "{x:g}"
    bar.update_ticks()


def range_of(axis, *spectra):
    """
    Set the range of values of a plot, which isolated outlying channels do not widen.

    Parameters
    ----------
    axis : Axes
        Axes of the plot, of which the vertical range is set.
    *spectra : array
        What is shown; NaN is not looked at.
    """
    known = [one[np.isfinite(one)] for one in spectra]
    limits = [np.percentile(one, [0.2, 99.9]) for one in known if one.size]
    if limits:
        low, high = np.min(limits), np.max(limits)
        room = 0.15 * (high - low) + 1e-12
        axis.set_ylim(low - room, high + room)
