"""Checks of a fused cube as a whole: convergence, noise, spectra, voxels, messages.

The limits are those at which simulated scenes, with their truth known, go wrong.
"""

import numpy as np

from jwst_fusion.report.levels import level_of, worse
from jwst_fusion.report.measures import residual_structure, spaxel_means
from jwst_fusion.report.page import Finding, short

__all__ = [
    "check_convergence",
    "check_cube",
    "check_dropped",
    "check_left_out",
    "check_messages",
    "check_noise",
]

# The same of the cube, median over channels; and below which errors are overstated.
CUBE_CHI2 = (2.0, 5.0)
# Noise relative to the errors.
NOISE_SCALE = (2.5, 6.0)
# Mean spectrum of the re-observed cube, median relative error.
SPECTRUM = (0.02, 0.1)
# Residuals of an image that was left out, relative to the image.
LEFT_OUT = (0.1, 0.3)
# Rank correlation of the residuals of the cube in a band with gradients: cube_build leaves 0.18.
STRUCTURE = 0.3
# Mean square of these residuals, in sigma, if they have structure.
BAND_CHI2 = (2.0, 50.0)
# Warnings of these modules speak of what is usual.
_USUAL = ("bandpass", "fusion.solver.outliers", "fusion.robust", "psf")


def check_convergence(product):
    """
    Look whether the solution converged.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, of which the keyword FUSCONV is read.

    Yields
    ------
    Finding
    """
    if not product.header.get("FUSCONV", True):
        yield Finding(
            "convergence",
            "caution",
            "the solution did not converge",
            "The solver or the search for the regularisation stopped before it had settled.",
            "tuning",
        )


def check_noise(product):
    """
    Look for data that scatter more than their errors.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, of which the keywords FUSNSIMG and FUSNSCUB are read.

    Yields
    ------
    Finding
    """
    for key, name in (("FUSNSIMG", "images"), ("FUSNSCUB", "cube")):
        value = product.header.get(key, 1.0)
        level = level_of(value, NOISE_SCALE)
        if level:
            yield Finding(
                "noise_scale",
                level,
                f"the {name} scatter more than their errors"
                if name == "images"
                else "the cube scatters more than its errors",
                f"Errors had to be taken {value:.1f} times as large. They are understated, or PSF, "
                "offset or calibration are wrong.",
                "tuning",
            )


def check_cube(product):
    """
    Look at the re-observed cube.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with its keywords FUSCHI2C and FUSREERR and the residuals of the cube.

    Yields
    ------
    Finding
    """
    chi2 = product.header.get("FUSCHI2C", np.nan)
    level = level_of(chi2, CUBE_CHI2)
    if level:
        yield Finding(
            "chi2_cube",
            level,
            "the cube is not reproduced within its errors",
            f"Reduced chi-square {chi2:.1f} (median channel). Too few components, a wrong PSF, or "
            "understated errors.",
            "spectrum",
        )
    yield from _structure(product)
    error = product.header.get("FUSREERR", np.nan)
    level = level_of(error, SPECTRUM)
    if level:
        yield Finding(
            "spectrum",
            level,
            "the mean spectrum is not that of the cube",
            f"Re-observed, it differs by {100 * error:.1f} % (median channel).",
            "spectrum",
        )


def _structure(product):
    """Residuals of the cube that follow the scene, in the bands of the filters."""
    found, level = [], None
    for index, label in enumerate(product.labels):
        residual = np.asarray(product.arrays["cube_residuals"][index], float)
        model = product.arrays["images"][index] - product.arrays["residuals"][index]
        scene = spaxel_means(model, residual.shape)
        chi2 = np.nanmean(residual**2) if np.isfinite(residual).any() else np.nan
        structure = residual_structure(residual, scene)
        if structure > STRUCTURE and chi2 > BAND_CHI2[0]:
            found.append(f"{label}: {structure:.2f}, chi-square {short(chi2)}")
            level = worse(level, level_of(chi2, BAND_CHI2))
    if found:
        yield Finding(
            "structure_cube",
            level,
            "residuals of the cube are structured",
            "In the band of a filter, they follow the edges of the scene, as those of a wrong PSF "
            f"or offset do. Rank correlation (noise: 0): {'; '.join(found)}.",
            "spectrum",
        )


def check_left_out(product):
    """
    Look at images that were left out and predicted.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of images that were left out, if it has one.

    Yields
    ------
    Finding
    """
    for row in product.tables.get("left_out", ()):
        level = level_of(float(row["relative_error"]), LEFT_OUT)
        if level:
            yield Finding(
                "left_out",
                level,
                f"{row['filter']} is not predicted without its image",
                f"Fused without {row['left_out']}, the prediction is off by "
                f"{100 * row['relative_error']:.0f} %.",
                "field",
            )


def check_dropped(product):
    """
    Look for images that were not used.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, of which the keywords FUSNGIVN and FUSNIMG are read.

    Yields
    ------
    Finding
    """
    given, used = product.header.get("FUSNGIVN"), product.header.get("FUSNIMG")
    if given and used and used < given:
        yield Finding(
            "dropped",
            "caution",
            f"{given - used} of {given} images not used",
            "The warnings of the fusion, below, say why.",
            "dropped",
        )


def check_messages(product):
    """
    Repeat the warnings of the step.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of messages, if it has one.

    Yields
    ------
    Finding
    """
    names = ("source", "kind", "text")
    rows = [tuple(str(row[name]) for name in names) for row in product.tables.get("messages", ())]
    for source, kind, text in dict.fromkeys(rows):
        if kind == "no_errors":
            yield Finding(
                "no_errors",
                "caution",
                "errors of the input are missing",
                f"{text}. Correlated noise, and what else the errors would tell, is not known.",
                "dropped",
            )
        elif not source.startswith(_USUAL):
            yield Finding("message", "note", "the step warned", text, "dropped")
