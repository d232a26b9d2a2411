"""Verdict on a fused cube: whether to trust it, from its own numbers.

A fault means that the cube should not be used as it is, a caution that it should be looked at, a
note is worth knowing. The limits are those at which simulated scenes, with their truth known, go
wrong; the page on reports in the documentation lists them.
"""

from jwst_fusion.report.fused.agreement import band_agreements
from jwst_fusion.report.fused.band_checks import check_bands
from jwst_fusion.report.fused.cube_checks import (
    check_convergence,
    check_cube,
    check_dropped,
    check_left_out,
    check_messages,
    check_noise,
    check_psf_fit,
)
from jwst_fusion.report.fused.image_checks import (
    check_backgrounds,
    check_calibration,
    check_images,
    check_offsets,
    check_unlike,
)
from jwst_fusion.report.fused.source_checks import check_sources
from jwst_fusion.report.fused.sources import find_holes, find_sources
from jwst_fusion.report.levels import ORDER, sum_up, worse
from jwst_fusion.report.page import Finding
from jwst_fusion.report.voxels import check_voxels

__all__ = ["find_findings", "verdict_of"]

# Causes come before their effects.
_CAUSES = (
    "unlike",
    "offset",
    "psf",
    "calibration",
    "background",
    "brightness",
    "shift",
    "offset_unknown",
    "dropped",
    "convergence",
)


def find_findings(product):
    """
    Look for what the reader of a fused cube should know before using it.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube.

    Returns
    -------
    list of Finding
        Faults first.
    """
    bands = band_agreements(product)
    found = [
        *check_convergence(product),
        *check_unlike(product),
        *check_images(product, bands),
        *check_offsets(product, bands),
        *check_backgrounds(product),
        *check_calibration(product),
        *check_bands(product, bands),
        *check_sources(find_sources(product), find_holes(product)),
        *check_noise(product, bands),
        *check_psf_fit(product),
        *check_cube(product, bands),
        *check_left_out(product),
        *check_dropped(product),
        *check_voxels(product),
        *check_messages(product),
    ]
    return sorted([*found, *_psf(found)], key=_rank)


def _rank(finding):
    cause = finding.key not in _CAUSES, _CAUSES.index(finding.key) if finding.key in _CAUSES else 0
    return ORDER[finding.level], *cause


def verdict_of(findings):
    """
    Sum findings up.

    Parameters
    ----------
    findings : sequence of Finding
        What `find_findings` found.

    Returns
    -------
    tuple of str
        Level, and a sentence.
    """
    causes = [one for one in findings if one.key in _CAUSES and one.level == "fault"]
    return sum_up(
        findings, "Cube and images agree: nothing speaks against this cube.", causes=causes
    )


def _psf(found):
    """Suspect the PSF if residuals have structure and nothing else explains it."""
    structured = [one for one in found if one.key in ("structure", "structure_cube")]
    other = (
        "unlike",
        "offset",
        "shift",
        "calibration",
        "background",
        "brightness",
        "offset_unknown",
    )
    if structured and not any(one.key in other and one.level != "note" for one in found):
        # Noise scales grow with such residuals.
        follows = [one for one in found if one.key == "noise_scale" and one.level != "note"]
        yield Finding(
            "psf",
            worse(*(one.level for one in (*structured, *follows))),
            "the PSF does not seem to fit the data",
            "Residuals follow the scene, while offsets and calibration are right. Rings around "
            "stars, in the pictures, confirm it. See psf_source, psf_broadening, trace_oversample "
            "and the angles roll_image and roll_cube.",
            "field",
        )
