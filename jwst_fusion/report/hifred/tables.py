"""Tables of a report on a cube fused from two or more."""

import numpy as np

from jwst_fusion.report.hifred.checks import CHI2, IMAGE, SPECTRUM
from jwst_fusion.report.mismatch import excess, reduced
from jwst_fusion.report.page import Table, short

__all__ = [
    "agreement_table",
    "hifred_facts",
    "hifred_record_tables",
    "mismatch_table",
    "solver_table",
]


def hifred_facts(product):
    """
    List the most important numbers.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube and what it says of X and Y.

    Returns
    -------
    list of (str, str)
        Name and value of each.
    """
    header, shape = product.header, product.data.shape
    edges, size = product.edges, f'of {product.scale:.3g}"' if product.wcs is not None else ""
    field = product.field
    ratio = np.exp(field.brightness.value)
    shift = np.hypot(*(one.value for one in field.shift))
    return [
        ("χ², X", short(header.get("HIFCHI2X", np.nan))),
        ("χ², Y", short(header.get("HIFCHI2Y", np.nan))),
        ("Brightness Y / X", f"{ratio:.3f}" if np.isfinite(ratio) else "–"),
        ("Offset Y − X", f"{shift:.2f} pixels" if np.isfinite(shift) else "–"),
        ("Pixels", f"{shape[2]} × {shape[1]} {size}"),
        ("Channels", f"{shape[0]}, {edges[0]:.4g} to {edges[-1]:.4g} {product.axis_unit}"),
        ("Components", f"{header.get('HIFRANK', '–')}"),
        ("Converged", "yes" if header.get("HIFCONV") else "no"),
    ]


def agreement_table(product):
    """
    Tabulate how well each cube is reproduced.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube and what it says of X and Y.

    Returns
    -------
    Table
        One row for each cube; what is worse than it should be is marked.
    """
    rows, marked = [], set()
    known = product.normalisations
    for number, compared in enumerate(product.observations):
        letter = compared.letter
        chi2 = product.header.get(f"HIFCHI2{letter}", known.get(letter, [np.nan])[-1])
        image, spectrum = compared.total, compared.spectrum
        sums = [float(np.nansum(one)) for one in spectrum[:2]]
        off = 100 * (sums[0] / sums[1] - 1) if sums[1] else np.nan
        used = np.asarray(compared.channels["used"])
        rows.append(
            (
                compared.letter,
                short(chi2),
                short(reduced(*image)),
                f"{100 * excess(*image):.2f}",
                short(reduced(*spectrum)),
                f"{100 * excess(*spectrum):.2f}",
                f"{off:+.2f}",
                f"{np.nanmedian(compared.pixels[1]):.2f} ({np.nanmedian(compared.pixels[2]):.2f})",
                f"{int(np.sum(used > 0))} of {len(used)}",
                f"{int(np.isfinite(compared.images[0]).sum())} of {compared.images[0].size}",
                *(_normalisation(known[letter]) if known else ()),
            )
        )
        for column, value, limit in (
            (1, chi2, CHI2[0]),
            (3, excess(*image), IMAGE[0]),
            (5, excess(*spectrum), SPECTRUM[0]),
        ):
            if value > limit:
                marked.add((number, column))
    return Table(
        (
            "Cube",
            "χ²",
            "χ², image",
            "beyond noise [%]",
            "χ², spectrum",
            "beyond noise [%]",
            "Observed − expected [%]",
            "Spectral angle (noise) [°]",
            "Channels used",
            "Pixels used",
            *(("Normalisation", "Offset along x, y [pixels of X]") if known else ()),
        ),
        rows,
        "Each cube against the fused one as it would see it: voxel by voxel, image of all "
        "channels, spectrum of all pixels. Beyond noise: root mean square of the residuals without "
        "the noise, relative to image or spectrum. Angle: median over the pixels."
        + (
            " Normalisation: how much more of the source a cube shows than its response says, "
            "relative to X. Offset: how far the source lies in it from where its coordinates say, "
            "to first order, relative to X; it is not corrected."
            if known
            else ""
        ),
        frozenset(marked),
    )


def _normalisation(known):
    value, error, *offsets, _ = known
    if not error > 0:
        yield from (f"{value:.4g}", "–")
        return
    yield f"{value:.5g} ± {error:.2g}"
    pairs = zip(offsets[::2], offsets[1::2], strict=True)
    yield ", ".join(f"{one:+.2f} ± {its:.2f}".replace("-", "−") for one, its in pairs)


def mismatch_table(product):
    """
    Tabulate how X and Y differ.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, with the images and spectra of X and Y.

    Returns
    -------
    Table
        One row for each quantity, in pixels of X, eV or nm.
    """
    field, spectral = product.field, product.spectral
    factor, unit = 1e3, "eV" if product.counts else "nm"
    rows = [
        ("Brightness of Y over that of X, logarithm", _amount(field.brightness), ""),
        ("Offset of Y along x", _amount(field.shift[0]), "pixels of X"),
        ("Offset of Y along y", _amount(field.shift[1]), "pixels of X"),
        ("Squared width of the PSF of Y over that given", _amount(field.spread), "pixels² of X"),
        ("Uniform light of Y beyond X, over the mean", _amount(field.level), ""),
        ("Shift of Y along the spectrum", _amount(spectral.shift[0], factor), unit),
        (
            "Squared width of the spectral response of X over that given",
            _amount(spectral.spread, factor**2),
            f"{unit}²",
        ),
    ]
    return Table(
        ("Quantity", "Value", "Unit"),
        rows,
        "What would bring both cubes together, to first order, from the residuals of both. Errors "
        "follow the scatter that is left.",
    )


def _amount(one, factor=1.0):
    if not np.isfinite(one.value):
        return "not measured"
    sign = "+" if one.value >= 0 else "−"
    return f"{sign}{short(factor * abs(one.value))} ± {short(factor * one.error)}"


def solver_table(product):
    """
    Tabulate how the solution came about.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, with the table of the steps.

    Returns
    -------
    Table
        One row for each quantity.
    """
    header, history = product.header, product.tables["history"]
    names = {"HIFREGUL": "Regularisation", "HIFLIKE": "Likelihood", "HIFCHOSE": "Chosen"}
    names |= {"HIFRANK": "Components", "HIFSTREN": "Strength", "HIFITER": "Iterations"}
    names |= {"HIFACCUR": "Accuracy", "HIFOBJEC": "Objective"}
    rows = [(text, _value(header[key])) for key, text in names.items() if key in header]
    rows.append(("Converged", "yes" if header.get("HIFCONV") else "no"))
    rows.append(("Negative light set to zero", f"{100 * header.get('HIFCLIP', np.nan):.3f} %"))
    rows.append(("CPU time of the last solve", f"{history['seconds'].max():.1f} s"))
    return Table(("Quantity", "Value"), rows)


def _value(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def hifred_record_tables(product):
    """
    Tabulate input, parameters and versions.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube.

    Returns
    -------
    tuple of Table
        Input, software, and the parameters in two halves.
    """
    header = product.header
    files = [(f"{compared.letter}", compared.file) for compared in product.observations]
    if header.get("ASNTABLE"):
        files.append(("association", header["ASNTABLE"]))
    parameters = _pairs(product.tables.get("parameters"), "name", "value")
    half = (len(parameters) + 1) // 2
    return (
        Table(("Input", "File"), files),
        Table(("Software", "Version"), _pairs(product.tables.get("software"), "name", "version")),
        *(Table(("Parameter", "Value"), part) for part in (parameters[:half], parameters[half:])),
    )


def _pairs(table, *names):
    rows = () if table is None else table
    return [tuple(_text(row[name]) for name in names) for row in rows]


def _text(value):
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()
