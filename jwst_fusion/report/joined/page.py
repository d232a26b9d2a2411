"""Assemble the report on a cube joined from several fused ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from jwst_fusion.metrics.lines import chosen_lines
from jwst_fusion.report.frame import Frame
from jwst_fusion.report.fused import fields, tables
from jwst_fusion.report.joined import plots as joined_plots
from jwst_fusion.report.joined.checks import (
    RATIO,
    STEP,
    find_joined_findings,
    joined_verdict,
    part_verdict,
)
from jwst_fusion.report.joined.product import read_joined
from jwst_fusion.report.measures import pick_places, pixels_of
from jwst_fusion.report.names import report_path
from jwst_fusion.report.page import Link, Page, Section, Table, write_page

__all__ = ["joined_page", "write_joined_report"]

_FACTOR = 3  # pixels per spaxel, or so
_LEVELS = {"good": "✓ good", "caution": "! caution", "fault": "✗ fault"}


def write_joined_report(path, hdus, *, name=None, parts=None, positions=(), lines=()):
    """
    Write the report on a joined cube.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The page; its figures go to a folder of the same name beside it. It links to the reports on
        the parts that are in the same folder.
    hdus : `~astropy.io.fits.HDUList`
        The joined cube.
    name : str, optional
        Name of its file, by default that in the header.
    parts : dict of str to `~astropy.io.fits.HDUList`, optional
        The cubes it consists of by file name; only those that are known.
    positions : sequence of tuple of float, optional
        Columns and rows, counted from 0, of pixels whose spectra are wanted.
    lines : sequence of float, optional
        Wavelengths of lines to be mapped, micrometre; by default the strongest ones.

    Returns
    -------
    `~pathlib.Path`
        The page.

    Raises
    ------
    ValueError
        If this is not a joined cube, or a position or line lies outside.
    """
    joined = read_joined(hdus, name, parts=parts)
    page = joined_page(joined, folder=Path(path).parent, positions=positions, lines=lines)
    return write_page(path, page)


def joined_page(joined, *, folder, positions=(), lines=()):
    """
    Put the report on a joined cube together.

    Parameters
    ----------
    joined : `~jwst_fusion.report.joined.product.JoinedProduct`
        The joined cube, and those of its parts that are known.
    folder : `~pathlib.Path`
        Folder of the page.
    positions, lines : sequence, optional
        As for `write_joined_report`.

    Returns
    -------
    Page
        The report, not yet written.
    """
    whole = joined.whole
    chosen = pixels_of(whole, positions)
    mapped = chosen_lines(whole.wavelength, whole.channels["mean_fused"], lines, name=whole.name)
    places = pick_places(whole, factor=_FACTOR, chosen=chosen)
    frame = Frame.of(whole)
    marks = [(one.letter, frame.place(one.y, one.x)) for one in places]
    findings = find_joined_findings(joined)
    header = whole.header
    words = [str(header[key]) for key in ("TARGNAME", "TARGPROP") if header.get(key)][:1]
    words += [str(header.get("INSTRUME", "")), ", ".join(part.label for part in joined.parts)]
    field = Section("field", "The field", [])
    field.parts += [
        "In the continuum of every part, each at its own stretch.",
        joined_plots.part_pictures(joined, marks),
    ]
    field.parts += _filters(joined)
    maps = Section("lines", "Lines and continuum", fields.line_pictures(whole, None, mapped))
    if not mapped:
        maps.parts.append("No emission line stands out of the mean spectrum.")
    spectra = Section("spectra", "Whole spectra of single pixels", [])
    spectra.parts += [
        "Grey bands are overlaps, in which one part fades into the next; dotted lines their ends.",
        [joined_plots.whole_spectrum_picture(joined, one) for one in places],
    ]
    weights = Section("weights", "Weights and flags", [])
    weights.parts += [
        "What constrains each pixel, from WMAP and DQ, as a share of the channels.",
        fields.quality_pictures(whole),
        tables.origin_table(whole),
    ]
    return Page(
        title=f"Fusion report: {whole.name}",
        subtitle=" · ".join(word.strip() for word in words if word.strip()),
        verdict=joined_verdict(findings),
        facts=_facts(joined),
        findings=findings,
        summary=_renamed(joined_plots.part_pictures(joined)),
        sections=[
            _parts(joined, folder),
            field,
            maps,
            spectra,
            _borders(joined),
            weights,
            Section("record", "Input, parameters, versions", [_record(joined)]),
        ],
    )


def _renamed(pictures):
    return [replace(one, name=f"summary_{one.name}") for one in pictures]


def _facts(joined):
    whole = joined.whole
    shape, wave, ratio = whole.data.shape, whole.wavelength, whole.signal_to_noise
    middle = np.median(ratio[np.isfinite(ratio)]) if np.isfinite(ratio).any() else np.nan
    ratios = [part.ratio for part in joined.parts if np.isfinite(part.ratio)]
    worst = max(ratios, key=lambda one: abs(np.log(one))) if ratios else np.nan
    return [
        ("Parts", str(len(joined.parts))),
        ("Pixels", f'{shape[2]} × {shape[1]} of {whole.scale:.3f}"'),
        ("Channels", f"{shape[0]}, {wave[0]:.3f} to {wave[-1]:.3f} µm"),
        ("Brightness in overlaps", f"{worst:.3f}" if np.isfinite(worst) else "–"),
        ("Signal to noise", f"{middle:.1f} (median)" if np.isfinite(middle) else "–"),
    ]


def _parts(joined, folder):
    rows, marked = [], set()
    for number, part in enumerate(joined.parts):
        verdict = part_verdict(joined, part)
        level = "not found" if verdict is None else _LEVELS[verdict[0]]
        if verdict is not None and verdict[0] != "good":
            marked.add((number, 1))
        report = report_path(folder / part.name)
        there = report.is_file()
        rows.append(
            (
                part.label,
                level,
                "–" if verdict is None else verdict[1],
                f"{part.first:.4f}–{part.last:.4f}",
                "yes" if part.resampled else "no",
                part.name,
                Link("report", report.name) if there else "none beside this one",
            )
        )
    head = ("Part", "Level", "Verdict", "Range [µm]", "Resampled", "File", "Report")
    text = "Images that another part uses are not missed here; the report on a part counts them."
    return Section("parts", "Parts", [Table(head, rows, text, frozenset(marked))])


def _filters(joined):
    """The field in the filters of each part, with what its images and cube have beyond."""
    parts = []
    for number, part in enumerate(joined.parts, 1):
        if part.product is None:
            continue
        parts.append(f"{part.label}, in the bands of its filters, as in its own report:")
        for index in range(len(part.product.filters)):
            name = f"part{number:02d}"
            parts.append(fields.field_pictures(part.product, None, index, name=name))
    return parts


def _borders(joined):
    rows, marked = [], set()
    for number, border in enumerate(joined.borders):
        ratio = border.after.ratio
        shift = "not measured"
        if border.mismatch is not None and np.isfinite(border.mismatch.shift[0].error):
            x, y = border.mismatch.shift
            shift = f"{x.value:+.2f}, {y.value:+.2f} ± {np.hypot(x.error, y.error):.3f}"
        step = "not measured"
        if np.isfinite(border.step):
            step = f"{100 * border.step:+.2f} ± {100 * border.step_error:.2f}"
        low, high = sorted((border.low, border.high))
        rows.append(
            (
                f"{border.before.label} / {border.after.label}",
                f"{'overlap' if border.overlap else 'gap'} {low:.4f}–{high:.4f}",
                f"{ratio:.4f}" if np.isfinite(ratio) else "–",
                step,
                shift,
            )
        )
        if ratio > 0 and abs(np.log(ratio)) > RATIO[0]:
            marked.add((number, 2))
        if abs(border.step) > max(STEP[0], 5 * border.step_error):
            marked.add((number, 3))
    table = Table(
        ("Between", "Range [µm]", "Second / first", "Step [%]", "Shift x, y [pixels]"),
        rows,
        "Brightness of the second part over the first, and by how much it is shifted, where both "
        "overlap; step of the mean spectrum of the joined cube, from the channels on either side.",
        frozenset(marked),
    )
    section = Section("borders", "Where the parts meet", [])
    section.parts += [
        "Joining applies no factor: each part keeps its calibration, and in an overlap the mean of "
        "both moves from one to the other, weighted by their errors.",
        table,
        [joined_plots.mean_picture(joined)],
    ]
    pictures = joined_plots.border_pictures(joined)
    if not pictures and any(border.overlap for border in joined.borders):
        section.parts.append(
            "Maps of the overlaps need the parts, on the same pixels, beside the joined cube."
        )
    return Section("borders", section.title, [*section.parts, *pictures])


def _record(joined):
    found = tables.fusion_record_tables(joined.whole)
    files = [(part.label, part.name) for part in joined.parts]
    header = joined.whole.header
    if header.get("ASNTABLE"):
        files.append(("association", header["ASNTABLE"]))
    return (Table(("Input", "File"), files), *found[1:])
