"""Tables of a report on a fused cube."""

import numpy as np

from jwst_fusion.report.fused.agreement import band_agreements
from jwst_fusion.report.fused.image_checks import CALIBRATION, image_level
from jwst_fusion.report.fused.sources import find_sources
from jwst_fusion.report.levels import OFFSET, OFFSET_SIGMA
from jwst_fusion.report.page import Table, short

__all__ = [
    "calibration_table",
    "component_table",
    "dropped_parts",
    "facts",
    "fusion_record_tables",
    "left_out_table",
    "origin_table",
    "quality_table",
    "source_table",
    "tuning_table",
]

_ORIGINS = {
    3: "cube and an image in the band",
    5: "cube, and images of other bands",
    1: "cube only",
    10: "cube in other channels, and an image in the band",
    12: "cube and images in other channels",
    8: "cube in other channels only",
    2: "an image in the band only",
    4: "images of other bands only",
    0: "nothing",
}
_LISTED = 40  # warnings


def _number(value, digits=2):
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"


def facts(product):
    """
    List the most important numbers.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube.

    Returns
    -------
    list of (str, str)
        Name and value of each.
    """
    header, shape = product.header, product.data.shape
    used, given = header.get("FUSNIMG"), header.get("FUSNGIVN")
    images = f"{used} of {given}" if given else f"{used}"
    ratio = product.signal_to_noise
    middle = np.median(ratio[np.isfinite(ratio)]) if np.isfinite(ratio).any() else np.nan
    return [
        ("Images used", images),
        ("Pixels", f'{shape[2]} × {shape[1]} of {product.scale:.3f}"'),
        ("Channels", f"{shape[0]}, {product.wavelength[0]:.3f} to {product.wavelength[-1]:.3f} µm"),
        ("Lowest PSNR", f"{header['FUSPSNR']:.1f} dB" if "FUSPSNR" in header else "–"),
        ("Largest χ², images", short(header.get("FUSCHI2I", np.nan))),
        ("χ², cube", short(header.get("FUSCHI2C", np.nan))),
        ("Mean spectrum", f"{_number(100 * header.get('FUSSPERR', np.nan), 3)} % off"),
        ("Signal to noise", f"{_number(middle, 1)} (median)"),
    ]


def quality_table(product):
    """
    Tabulate how well each image is reproduced.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of the images.

    Returns
    -------
    Table
        One row for each image; what is worse than it should be is marked.
    """
    rows, marked, bands = [], set(), band_agreements(product)
    for index, row in enumerate(product.filters):
        rows.append(_quality_row(product.labels[index], row))
        if image_level(bands[index].image):
            marked |= {(index, 5), (index, 6)}
    return Table(
        ("Filter", "PSNR [dB]", "at best", "SSIM", "at best", "Error [%]", "χ²", "Pixels"),
        rows,
        "Fused cube seen through each filter against the noisy image. At best: what the truth "
        "would reach, for the noise in the image; above it, noise was fitted, too.",
        frozenset(marked),
    )


def _quality_row(label, row):
    return (
        label,
        _number(row["psnr"]),
        _number(row["psnr_ceiling"]),
        _number(row["ssim"], 4),
        _number(row["ssim_ceiling"], 4),
        _number(100 * row["relative_error"]),
        _number(row["chi2"]),
        str(int(row["pixels"])),
    )


def source_table(product):
    """
    Tabulate what data show of the brightest compact sources beyond the fused cube.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the images and maps of the cube in bands.

    Returns
    -------
    Table or None
        One row for each source; None if none stands out.
    """
    sources = find_sources(product)
    if not sources:
        return None
    rows = [
        (
            str(one.x),
            str(one.y),
            *(_share(part) for part in (one.image, one.cube, one.continuum, one.lines)),
            _number(100 * one.stated, 1),
            ", ".join(one.missing) or "–",
        )
        for one in sources
    ]
    return Table(
        ("x", "y", "Images [%]", "Cube [%]", "Continuum [%]", "Lines [%]", "Stated [%]", "Missing"),
        rows,
        "Compact sources, the brightest first: light that images and cube show in the shape of the "
        "source beyond the fused cube, relative to the source (lines: to its continuum); the error "
        "that the fused cube states for its peak; images without data there.",
    )


def _share(amount):
    return f"{_number(100 * amount.value, 1)} ± {_number(100 * amount.error, 1)}"


def left_out_table(product):
    """
    Tabulate how well images are predicted that were left out.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of images that were left out.

    Returns
    -------
    Table or None
        None without such images.
    """
    table = product.tables.get("left_out")
    if table is None:
        return None
    stated = "stated_error" in table.dtype.names  # not in products of earlier versions
    rows = []
    for row in table:
        quality = _quality_row("", row)[1:]
        expected = _number(100 * row["stated_error"]) if stated else "–"
        names = row["left_out"].replace("+", ", ")
        rows.append((row["filter"], names, *quality[:5], expected, *quality[5:]))
    return Table(
        (
            "Filter",
            "Fused without",
            "PSNR [dB]",
            "at best",
            "SSIM",
            "at best",
            "Error [%]",
            "Stated [%]",
            "χ²",
            "Pixels",
        ),
        rows,
        "Images that were left out, against what the others and the cube predict for them. Stated: "
        "the error that is expected of the prediction, without the noise of the image.",
    )


def calibration_table(product):
    """
    Tabulate calibration factors and offsets.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of the images.

    Returns
    -------
    Table
        One row for each image, offsets in milliarcsec; what is off or not known is marked.
    """
    rows, marked = [], set()
    for index, row in enumerate(product.filters):
        known = np.isfinite(row["calibration_error"])
        factor = f"{row['calibration']:.4f} ± {row['calibration_error']:.4f}" if known else "none"
        error = row["offset_error"]
        offset = "not measured"
        if np.isfinite(error):
            x, y = (1e3 * row[f"offset_{axis}"] for axis in "xy")
            offset = f"{x:.1f}, {y:.1f} ± {1e3 * error:.1f}"
        applied = f"{1e3 * row['applied_x']:.1f}, {1e3 * row['applied_y']:.1f}"
        rows.append(
            (
                product.labels[index],
                factor,
                offset,
                applied,
                f"{100 * row['coverage']:.1f}",
                row["throughput"],
                row["filename"],
            )
        )
        left = np.hypot(row["offset_x"] - row["applied_x"], row["offset_y"] - row["applied_y"])
        notable = left > max(OFFSET[0] * product.scale, OFFSET_SIGMA * error)
        if not np.isfinite(error) or notable:
            marked.add((index, 2))
        if not known or abs(np.log(row["calibration"])) > CALIBRATION[0]:
            marked.add((index, 1))
    return Table(
        (
            "Filter",
            "Image / cube",
            "Offset x, y [mas]",
            "taken out [mas]",
            "Band covered [%]",
            "Filter curve",
            "File",
        ),
        rows,
        "Brightness of each image relative to the cube, and where it was found relative to the "
        "cube, along x and y of the product.",
        frozenset(marked),
    )


def component_table(product):
    """
    Tabulate the spectral components.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of the components.

    Returns
    -------
    Table
        One row for each component.
    """
    table = product.tables.get("components")
    rows = []
    if table is not None:
        # Products of earlier versions lack the exponents.
        fitted = "exponent" in table.dtype.names
        rows = [
            (
                str(number),
                f"{row['eigenvalue']:.4g}",
                f"{100 * row['explained']:.4f}",
                f"{row['regularisation']:.3g}",
                f"{row['exponent']:.2f}" if fitted else "–",
            )
            for number, row in enumerate(table, start=1)
        ]
    titles = ("Component", "Variance / noise", "Explained so far [%]", "Strength µ", "Exponent")
    return Table(titles, rows)


def tuning_table(product):
    """
    Tabulate how the solution was tuned.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, of which keywords are read.

    Returns
    -------
    Table
        One row for each quantity.
    """
    header = product.header
    rows = [
        ("Rule for the regularisation", header.get("FUSTUNE", "–")),
        ("Components", f"{header.get('FUSNCOMP', '–')} ({header.get('FUSRANK', '–')})"),
        ("Noise of the images over their errors", _number(header.get("FUSNSIMG", np.nan))),
        ("Noise of the cube over its errors", _number(header.get("FUSNSCUB", np.nan))),
        ("Noise outside the subspace over the errors", _number(header.get("FUSSUBNS", np.nan))),
        ("Iterations", str(header.get("FUSITER", "–"))),
        ("Converged", "yes" if header.get("FUSCONV") else "no"),
        ("PSFs", f"{header.get('FUSPSF', '–')}, {header.get('FUSNODES', '–')} wavelengths"),
        (
            "PSF of the cube widened by",
            f'{_number(header.get("FUSBRACR", np.nan), 3)}" across, '
            f'{_number(header.get("FUSBRALO", np.nan), 3)}" along the slices (FWHM)',
        ),
    ]
    if "FUSPFIX" in header:
        rows += [
            ("PSF of the images, fitted", _fitted_width(header, "I")),
            ("PSF of the cube, fitted", _fitted_width(header, "C")),
            (
                "Shift of the cube, fitted",
                " and ".join(f'{_number(header[f"FUSPFD{axis}"], 4)}"' for axis in "XY"),
            ),
            (
                "Flux of point sources uncertain by this fit",
                f"{_number(100 * header['FUSPFERR'], 2)} %",
            ),
        ]
    told = [number for number in (1, 2, 3) if f"FUSPFB{number}" in header]
    if told:
        rows.append(
            (
                "Residuals at the brightest sources before and after the fit",
                ", ".join(
                    f"{_number(100 * header[f'FUSPFB{number}'], 2)} and "
                    f"{_number(100 * header[f'FUSPFA{number}'], 2)} %"
                    for number in told
                ),
            )
        )
    return Table(("Quantity", "Value"), rows)


def _fitted_width(header, instrument):
    """Gaussian of the fit in words: its widths (FWHM) along x and y."""
    widths = []
    for axis in "XY":
        value = header[f"FUSPF{instrument}{axis}"]
        widths.append(f'{_number(abs(value), 3)}" {"narrower" if value < 0 else "wider"}')
    return f"by a Gaussian {widths[0]} along x, {widths[1]} along y (FWHM)"


def origin_table(product):
    """
    Tabulate what constrains the voxels.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, or a joined one, of which a sample of channels is counted.

    Returns
    -------
    Table
        One row for each value of WMAP, the most frequent first, with its share in percent.
    """
    planes = [np.asarray(product.origin[i]).astype(np.int64) for i in product.sample]
    values, counts = np.unique(np.array(planes), return_counts=True)
    total = max(counts.sum(), 1)
    rows = [
        (str(value), _ORIGINS.get(int(value), "–"), f"{100 * count / total:.2f}")
        for value, count in sorted(zip(values, counts, strict=True), key=lambda pair: -pair[1])
    ]
    return Table(("WMAP", "Constrained by", "Voxels [%]"), rows)


def dropped_parts(product):
    """
    List images and data that were not used, and all warnings of the step.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of messages.

    Returns
    -------
    list
        Parts of a section.
    """
    header, table = product.header, product.tables.get("messages")
    used, given = header.get("FUSNIMG"), header.get("FUSNGIVN")
    parts = []
    if given:
        parts.append(f"{used} of {given} images were used.")
    if table is None:
        return [*parts, "The step gave no warning."]
    rows = [(row["source"], row["text"]) for row in table[:_LISTED]]
    parts.append(Table(("Part of the step", "Warning"), rows))
    if len(table) > _LISTED:
        parts.append(f"{len(table) - _LISTED} more stand in the extension FUSMESSAGES.")
    return parts


def fusion_record_tables(product):
    """
    Tabulate input, parameters and versions.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube.

    Returns
    -------
    tuple of Table
        Input, software, and the parameters in two halves.
    """
    header = product.header
    files = [("cube", header.get("FUSCUBE", "–"))]
    files += [(label, row["filename"]) for label, row in _images(product)]
    if header.get("ASNTABLE"):
        files.append(("association", header["ASNTABLE"]))
    rows = {}
    for row in product.tables.get("parameters", ()):
        rows.setdefault(row["name"], []).append(row["value"])
    parameters = [(name, ", ".join(values)) for name, values in rows.items()]
    versions = [(row["name"], row["version"]) for row in product.tables.get("software", ())]
    half = (len(parameters) + 1) // 2
    return (
        Table(("Input", "File"), files),
        Table(("Software", "Version"), versions),
        *(Table(("Parameter", "Value"), part) for part in (parameters[:half], parameters[half:])),
    )


def _images(product):
    return zip(product.labels, product.filters, strict=True)
