"""What a notebook shows of a product: verdict, picture, table of filters, path of the report."""

import base64
import html
import io
from pathlib import Path

import numpy as np

__all__ = ["NotebookView", "plain_text", "view_html"]

# Channels that the picture is the mean of at most, however many the cube has.
_CHANNELS = 64
_WIDTH = 240  # screen pixels
# Brightness at which the stretch turns from linear to logarithmic, as a part of the largest.
_SOFTENING = 0.05
_COLOURS = {"good": "#1a7f37", "caution": "#9a6700", "fault": "#b42318"}
_MARKS = {"good": "✓", "caution": "!", "fault": "✗"}
_MAS = 1e3  # milliarcseconds in an arcsecond
_COLUMNS = ("Filter", "Calibration", "Offset (mas)", "PSNR (dB)", "chi2")
# What a product that is not complete raises where something is missing or of another kind.
_MISSING = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class NotebookView:
    """
    Mixin for data models of cubes that notebooks show as a card.

    Attributes
    ----------
    provenance : str
        Part of ``meta`` with the verdict and the report.
    """

    provenance = "fusion"

    # path of the report that the step has written, which a file does not know
    _report = None

    def note_verdict(self, level, verdict, report):
        """
        Keep what the report says.

        Parameters
        ----------
        level : {"good", "caution", "fault"}
            Level of the verdict.
        verdict : str
            The verdict, a sentence.
        report : `~pathlib.Path`
            The page.
        """
        told = getattr(self.meta, self.provenance)
        told.verdict_level, told.verdict = level, plain_text(verdict)
        told.report = plain_text(report.name)
        self._report = report.resolve()

    def _repr_html_(self):
        told = self.meta.instance.get(self.provenance, {})
        return view_html(
            repr(self),
            data=self._instance.get("data"),
            table=self._instance.get("filter_table"),
            level=told.get("verdict_level"),
            verdict=told.get("verdict"),
            report=self._report or told.get("report"),
        )


def plain_text(text):
    """
    Return a text as headers of FITS can hold it.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        The same with a question mark for each character beyond ASCII.
    """
    return str(text).encode("ascii", "replace").decode("ascii")


def view_html(title, *, data=None, table=None, level=None, verdict=None, report=None):
    """
    Return the card of a product. What it does not have, or not as expected, is left out.

    Parameters
    ----------
    title : str
        Type, shape and file.
    data : array (L, y, x), optional
        The cube.
    table : structured array, optional
        One row per image: filter, calibration, offset (arcsec), quality.
    level : {"good", "caution", "fault"}, optional
        Level of the verdict.
    verdict : str, optional
        The verdict, a sentence.
    report : `~pathlib.Path` or str, optional
        The report; text, as files have it, is taken for a name in the folder of the product.

    Returns
    -------
    str
        HTML with inline styles, and no scripts.
    """
    if verdict:
        colour, mark = _COLOURS.get(level, "inherit"), _MARKS.get(level, "")
        said = f'<b style="color:{colour}">{mark} {_text(verdict)}</b>'
    else:
        said = "Not judged: <code>save_report</code> or <code>jwst-fusion report</code> does."
    parts = [f"<div><code>{_text(title)}</code></div>", f"<div>{said}</div>"]
    for make, given in ((_picture, data), (_filters, table)):
        try:
            parts.append("" if given is None else make(given))
        except _MISSING:
            parts.append("")
    if report:
        parts.append(f"<div>Report: {_report_link(report)}</div>")
    return f'<div style="max-width:46em">{"".join(parts)}</div>'


def _text(value):
    return html.escape(str(value))


def _report_link(report):
    """Path of a report that is there, as a link; else its name."""
    if isinstance(report, Path) and report.is_file():
        return f'<a href="{_text(report.as_uri())}">{_text(report)}</a>'
    return f"<code>{_text(Path(report).name)}</code>, beside the product"


def _picture(data):
    """Mean over some channels, as a PNG file within the page."""
    from matplotlib.image import imsave

    step = max(1, -(-len(data) // _CHANNELS))
    some = np.asarray(data[::step], float)
    known = np.isfinite(some)
    count = known.sum(axis=0)
    image = np.where(known, some, 0.0).sum(axis=0) / np.maximum(count, 1)
    if not count.any():
        return ""
    low, high = np.percentile(image[count > 0], [1, 99.9])
    scaled = np.clip((image - low) / max(high - low, np.finfo(float).tiny), 0, 1)
    shown = np.ma.masked_where(count == 0, np.arcsinh(scaled / _SOFTENING))
    stream = io.BytesIO()
    imsave(stream, shown, origin="lower", cmap="cividis", format="png")
    text = base64.b64encode(stream.getvalue()).decode("ascii")
    return (
        f'<img width="{_WIDTH}" style="image-rendering:pixelated" alt="Mean over the wavelengths"'
        f' src="data:image/png;base64,{text}">'
    )


def _filters(table):
    """Rows of the table of filters: how well images and cube agree."""
    rows = []
    for row in table:
        name = row["filter"]
        name = name.decode("ascii", "replace") if isinstance(name, bytes) else name
        offset = ", ".join(f"{_MAS * row[f'offset_{axis}']:.1f}" for axis in "xy")
        cells = (
            name,
            f"{row['calibration']:.4f} ± {row['calibration_error']:.4f}",
            offset,
            f"{row['psnr']:.1f}",
            f"{row['chi2']:.2f}",
        )
        rows.append("".join(f"<td>{_text(cell)}</td>" for cell in cells))
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
