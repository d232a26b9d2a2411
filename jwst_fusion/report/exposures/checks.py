"""What the reader of a cube fused from exposures should know, from its own numbers."""

import numpy as np

from jwst_fusion.report.fused.cube_checks import check_convergence, check_dropped, check_messages
from jwst_fusion.report.levels import OFFSET, OFFSET_SIGMA, ORDER, level_of, sum_up
from jwst_fusion.report.page import Finding
from jwst_fusion.report.voxels import check_voxels

__all__ = [
    "exposure_verdict",
    "find_exposure_findings",
    "noise_level",
    "offset_level",
    "outlier_level",
    "structure_level",
]

# Scatter of residuals over the stated errors: caution, fault. The errors, the PSF or the
# calibration are not right then.
NOISE = (1.5, 2.5)
# Standard deviations of the strongest sum of residuals, 3 x 3 spaxels and 3 channels, and its part
# of the brightness there. Of some 10^7 sums of noise the strongest has 5.5; what is less than some
# per cent of a bright star is rather its PSF.
STRUCTURE, STRUCTURE_PART = 7.0, 0.05
# Share of the pixels that were left out; cosmic rays that no step has flagged are below a percent.
OUTLIERS = (0.02, 0.1)


def noise_level(scale):
    """
    Tell whether data scatter as their errors say.

    Parameters
    ----------
    scale : float
        Scatter over stated errors.

    Returns
    -------
    str or None
        Level, as `~jwst_fusion.report.levels.level_of` has it.
    """
    return level_of(float(scale), NOISE)


def outlier_level(row):
    """
    Tell whether too many pixels of an exposure were left out.

    Parameters
    ----------
    row : record
        Row of the table of exposures.

    Returns
    -------
    str or None
        Level.
    """
    return level_of(
        float(row["outliers"]) / max(int(row["pixels"]) + int(row["outliers"]), 1), OUTLIERS
    )


def offset_level(row, scale):
    """
    Tell whether an offset that was fitted is large.

    Parameters
    ----------
    row : record
        Row of the table of exposures.
    scale : float
        Pixel of the cube, arcsec.

    Returns
    -------
    str or None
        "note", since it is taken out; None if there is none.
    """
    size = np.hypot(row["offset_x"], row["offset_y"])
    error = np.hypot(row["offset_x_error"], row["offset_y_error"])
    return "note" if size > max(OFFSET[0] * scale, OFFSET_SIGMA * error) else None


def find_exposure_findings(product):
    """
    Look for what the reader of a cube fused from exposures should know before using it.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of exposures.

    Returns
    -------
    list of Finding
        Faults first.
    """
    found = [
        *check_convergence(product),
        *_exposures(product),
        *_residual(product),
        *_images(product),
        *check_dropped(product),
        *_dropped_exposures(product),
        *check_voxels(product),
        *check_messages(product),
    ]
    return sorted(found, key=lambda one: ORDER[one.level])


def exposure_verdict(findings):
    """
    Sum findings up.

    Parameters
    ----------
    findings : sequence of Finding
        What `find_exposure_findings` found.

    Returns
    -------
    tuple of str
        Level, and a sentence.
    """
    good = (
        "Every exposure and image is explained within its errors. Of PSFs only widths are "
        "fitted: what another wavefront does to stars is not seen here."
    )
    return sum_up(findings, good)


def _exposures(product):
    table = product.tables["exposures"]
    worst = table[np.argmax(table["noise_scale"])]
    level = noise_level(worst["noise_scale"])
    if level:
        yield Finding(
            "noise_scale",
            level,
            "exposures scatter more than their errors say",
            f"{worst['filename']} {worst['grating']}: {worst['noise_scale']:.2f} times. Errors, "
            "PSF or coordinates are not right, or the scene has spectra that no component has.",
            "exposures",
        )
    rows = [(row, outlier_level(row)) for row in table]
    for row, level in rows:
        if level:
            yield Finding(
                "outliers",
                level,
                f"many pixels of {row['filename']} are left out",
                f"{row['outliers']} of {row['pixels'] + row['outliers']}. The residual exposures "
                "(save_reobserved) show where they are.",
                "exposures",
            )
    moved = [row for row in table if offset_level(row, product.scale)]
    if moved:
        yield Finding(
            "offset",
            "note",
            f"{len(moved)} exposures are elsewhere than their coordinates say",
            "The offsets are taken out; the table has them.",
            "exposures",
        )


def structure_level(header):
    """
    Tell whether exposures show light that the scene does not have.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Primary header of the cube.

    Returns
    -------
    str or None
        "note" if it is significant, "caution" if it is bright as well; None if it is noise, or has
        been added to the cube.
    """
    if header.get("FUSRADD") or not abs(header.get("FUSRSIG", 0.0)) > STRUCTURE:
        return None
    return "caution" if header.get("FUSRPART", 0.0) > STRUCTURE_PART else "note"


def _residual(product):
    header = product.header
    level = structure_level(header)
    if level:
        yield Finding(
            "residual",
            level,
            "the exposures show light that the cube does not have",
            f"{header['FUSRSIG']:+.1f} sigma in 3 x 3 spaxels and 3 channels around "
            f"{header['FUSRWAVE']:.4f} um, column {header['FUSRX']:.0f}, row {header['FUSRY']:.0f}"
            f" ({100 * header['FUSRPART']:.1f} % of the brightness there): a spectrum that no "
            "component has, or another PSF. save_reobserved writes the residuals, add_residual "
            "adds them.",
            "exposures",
        )


def _images(product):
    for label, row in zip(product.labels, product.filters, strict=True):
        chi2 = float(row["chi2"])
        level = level_of(np.sqrt(chi2) if np.isfinite(chi2) else np.nan, NOISE)
        if level:
            yield Finding(
                "images",
                level,
                f"the image {label} does not fit",
                f"Its residuals have a chi-square of {chi2:.1f}: another PSF, place or brightness "
                "than the exposures have.",
                "images",
            )


def _dropped_exposures(product):
    header = product.header
    used, given = header.get("FUSNEXP", 0), header.get("FUSNEXPG", 0)
    if given > used:
        yield Finding(
            "dropped_exposures",
            "caution",
            f"{given - used} of {given} exposures not used",
            "The warnings of the fusion, below, say why; exposures of another grating have a cube "
            "of their own.",
            "dropped",
        )
