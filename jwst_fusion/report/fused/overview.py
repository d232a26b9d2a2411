"""Overview of a fusion: the field as each instrument saw it, fused and true, and spectra.

Images are (y, x), cubes (wavelength, y, x), wavelengths in micrometre, brightness in MJy/sr.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Panel", "SpectrumPlot", "draw_overview"]

# a sequential map and colours that stay apart in grey and for colour-blind readers
_COLOURS = "cividis"
_LINES = {"cube": "#999999", "fused": "#0072B2", "truth": "#000000"}


@dataclass(frozen=True)
class Panel:
    """
    One image of the picture.

    Parameters
    ----------
    title : str
        Title above the image.
    image : ndarray
        MJy/sr, shape (ny, nx).
    scale : float
        Arcsec per pixel; the image is drawn around the middle of the field.
    """

    title: str
    image: np.ndarray
    scale: float


@dataclass(frozen=True)
class SpectrumPlot:
    """
    Spectra of one position.

    Parameters
    ----------
    title : str
        Title above the plot.
    wavelength : ndarray
        Micrometre, shape (n,).
    curves : dict
        Any of "cube", "fused", "truth" to a spectrum, MJy/sr, shape (n,).
    error : ndarray, optional
        One sigma of the fused spectrum.
    position : tuple of float
        Offset to the right and up from the middle of the field, arcsec.
    axis : str
        What the spectra are drawn over, with its unit.
    unit : str
        Unit of the spectra.
    """

    title: str
    wavelength: np.ndarray
    curves: dict
    error: np.ndarray | None
    position: tuple
    axis: str = "wavelength [µm]"
    unit: str = "MJy/sr"


def draw_overview(path, rows, spectra, *, title, half_width=1.4):
    """
    Draw rows of images at matched stretch, and spectra below.

    Parameters
    ----------
    path : str or pathlib.Path
        PNG file to write.
    rows : sequence of (str, sequence of Panel)
        Label of each row and its images; one stretch per row.
    spectra : sequence of SpectrumPlot
        Drawn side by side below; their positions are marked in the images.
    title : str
        Title of the whole picture.
    half_width : float
        Half of the side that is shown, arcsec.

    Returns
    -------
    str
        The path.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(len(panels) for _, panels in rows)
    figure = Figure(figsize=(3.0 * columns, 3.0 * len(rows) + 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(2, 1, height_ratios=[3.0 * len(rows), 3.0])
    figure.suptitle(title, fontsize=13)
    axes = parts[0].subplots(len(rows), columns, squeeze=False)
    for line, (label, panels) in zip(axes, rows, strict=True):
        _draw_row(line, label, panels, spectra, half_width)
    for axis, plot in zip(
        parts[1].subplots(1, len(spectra), squeeze=False)[0], spectra, strict=True
    ):
        _draw_spectra(axis, plot)
    figure.savefig(path, dpi=110)
    return str(path)


def _draw_row(axes, label, panels, spectra, half_width):
    from matplotlib.colors import AsinhNorm

    reference = panels[-1].image
    low, high = np.nanpercentile(reference, [1, 99.7])
    norm = AsinhNorm(linear_width=max((high - low) / 8, 1e-6), vmin=low, vmax=high)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for number, (axis, panel) in enumerate(zip(axes, panels, strict=False)):
        ny, nx = panel.image.shape
        half_x, half_y = nx * panel.scale / 2, ny * panel.scale / 2
        axis.imshow(
            panel.image,
            origin="lower",
            extent=(-half_x, half_x, -half_y, half_y),
            norm=norm,
            cmap=_COLOURS,
            interpolation="nearest",
        )
        axis.set(xlim=(-half_width, half_width), ylim=(-half_width, half_width))
        axis.set_title(panel.title, fontsize=10)
        axis.tick_params(labelsize=7)
        if number == 0:
            axis.set_ylabel(f"{label}\narcsec", fontsize=9)
        for mark, plot in zip("ABCDEF", spectra, strict=False):
            axis.plot(*plot.position, "o", ms=7, mfc="none", mec="white", mew=1.2)
            axis.annotate(
                mark,
                plot.position,
                xytext=(4, 4),
                textcoords="offset points",
                color="white",
                fontsize=8,
            )


def _draw_spectra(axis, plot):
    for name in ("cube", "fused", "truth"):
        if name in plot.curves:
            label = {"cube": "cube, cubic interpolation"}.get(name, name)
            style = {"lw": 0.7, "ls": "--"} if name == "truth" else {"lw": 1.0}
            axis.plot(plot.wavelength, plot.curves[name], color=_LINES[name], label=label, **style)
    if plot.error is not None:
        middle = plot.curves["fused"]
        axis.fill_between(
            plot.wavelength,
            middle - plot.error,
            middle + plot.error,
            color=_LINES["fused"],
            alpha=0.25,
            lw=0,
        )
    axis.set_title(plot.title, fontsize=10)
    axis.set_xlabel(plot.axis, fontsize=9)
    axis.set_ylabel(plot.unit, fontsize=9)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=7, frameon=False)
