"""Point sources with spectra of their own in a report on a fused cube: table and spectra."""

import numpy as np

from jwst_fusion.report.page import Section, Table, short
from jwst_fusion.report.picture import COLOURS, Picture, new_figure, range_of

__all__ = ["source_sections"]

_LISTED = 50  # sources in the table, the most significant ones
_DRAWN = 8  # spectra
_MICROJANSKY = 1e6  # in Jy


def source_sections(product):
    """
    Show the point sources of a fused cube.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube.

    Returns
    -------
    list of Section
        One section with a table and spectra; nothing if there are no sources.
    """
    table = product.tables.get("sources")
    if table is None or not len(table):
        return []
    order = np.argsort(-np.nan_to_num(np.asarray(table["significance"], float), nan=np.inf))
    brightest = order[np.argsort(-_mean_flux(product)[order], kind="stable")]
    pictures = [_spectrum(product, number) for number in brightest[:_DRAWN]]
    words = (
        "Sources that the fusion took as points, each with a spectrum of its own; their light is "
        "part of the cube. Significance is against noise and the structure around a source. "
        "The spectra are in the file *_sources_x1d.fits, with the part of their errors that "
        "channels share."
    )
    return [Section("sources", "Point sources", [words, _table(product, order), pictures])]


def _mean_flux(product):
    flux = np.asarray(product.arrays["source_flux"], float)
    known = np.isfinite(flux)
    return np.sum(np.where(known, flux, 0), 1) / np.maximum(known.sum(1), 1)


def _table(product, order):
    table, scale = product.tables["sources"], product.scale
    flux, error = _in_filters(product)
    rows = []
    for number in order[:_LISTED]:
        row = table[number]
        significance = float(row["significance"])
        rows.append(
            (
                str(row["name"]),
                f"{row['ra']:.7f}",
                f"{row['dec']:.7f}",
                f"{row['x']:.2f}, {row['y']:.2f}",
                _errors(row, scale),
                short(significance) if np.isfinite(significance) else "–",
                "given" if row["given"] else "found",
                *(_value(*one) for one in zip(flux[number], error[number], strict=True)),
            )
        )
    left = len(table) - len(rows)
    more = f" {left} more are in the table FUSSOURCES of the product." if left else ""
    return Table(
        (
            "Source",
            "RA [°]",
            "Dec [°]",
            "Pixel x, y",
            "Error [mas]",
            "Significance",
            "Position",
            *(f"{label} [µJy]" for label in product.labels),
        ),
        rows,
        "Positions with their 1-sigma errors along x and y, and fluxes in the band of each filter "
        f"with the errors of their spectra.{more}",
    )


def _errors(row, scale):
    values = [1000 * scale * float(row[name]) for name in ("x_error", "y_error")]
    return ", ".join(f"{one:.1f}" if np.isfinite(one) else "–" for one in values)


def _value(flux, error):
    if not np.isfinite(flux):
        return "–"
    return f"{short(_MICROJANSKY * flux)} ± {short(_MICROJANSKY * error)}"


def _in_filters(product):
    """Fluxes (J, F) of the sources in the bands of the filters, and their errors, Jy."""
    flux, error = (
        np.asarray(product.arrays[name], float) for name in ("source_flux", "source_error")
    )
    factor = np.asarray(product.arrays.get("source_covariance", np.zeros((*flux.shape, 0))), float)
    known = np.isfinite(flux) & np.isfinite(error)
    response = np.asarray(product.arrays["responses"], float)
    # channels without data take no part
    weights = response[None] * known[:, None]
    total = weights.sum(2, keepdims=True)
    weights = np.divide(weights, total, out=np.full_like(weights, np.nan), where=total > 0)
    own = np.maximum(np.where(known, error, 0) ** 2 - np.sum(factor**2, 2), 0)
    shared = np.einsum("jfl,jlq->jfq", weights, factor)
    variance = np.einsum("jfl,jl->jf", weights**2, own) + np.sum(shared**2, 2)
    return np.einsum("jfl,jl->jf", weights, np.where(known, flux, 0)), np.sqrt(variance)


def _spectrum(product, number):
    """Plot of one spectrum with its error, microjansky over micrometre."""
    row, wave = product.tables["sources"][number], product.wavelength
    flux, error = (
        _MICROJANSKY * np.asarray(product.arrays[name][number], float)
        for name in ("source_flux", "source_error")
    )
    figure, axis = new_figure(height=0.8)
    axis.fill_between(
        wave, flux - error, flux + error, color=COLOURS["fused"], alpha=0.3, lw=0, label="± 1 σ"
    )
    axis.plot(wave, flux, color=COLOURS["fused"], lw=1.0, label="point source")
    range_of(axis, flux)
    axis.set_xlabel("wavelength [µm]", fontsize=10)
    axis.set_ylabel("flux [µJy]", fontsize=10)
    axis.set_title(str(row["name"]), fontsize=11)
    axis.legend(fontsize=9, frameon=False)
    return Picture(
        f"source_{number + 1}",
        figure,
        f"Spectrum of the point source {row['name']} with its error.",
        f"pixel x {row['x']:.2f}, y {row['y']:.2f}; RA {row['ra']:.7f}, Dec {row['dec']:.7f}",
        wide=True,
    )
