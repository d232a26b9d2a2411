"""Checks of the images of a fused cube: correlation, residuals, offsets, calibration.

The limits are those at which simulated scenes, with their truth known, go wrong.
"""

import numpy as np

from jwst_fusion.report.levels import OFFSET, OFFSET_SIGMA, both, level_of
from jwst_fusion.report.measures import correlation, residual_structure
from jwst_fusion.report.page import Finding, short

__all__ = [
    "CALIBRATION",
    "IMAGE_CHI2",
    "RELATIVE_ERROR",
    "check_backgrounds",
    "check_calibration",
    "check_images",
    "check_offsets",
    "check_unlike",
    "image_level",
]

# Reduced chi-square of an image: caution, fault. Residuals must be significant, and large.
IMAGE_CHI2 = (2.0, 20.0)
# Below it, errors are overstated or noise is fitted.
LOW_CHI2 = 0.2
# Root mean square of the residuals beyond noise relative to that of the image.
RELATIVE_ERROR = (0.03, 0.15)
# Rank correlation of residuals with gradients, in an image whose chi-square is above the second and
# whose residuals beyond noise are above the third, relative to the image.
STRUCTURE = (0.2, 2.0, 0.015)
# Logarithm of the calibration factor, without sign.
CALIBRATION = (0.15, 0.4)
# The same where calibration was switched off although image and cube differ. It must be so many
# times the error of the comparison, that of noise and of what PSFs and filter curves leave in it.
UNCALIBRATED = (0.03, 0.2)
UNCALIBRATED_SIGMA, UNCALIBRATED_ERROR = 4.0, 0.0075
# Background that was taken off an image, relative to the median of that image.
BACKGROUND = 0.02
# Correlation coefficient of an image with its prediction, if the noise lets it be larger.
CORRELATION = 0.8, 0.4
# Scatter of the prediction over the noise of the image from which on a correlation can be expected.
CORRELATION_SIGNAL = 3.0
# Contrast of the cube over that of the image: below, they do not show the same scene, if it is so
# many standard deviations from 1; above, they do, if it is so many from 0.
LIKENESS, LIKENESS_SIGMA = 0.5, 5.0
# Part of the variance of the cube beyond noise that the image does not have, and its significance,
# where the offset could not be measured either.
UNEXPLAINED, UNEXPLAINED_SIGMA = 0.04, 3.0


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
        alike, alike_error = _likeness(product, index)
        if alike < LIKENESS and 1 - alike > LIKENESS_SIGMA * alike_error:
            yield Finding(
                "unlike",
                "fault",
                f"{label} does not show what the cube shows",
                "At the resolution of the cube, the cube seen through the filter has "
                f"{alike:.2f} ± {alike_error:.2f} times the contrast that the image has there (1 "
                "for the same scene, 0 for another one). The image may be of another field or "
                "badly misplaced: leave it out (parameter filters) or mend it.",
                "field",
            )
            continue
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


def _likeness(product, index):
    """Contrast of the cube over that of an image of the same mean, and its error."""
    value, error = _measured(product, "likeness", index)
    # A difference of brightness is told by itself.
    gain = _measured(product, "measured_calibration", index)[0]
    # A cube with a sky of its own has the contrast of the image, however bright it is.
    gain = gain if gain > 1 else 1.0
    return gain * value, gain * error


def _measured(product, name, index):
    """A number of one image and its error; NaN in products of earlier versions without them."""
    if name not in (product.filters.dtype.names or ()):
        return np.nan, np.nan
    row = product.filters[index]
    return float(row[name]), float(row[f"{name}_error"])


def check_images(product, bands):
    """
    Look at residuals; those of the same level are told together.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the images and their residuals.
    bands : list of `~jwst_fusion.report.fused.agreement.BandAgreement`
        Agreement in the band of each image.

    Yields
    ------
    Finding
    """
    misfits, structured = {}, {}
    for index, band in enumerate(bands):
        chi2, relative = band.image.chi2, band.image.relative
        label = band.label
        level = image_level(band.image)
        if level:
            text = (
                f"{label}: reduced chi-square {short(chi2)}, residuals beyond noise "
                f"{short(100 * relative)} %"
            )
            misfits.setdefault(level, {})[label] = text
        model = product.arrays["images"][index] - product.arrays["residuals"][index]
        structure = residual_structure(product.residual_sigma[index], model)
        if structure > STRUCTURE[0] and chi2 > STRUCTURE[1] and relative > STRUCTURE[2]:
            level = "fault" if level == "fault" else "caution"
            structured.setdefault(level, {})[label] = f"{label}: {structure:.2f}"
        given = float(product.filters["chi2"][index])
        if given < LOW_CHI2:
            yield Finding(
                "overstated",
                "note",
                f"{label} is fitted closer than its errors allow",
                f"Reduced chi-square {given:.2f}: its errors are overstated, or its noise was "
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


def image_level(image):
    """
    Level of the residuals of an image: they must be significant, and large.

    Parameters
    ----------
    image : `~jwst_fusion.report.fused.agreement.Agreement`
        Agreement of an image.

    Returns
    -------
    str or None
        None if they are small, or no more than noise.
    """
    return both(level_of(image.chi2, IMAGE_CHI2), level_of(image.relative, RELATIVE_ERROR))


def _names(found):
    return f"{', '.join(found)} {'is' if len(found) == 1 else 'are'}"


def check_offsets(product, bands):
    """
    Look for images that are misplaced, or may be.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of the images.
    bands : list of `~jwst_fusion.report.fused.agreement.BandAgreement`
        Agreement in the band of each image.

    Yields
    ------
    Finding
    """
    scale, labels = product.scale, product.labels
    if product.header.get("FUSREGIS") == "corrected":
        yield _corrected(product)
    for index, row in enumerate(product.filters):
        left = (
            np.hypot(row["offset_x"] - row["applied_x"], row["offset_y"] - row["applied_y"]) / scale
        )
        error = row["offset_error"]
        if not np.isfinite(error):
            confirmed = _in_place(product, bands, index)
            yield Finding(
                "offset_unknown",
                "note" if confirmed else "caution",
                f"the offset of {labels[index]} could not be measured",
                (
                    "It was moved with the other images, "
                    if row["applied_x"] or row["applied_y"]
                    else "The image is where its header puts it, "
                )
                + ("and residuals show no shift." if confirmed else "which nothing confirms."),
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


def _corrected(product):
    """What headers had wrong and the fusion took out."""
    moved = {}
    for label, row in zip(product.labels, product.filters, strict=True):
        value = tuple(float(row[name]) for name in ("applied_x", "applied_y", "applied_rotation"))
        if any(value):
            moved.setdefault(value, []).append(label)
    parts = [
        f"{', '.join(labels)}: {1e3 * x:.1f}, {1e3 * y:.1f} mas and {angle:.3f} deg"
        for (x, y, angle), labels in moved.items()
    ]
    errors = [
        f"{scale * product.header[key]:{form}} {unit}"
        for key, scale, form, unit in (
            ("FUSOFFER", 1e3, ".1f", "mas"),
            ("FUSROTER", 1.0, ".3f", "deg"),
        )
        if key in product.header
    ]
    return Finding(
        "offset_corrected",
        "caution",
        "images and cube are not where their headers put them",
        f"Taken out along x, along y and from North to East: {'; '.join(parts)} (standard error "
        f"{' and '.join(errors)}). The product keeps the coordinates of the cube. If headers are "
        "right, the match is not: alignment=wcs.",
        "calibration",
    )


def _in_place(product, bands, index):
    """Whether an image shows the scene where the cube has it, as far as residuals tell."""
    # The fused cube may follow an image that the noise of the cube allows, whatever that shows.
    alike, alike_error = _likeness(product, index)
    left, left_error = _measured(product, "unexplained", index)
    if alike < max(LIKENESS, LIKENESS_SIGMA * alike_error):
        return False
    if left > max(UNEXPLAINED, UNEXPLAINED_SIGMA * left_error):
        return False
    image = product.arrays["images"][index]
    if not correlation(image, image - product.arrays["residuals"][index]) > CORRELATION[0]:
        return False
    return all(np.hypot(part.value, part.error) < OFFSET[0] for part in bands[index].mismatch.shift)


def check_backgrounds(product):
    """
    Tell of backgrounds that were taken off images.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of the images.

    Yields
    ------
    Finding
    """
    if "applied_background" not in (product.filters.dtype.names or ()):  # of an earlier version
        return
    parts, large = [], False
    for index, (label, row) in enumerate(zip(product.labels, product.filters, strict=True)):
        value = float(row["applied_background"])
        if value:
            parts.append(
                f"{label}: {short(value)} ± {short(float(row['background_error']))} MJy/sr"
            )
            typical = np.nanmedian(np.abs(product.arrays["images"][index]))
            large |= abs(value) > BACKGROUND * typical
    if parts:
        yield Finding(
            "background",
            # Nothing tells which of the two has the sky in it.
            "caution" if large else "note",
            "images and cube have different backgrounds",
            f"{'; '.join(parts)} was taken off. The fused cube has the background of the cube: if "
            "that is not free of sky, neither are sums over the fused cube.",
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
        told = _measured(product, "measured_calibration", index)
        if off and _measured_apart(*told):
            yield _uncalibrated(labels[index], *told)
            continue
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


def _measured_apart(value, error):
    """Whether means of image and cube differ although no calibration was wanted."""
    if not np.isfinite(error):
        return False
    known = np.hypot(error / value, UNCALIBRATED_ERROR)
    return abs(np.log(value)) > max(UNCALIBRATED[0], UNCALIBRATED_SIGMA * known)


def _uncalibrated(label, value, error):
    """An image that is brighter or fainter than the cube and was left so."""
    return Finding(
        "calibration",
        level_of(abs(np.log(value)), UNCALIBRATED),
        f"{label} and the cube differ in brightness, and are not calibrated",
        f"Image over cube: {value:.3f} ± {error:.3f}, from means over the field. Cross-calibration "
        "was switched off, so that the fused cube lies between them: crosscal=fitted takes that "
        "out.",
        "calibration",
    )
