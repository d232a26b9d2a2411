"""Assemble the report on a fused cube: what is shown, in which order, with which words."""

from jwst_fusion.metrics.lines import chosen_lines
from jwst_fusion.report.components import component_pictures
from jwst_fusion.report.frame import Frame
from jwst_fusion.report.fused import fields, plots, tables
from jwst_fusion.report.fused.point_sources import source_sections
from jwst_fusion.report.fused.product import read_fused, read_input_cube
from jwst_fusion.report.fused.verdict import find_findings, verdict_of
from jwst_fusion.report.measures import pick_places, pixels_of
from jwst_fusion.report.page import Page, Section, write_page
from jwst_fusion.report.stand_ins import with_stand_ins

__all__ = ["fusion_page", "write_fusion_report"]


def write_fusion_report(path, hdus, *, name=None, cube=None, positions=(), lines=()):
    """
    Write the report on a fused cube.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The page; its figures go to a folder of the same name beside it.
    hdus : `~astropy.io.fits.HDUList`
        The fused cube.
    name : str, optional
        Name of its file, by default that in the header.
    cube : `~astropy.io.fits.HDUList`, optional
        The cube that was fused; without it, the report shows nothing from before the fusion.
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
        If this is not a fused cube, the cube is another, or a position or line lies outside.
    """
    product = read_fused(hdus, name)
    before = None if cube is None else read_input_cube(cube, product)
    return write_page(path, fusion_page(product, before, positions=positions, lines=lines))


def fusion_page(product, cube=None, *, positions=(), lines=()):
    """
    Put the report on a fused cube together.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube.
    cube : `~jwst_fusion.report.fused.product.InputCube`, optional
        The cube before the fusion, to be shown beside the fused one.
    positions, lines : sequence, optional
        As for `write_fusion_report`.

    Returns
    -------
    Page
        The report, not yet written.
    """
    chosen = pixels_of(product, positions)
    mapped = chosen_lines(
        product.wavelength, product.channels["mean_fused"], lines, name=product.name
    )
    findings = find_findings(product)
    verdict, findings = with_stand_ins(verdict_of(findings), findings, product)
    factor = int(product.header.get("FUSFACT", 3))
    places = pick_places(product, factor=factor, chosen=chosen)
    header = product.header
    words = [str(header[key]) for key in ("TARGNAME", "TARGPROP") if header.get(key)][:1]
    words += [f"{header.get('INSTRUME', '')} {header.get('GRATING') or header.get('BAND') or ''}"]
    words += [", ".join(product.labels)]
    worst = fields.worst_filter(product)
    return Page(
        title=f"Fusion report: {product.name}",
        subtitle=" · ".join(word.strip() for word in words),
        verdict=verdict,
        facts=tables.facts(product),
        findings=findings,
        summary=fields.field_pictures(product, cube, worst, name="summary"),
        sections=[
            *_look(product, cube, places, mapped),
            *source_sections(product),
            *_agreement(product),
            *_solution(product),
            *_record(product),
        ],
    )


def _look(product, cube, places, lines):
    """Sections with the field and its spectra."""
    marks = [(one.letter, _place(product, one)) for one in places]
    field = Section("field", "The field", [])
    field.parts.append(
        "Each row in the band of one filter: the image, the input cube and the fused cube seen "
        "through the filter, at one stretch; then image and input cube minus the fused cube as "
        "each instrument sees it, in units of their errors. Noise has no structure; rings around "
        "stars mean a wrong PSF, pairs of light and dark an offset."
    )
    if cube is None:
        field.parts.append("The input cube was not found; with it, more would be shown.")
    for index in range(len(product.filters)):
        field.parts.append(fields.field_pictures(product, cube, index, name="field", marks=marks))
    maps = Section("lines", "Lines and continuum", fields.line_pictures(product, cube, lines))
    if not lines:
        maps.parts.append("No emission line stands out of the mean spectrum.")
    spectra = Section("spectra", "Spectra of single pixels", [])
    spectra.parts.append([plots.spectrum_picture(product, cube, one) for one in places])
    return field, maps, spectra


def _place(product, place):
    return Frame.of(product).place(place.y, place.x)


def _agreement(product):
    """Sections that compare with the data."""
    images = Section("agreement", "Re-observed against observed: images", [])
    images.parts.append(tables.quality_table(product))
    others = (tables.source_table(product), tables.left_out_table(product))
    images.parts += [one for one in others if one is not None]
    spectrum = Section("spectrum", "Re-observed against observed: cube", [])
    spectrum.parts.append([plots.mean_spectrum_picture(product), plots.channel_picture(product)])
    calibration = Section("calibration", "Calibration and offsets", [])
    calibration.parts.append(tables.calibration_table(product))
    return images, spectrum, calibration


def _solution(product):
    """Sections on how the solution came about."""
    subspace = Section("subspace", "Spectral subspace", [])
    subspace.parts += [
        plots.component_plot(product),
        component_pictures(product),
        tables.component_table(product),
    ]
    tuning = Section("tuning", "Regularisation", [])
    pictures = plots.tuning_pictures(product)
    tuning.parts.append(
        pictures or "The regularisation was given, or follows from a rule without a search."
    )
    tuning.parts.append(tables.tuning_table(product))
    weights = Section("weights", "Weights and flags", [])
    weights.parts += [
        "What constrains each pixel, from WMAP and DQ, as a share of the channels.",
        fields.quality_pictures(product),
        tables.origin_table(product),
    ]
    return subspace, tuning, weights


def _record(product):
    """Sections on input, parameters and versions."""
    dropped = Section("dropped", "What was left out, and other warnings", [])
    dropped.parts += tables.dropped_parts(product)
    record = Section(
        "record", "Input, parameters, versions", [tables.fusion_record_tables(product)]
    )
    return dropped, record
