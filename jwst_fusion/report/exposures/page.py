"""Assemble the report on a cube fused from exposures."""

import numpy as np
from matplotlib.colors import Normalize

from jwst_fusion.metrics.lines import chosen_lines
from jwst_fusion.report.components import component_pictures
from jwst_fusion.report.exposures.checks import (
    exposure_verdict,
    find_exposure_findings,
    noise_level,
    offset_level,
    outlier_level,
)
from jwst_fusion.report.frame import Frame
from jwst_fusion.report.fused import fields, plots, tables
from jwst_fusion.report.fused.point_sources import source_sections
from jwst_fusion.report.fused.product import read_fused_exposures
from jwst_fusion.report.measures import pick_places, pixels_of
from jwst_fusion.report.page import Page, Section, Table, short, write_page
from jwst_fusion.report.picture import Picture, asinh_stretch, sky_panel
from jwst_fusion.report.stand_ins import with_stand_ins

__all__ = ["exposure_page", "write_exposure_report"]

_RESOLUTIONS = {"imager": "imager", "ifu": "spectrograph", "deconvolved": "deconvolved"}
_SIGMA = 5.0  # ends of the scale of residual maps, standard deviations


def write_exposure_report(path, hdus, *, name=None, positions=(), lines=()):
    """
    Write the report on a cube fused from exposures.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The page; its figures go to a folder of the same name beside it.
    hdus : `~astropy.io.fits.HDUList`
        The fused cube.
    name : str, optional
        Name of its file, by default that in the header.
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
        If this is not a cube fused from exposures, or a position or line lies outside.
    """
    product = read_fused_exposures(hdus, name)
    return write_page(path, exposure_page(product, positions=positions, lines=lines))


def exposure_page(product, *, positions=(), lines=()):
    """
    Put the report on a cube fused from exposures together.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube.
    positions, lines : sequence, optional
        As for `write_exposure_report`.

    Returns
    -------
    Page
        The report, not yet written.
    """
    chosen = pixels_of(product, positions)
    spectrum = product.channels["mean_fused"]
    mapped = chosen_lines(product.wavelength, spectrum, lines, name=product.name)
    places = pick_places(product, factor=int(product.header.get("FUSFACT", 3)), chosen=chosen)
    frame = Frame.of(product)
    marks = [(one.letter, frame.place(one.y, one.x)) for one in places]
    findings = find_exposure_findings(product)
    verdict, findings = with_stand_ins(exposure_verdict(findings), findings, product)
    header = product.header
    words = [str(header[key]) for key in ("TARGNAME", "TARGPROP") if header.get(key)][:1]
    words += [f"{header.get('INSTRUME', '')} {header.get('GRATING') or header.get('BAND') or ''}"]
    words += [", ".join(product.labels) or "no images"]
    maps = Section("lines", "Lines and continuum", fields.line_pictures(product, None, mapped))
    if not mapped:
        maps.parts.append("No emission line stands out of the mean spectrum.")
    spectra = Section("spectra", "Spectra of single pixels", [])
    spectra.parts.append([plots.spectrum_picture(product, None, one) for one in places])
    return Page(
        title=f"Fusion report: {product.name}",
        subtitle=" · ".join(word.strip() for word in words),
        verdict=verdict,
        facts=_facts(product),
        findings=findings,
        summary=[_picture(product, "summary")],
        sections=[
            Section("field", "The field", [[_picture(product, "field", marks)]]),
            maps,
            spectra,
            *source_sections(product),
            _exposures(product),
            *_images(product),
            _solution(product),
            _weights(product),
            Section("dropped", "What was left out, and other warnings", _dropped(product)),
            Section("record", "Input, parameters, versions", [_record(product)]),
        ],
    )


def _picture(product, name, marks=()):
    """Mean over the wavelengths."""
    image = product.brightness
    figure = sky_panel(
        image,
        Frame.of(product),
        title="mean over wavelength",
        norm=asinh_stretch(image),
        arrows=True,
        marks=marks,
    )
    return Picture(f"{name}_mean", figure, "The fused cube, mean over wavelength.")


def _facts(product):
    header, shape, ratio = product.header, product.data.shape, product.signal_to_noise
    middle = np.median(ratio[np.isfinite(ratio)]) if np.isfinite(ratio).any() else np.nan
    return [
        ("Exposures used", f"{header.get('FUSNEXP')} of {header.get('FUSNEXPG')}"),
        ("Images used", f"{header.get('FUSNIMG')} of {header.get('FUSNGIVN')}"),
        ("Resolution", _RESOLUTIONS.get(header.get("FUSRESOL"), "–")),
        ("Pixels", f'{shape[2]} × {shape[1]} of {product.scale:.3f}"'),
        ("Channels", f"{shape[0]}, {product.wavelength[0]:.3f} to {product.wavelength[-1]:.3f} µm"),
        ("χ², exposures", short(header.get("FUSCHI2C", np.nan))),
        ("Strongest residual", _strongest(header)),
        ("Largest χ², images", short(header.get("FUSCHI2I", np.nan))),
        ("Signal to noise", f"{middle:.1f} (median)" if np.isfinite(middle) else "–"),
    ]


def _strongest(header):
    if "FUSRSIG" not in header:
        return "–"
    added = ", added" if header.get("FUSRADD") else ""
    return f"{header['FUSRSIG']:+.1f} σ at {header['FUSRWAVE']:.3f} µm{added}"


def _exposures(product):
    """Table of the exposures, and chi-square of the channels."""
    rows, marked = [], set()
    for number, row in enumerate(product.tables["exposures"]):
        offset = "–"
        if row["offset_x_error"] > 0 or row["offset_y_error"] > 0:
            offset = ", ".join(
                f"{1000 * row[f'offset_{axis}']:+.1f} ± {1000 * row[f'offset_{axis}_error']:.1f}"
                for axis in "xy"
            )
        rows.append(
            (
                str(row["filename"]),
                f"{row['detector']} {row['grating']}",
                f"{row['roll']:.2f}",
                f"{row['chi2']:.3f}",
                f"{row['noise_scale']:.3f}",
                str(int(row["pixels"])),
                str(int(row["outliers"])),
                offset,
                _light(row),
                f"{1000 * row['psf_x']:+.0f}, {1000 * row['psf_y']:+.0f}",
            )
        )
        levels = {4: noise_level(row["noise_scale"]), 6: outlier_level(row)}
        levels[7] = offset_level(row, product.scale)
        marked |= {(number, column) for column, level in levels.items() if level}
    head = ("Exposure", "Detector", "Roll [°]", "χ²", "Noise / errors", "Pixels", "Outliers")
    words = (
        "Residuals of the native pixels over their stated errors, pixels used and left out; offset "
        "that was fitted and taken out; brightness over that of the first one, and level beyond "
        "it in MJy/sr; Gaussian by which the PSF was widened (negative: narrowed)."
    )
    more = ("Offset x, y [mas]", "Factor, level", "PSF x, y [mas]")
    table = Table((*head, *more), rows, words, frozenset(marked))
    return Section(
        "exposures", "Exposures against the fused cube", [table, [plots.channel_picture(product)]]
    )


def _light(row):
    """Brightness of an exposure over that of the first one, if it was fitted."""
    if not row["gain_error"] > 0:
        return "–"
    gain = f"{row['gain']:.4f} ± {row['gain_error']:.4f}"
    return f"{gain}, {row['level']:+.3f} ± {row['level_error']:.3f}"


def _images(product):
    """Images with their residuals, brightness and place."""
    if not product.labels:
        return []
    frame, groups, rows = Frame.of(product), [], []
    for index, (label, row) in enumerate(zip(product.labels, product.filters, strict=True)):
        image = product.arrays["images"][index]
        model = image - product.arrays["residuals"][index]
        norm = asinh_stretch(image)
        groups.append(
            [
                Picture(
                    f"image_{label.lower()}_{key}",
                    sky_panel(shown, frame, title=f"{label}: {key}", norm=scale, label=unit),
                    f"{label}, {key}.",
                )
                for key, shown, scale, unit in (
                    ("image", image, norm, "MJy/sr"),
                    ("fused", model, norm, "MJy/sr"),
                    ("residual", product.residual_sigma[index], Normalize(-_SIGMA, _SIGMA), "σ"),
                )
            ]
        )
        rows.append(
            (
                label,
                str(row["filename"]),
                f"{row['psnr']:.1f} / {row['psnr_ceiling']:.1f}",
                f"{row['chi2']:.2f}",
                f"{row['calibration']:.4f} ± {row['calibration_error']:.4f}",
                f"{1000 * row['applied_x']:+.1f}, {1000 * row['applied_y']:+.1f}",
            )
        )
    words = (
        "PSNR at the pixels of the image, and what its noise allows; brightness over that of the "
        "exposures; the offset that was given."
    )
    head = ("Image", "File", "PSNR / at best [dB]", "χ²", "Factor", "Offset x, y [mas]")
    return [Section("images", "Images against the fused cube", [Table(head, rows, words), *groups])]


def _solution(product):
    parts = [*plots.component_plot(product)]
    parts = [parts, component_pictures(product, "MJy/sr"), tables.component_table(product)]
    return Section("subspace", "Spectral subspace", parts)


def _weights(product):
    return Section(
        "weights",
        "Weights and flags",
        [
            "What constrains each pixel, from WMAP and DQ, as a share of the channels; the "
            "exposures stand for the cube.",
            fields.quality_pictures(product),
            tables.origin_table(product),
        ],
    )


def _dropped(product):
    header = product.header
    words = f"{header.get('FUSNEXP')} of {header.get('FUSNEXPG')} exposures were used."
    return [words, *tables.dropped_parts(product)]


def _record(product):
    found = tables.fusion_record_tables(product)
    names = list(dict.fromkeys(str(row["filename"]) for row in product.tables["exposures"]))
    files = [("exposure", name) for name in names]
    files += [row for row in found[0].rows if row[0] != "cube"]
    return (Table(("Input", "File"), files), *found[1:])
