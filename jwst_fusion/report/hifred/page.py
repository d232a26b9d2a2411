"""The report on a cube fused from two, put together: what is shown, in which order and words."""

import numpy as np

from jwst_fusion.hifred.agreement import Band
from jwst_fusion.report.components import component_pictures
from jwst_fusion.report.frame import Frame
from jwst_fusion.report.hifred import fields, plots, tables
from jwst_fusion.report.hifred.checks import find_hifred_findings, hifred_verdict
from jwst_fusion.report.hifred.product import read_hifred
from jwst_fusion.report.measures import pick_places, pixels_of
from jwst_fusion.report.mismatch import excess
from jwst_fusion.report.page import Page, Section, write_page

__all__ = ["hifred_page", "write_hifred_report"]


def write_hifred_report(
    path, hdus, *, name=None, cubes=(None, None), positions=(), lines=(), maps=None
):
    """
    Write the report on a product of HIFReD.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The page; its figures go to a folder of the same name beside it.
    hdus : `~astropy.io.fits.HDUList`
        The product, of counts or of JWST cubes.
    name : str, optional
        Name of its file, by default that in the header.
    cubes : tuple of (array or None), optional
        X and Y on the channels and pixels that were used, NaN where they were not used.
    positions : sequence of tuple of float, optional
        Columns and rows, counted from 0, of pixels whose spectra are wanted.
    lines : sequence of float, optional
        Energies (keV) or wavelengths (um) of lines to be mapped.
    maps : `~jwst_fusion.hifred.line_maps.LineMaps`, optional
        Maps of named lines to be shown.

    Returns
    -------
    `~pathlib.Path`
        The page.

    Raises
    ------
    ValueError
        If nothing was fused, or a position or line lies outside.
    """
    product = read_hifred(hdus, name, cubes=cubes)
    return write_page(path, hifred_page(product, positions=positions, lines=lines, maps=maps))


def hifred_page(product, *, positions=(), lines=(), maps=None):
    """
    Put the report on a product of HIFReD together.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube and what it says of X and Y.
    positions, lines, maps : optional
        As for `write_hifred_report`.

    Returns
    -------
    Page
        The report, not yet written.
    """
    chosen = pixels_of(product, positions)
    wanted = _lines(product, lines)
    findings = find_hifred_findings(product)
    factor = max(1, round(float(np.sqrt(np.median(product.shares[product.shares > 0])))))
    places = pick_places(product, factor=factor, chosen=chosen)
    header = product.header
    words = [str(header[key]) for key in ("OBJECT", "TARGNAME", "TARGPROP") if header.get(key)][:1]
    words += [f"{one.letter} {one.file}" for one in product.observations]
    return Page(
        title=f"HIFReD report: {product.name}",
        subtitle=" · ".join(words),
        verdict=hifred_verdict(findings),
        facts=tables.hifred_facts(product),
        findings=findings,
        summary=fields.band_pictures(product, 0, name="summary"),
        sections=[
            *_look(product, places, wanted),
            *_named_lines(product, maps),
            *_agreement(product),
            *_solution(product),
            *_record(product),
        ],
    )


def _look(product, places, lines):
    """Sections with the field and its spectra."""
    marks = [(one.letter, Frame.of(product).place(one.y, one.x)) for one in places]
    field = Section("field", "The field", [])
    unit = "Counts are divided by exposure and area. " if product.counts else ""
    field.parts.append(
        "Each row in one band, all of it and around the strongest lines: the sharper cube X, the "
        f"cube with the finer channels Y, and the fused cube, at one stretch. {unit}Then X and Y "
        "minus the fused cube as each would see it, in units of their errors. Noise has no "
        "structure; rings around bright places mean a wrong PSF, pairs of light and dark an offset."
        + (" Below, residuals of the other observations on their own pixels." * bool(product.more))
    )
    for index in range(len(product.bands)):
        field.parts.append(fields.band_pictures(product, index, name="field", marks=marks))
        if product.more:
            field.parts.append(fields.further_pictures(product, index))
    if lines:
        field.parts.append("Lines as asked for, at the stretch of the fused cube:")
        field.parts += fields.line_pictures(product, lines)
    maps = Section("maps", "Pixel by pixel", [])
    maps.parts += [
        "Spectral angle: that between the spectrum of each pixel of Y and what it would see of the "
        "fused cube, not between fused cube and truth, which is not known; beside it the angle "
        "that noise alone makes. Where the first is clearly larger, spectra do not fit.",
        fields.map_pictures(product),
    ]
    spectra = Section("spectra", "Spectra of single pixels", [])
    if any(compared.cube is None for compared in product.cubes):
        spectra.parts.append(
            "The cubes that were fused were not found; shown is what is expected of them."
        )
    spectra.parts.append([plots.spectrum_picture(product, one) for one in places])
    return field, maps, spectra


def _named_lines(product, maps):
    """Section with the maps of named lines, if there are any."""
    if maps is None:
        return ()
    section = Section("lines", "Lines", [])
    section.parts.append(
        "Flux, velocity and width (standard deviation, with the broadening of Y) of the lines that "
        "were asked for, and their errors. Lines that lie close together have one velocity and one "
        "width, which are shown where their flux exceeds three standard deviations."
    )
    section.parts += fields.line_map_pictures(product, maps)
    return (section,)


def _agreement(product):
    """Sections that compare with the data."""
    agreement = Section("agreement", "Re-observed against observed", [])
    agreement.parts += [tables.agreement_table(product), tables.mismatch_table(product)]
    spectrum = Section("spectrum", "Total spectra", [])
    worst = max(product.cubes, key=lambda compared: np.nan_to_num(excess(*compared.spectrum)))
    most = np.nan_to_num(excess(*worst.spectrum))
    spectrum.parts += [
        f"Residuals beyond noise are largest in {worst.letter}: {100 * most:.2f} % of its spectrum."
        if most > 0
        else "There are no residuals beyond noise.",
        [*plots.total_pictures(product), plots.chi2_picture(product)],
    ]
    return agreement, spectrum


def _solution(product):
    """Sections on how the solution came about."""
    subspace = Section("subspace", "Spectral components", [])
    subspace.parts.append(plots.component_plots(product))
    if "maps" in product.arrays:
        subspace.parts.append(component_pictures(product, "coefficient"))
    else:
        subspace.parts.append(
            "The result is a full cube; the components are those of the low-rank solution that it "
            "started from."
        )
    solver = Section("solver", "Solver, mu and kappa", [])
    tuning = plots.tuning_pictures(product)
    solver.parts.append([plots.history_picture(product), *tuning])
    if not tuning:
        solver.parts.append("Mu or kappa was given, or there is none.")
    solver.parts.append(tables.solver_table(product))
    return subspace, solver


def _record(product):
    """Sections on flags, input, parameters and versions."""
    weights = Section("weights", "Flags", [])
    weights.parts += [
        "Where not both cubes constrain a voxel (DQ), as a share of the channels.",
        fields.quality_pictures(product),
    ]
    record = Section(
        "record", "Input, parameters, versions", [tables.hifred_record_tables(product)]
    )
    return weights, record


def _lines(product, wanted):
    """Bands of three channels of X, at least, around lines that are asked for."""
    edges, wide = product.edges, product.x.edges
    found = []
    for one in wanted:
        if not edges[0] <= one <= edges[-1]:
            unit = product.axis_unit.replace("µ", "u")
            msg = (
                f"line {one:g} {unit} lies outside {product.name}: {edges[0]:.4f} to "
                f"{edges[-1]:.4f} {unit}"
            )
            raise ValueError(msg)
        channel = int(np.clip(np.searchsorted(wide, one) - 1, 0, wide.size - 2))
        low, high = max(channel - 1, 0), min(channel + 2, wide.size - 1)
        found.append(Band("line", float(wide[low]), float(wide[high])))
    return found
