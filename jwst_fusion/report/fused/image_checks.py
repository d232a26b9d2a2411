"""Checks of the images of a fused cube: correlation, residuals, offsets, calibration.

The limits are those at which simulated scenes, with their truth known, go wrong.
"""

import numpy as np

from jwst_fusion.report.levels import OFFSET, OFFSET_SIGMA, level_of, worse
from jwst_fusion.report.measures import correlation, residual_structure
from jwst_fusion.report.page import Finding, short

__all__ = [
    "CALIBRATION",
    "IMAGE_CHI2",
    "RELATIVE_ERROR",
    "check_calibration",
    "check_images",
    "check_offsets",
    "check_unlike",
]

# Reduced chi-square of an image: caution, fault.
IMAGE_CHI2 = (4.0, 20.0)
# Below it, errors are overstated or noise is fitted.
LOW_CHI2 = 0.2
# Root mean square of the residuals relative to that of the image.
RELATIVE_ERROR = (0.05, 0.15)
# Rank correlation of residuals with gradients, in an image whose chi-square is above the second.
STRUCTURE = (0.2, 2.0)
# Logarithm of the calibration factor, without sign.
CALIBRATION = (0.15, 0.4)
# Correlation coefficient of an image with its prediction, if the noise lets it be larger.
CORRELATION = 0.8, 0.4
# Scatter of the prediction over the noise of the image from which on a correlation can be expected.
CORRELATION_SIGNAL = 3.0


def check_unlike(product):
    """
    Look for images that do not show the scene.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the images and their residuals.

    Yields
    ------
    Finding
    """
    for index, label in enumerate(product.labels):
        image = product.arrays["images"][index]
        model = image - product.arrays["residuals"][index]
        noise = np.nanmedian(product.arrays["image_errors"][index])
        value = correlation(image, model)
        # A fitted gain makes the prediction of a dead image as faint as that image.
        signal = np.nanstd(model) / float(product.filters["calibration"][index])
        # Where noise is as large as the scene, no correlation can be expected.
        if value >= CORRELATION[0] or not signal > CORRELATION_SIGNAL * noise:
            continue
        yield Finding(
            "unlike",
            "caution" if value >= CORRELATION[1] else "fault",
            f"{label} does not show the scene",
            f"Its correlation with what the fused cube predicts is {value:.2f}. The image may be "
            "without signal, of another field or badly misplaced: leave it out (parameter filters) "
            "or mend it.",
            "field",
        )


def check_images(product):
    """
    Look at residuals; those of the same level are told together.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the images and their residuals.

    Yields
    ------
    Finding
    """
    misfits, structured = {}, {}
    for index, row in enumerate(product.filters):
        chi2, relative = float(row["chi2"]), float(row["relative_error"])
        label = product.labels[index]
        level = worse(level_of(chi2, IMAGE_CHI2), level_of(relative, RELATIVE_ERROR))
        if level:
            text = f"{label}: reduced chi-square {short(chi2)}, residuals {short(100 * relative)} %"
            misfits.setdefault(level, {})[label] = text
        model = product.arrays["images"][index] - product.arrays["residuals"][index]
        structure = residual_structure(product.residual_sigma[index], model)
        if structure > STRUCTURE[0] and chi2 > STRUCTURE[1]:
            level = "fault" if level == "fault" else "caution"
            structured.setdefault(level, {})[label] = f"{label}: {structure:.2f}"
        if chi2 < LOW_CHI2:
            yield Finding(
                "overstated",
                "note",
                f"{label} is fitted closer than its errors allow",
                f"Reduced chi-square {chi2:.2f}: its errors are overstated, or its noise was "
                "fitted, too.",
                "agreement",
            )
    for level, found in misfits.items():
        yield Finding(
            "chi2_image",
            level,
            f"{_names(found)} not reproduced within the errors",
            f"{'; '.join(found.values())}. PSF, offset, calibration or errors do not fit.",
            "agreement",
        )
    for level, found in structured.items():
        yield Finding(
            "structure",
            level,
            f"residuals of {', '.join(found)} are structured",
            "They follow the edges of the scene, as those of a wrong PSF or offset do. Rank "
            f"correlation (noise: 0): {'; '.join(found.values())}.",
            "field",
        )


def _names(found):
    return f"{', '.join(found)} {'is' if len(found) == 1 else 'are'}"


def check_offsets(product):
    """
    Look for images that are misplaced, or may be.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of the images.

    Yields
    ------
    Finding
    """
    scale, labels = product.scale, product.labels
    for index, row in enumerate(product.filters):
        left = (
            np.hypot(row["offset_x"] - row["applied_x"], row["offset_y"] - row["applied_y"]) / scale
        )
        error = row["offset_error"]
        if not np.isfinite(error):
            yield Finding(
                "offset_unknown",
                "caution",
                f"the offset of {labels[index]} could not be measured",
                "The image is where its header puts it, which nothing confirms.",
                "calibration",
            )
            continue
        level = level_of(left, OFFSET)
        if level and left * scale > OFFSET_SIGMA * error:
            yield Finding(
                "offset",
                level,
                f"{labels[index]} is misplaced",
                f"It is shifted against the cube by {1e3 * left * scale:.1f} ± {1e3 * error:.1f} "
                f"mas ({left:.1f} pixels), which was not taken out: fuse again with "
                "alignment=measured.",
                "calibration",
            )


def check_calibration(product):
    """
    Look for images whose brightness is not that of the cube.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of the images.

    Yields
    ------
    Finding
    """
    labels = product.labels
    off = product.header.get("FUSXCAL") == "off"
    for index, row in enumerate(product.filters):
        if not np.isfinite(row["calibration_error"]):
            yield Finding(
                "calibration",
                "note" if off else "caution",
                f"{labels[index]} is not calibrated against the cube",
                "Cross-calibration was switched off."
                if off
                else "Image or cube have too little signal in its band.",
                "calibration",
            )
            continue
        level = level_of(abs(np.log(row["calibration"])), CALIBRATION)
        if level:
            yield Finding(
                "calibration",
                level,
                f"{labels[index]} and the cube differ in brightness",
                f"Image over cube: {row['calibration']:.3f}. Without signal, or units, background "
                "or flux calibration of one of them may be wrong.",
                "calibration",
            )
