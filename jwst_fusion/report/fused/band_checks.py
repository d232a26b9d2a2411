"""Checks of what image and cube of one band disagree on: brightness, background, place, width.

The limits are those at which simulated observations, with their truth known, go wrong.
"""

import numpy as np

from jwst_fusion.report.levels import OFFSET, level_of
from jwst_fusion.report.page import Finding, short

__all__ = ["check_bands"]

# Difference of brightness that calibration left, and its significance: caution, fault.
BRIGHTNESS, BRIGHTNESS_SIGMA = (0.06, 0.2), 8.0
# Uniform light in one of them, relative to the mean brightness, and its significance.
LEVEL, LEVEL_SIGMA = (0.05, 0.3), 7.0
# Squared width of the PSF, squared pixels, and its significance.
SPREAD, SPREAD_SIGMA = (0.5, np.inf), 8.0
# Standard deviations of a shift, beside its size.
SHIFT_SIGMA = 8.0


def check_bands(product, bands):
    """
    Look for images that disagree with the cube.

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
    yield from _widths(bands)
    for index, band in enumerate(bands):
        label, mismatch = band.label, band.mismatch
        level = _level(mismatch.level, LEVEL, LEVEL_SIGMA)
        if level:
            yield Finding(
                "background",
                level,
                f"{label} and the cube differ by a uniform light",
                f"The cube has {_per_cent(mismatch.level)} of the mean brightness more than the "
                "image (less, if negative): a background that one of them has, or lost.",
                "calibration",
            )
        level = _level(mismatch.brightness, BRIGHTNESS, BRIGHTNESS_SIGMA)
        if level:
            yield Finding(
                "brightness",
                level,
                f"{label} and the cube differ in brightness after calibration",
                f"Cube over image: {_per_cent(mismatch.brightness)}. The fused cube lies between "
                "them: its brightness is not that of the cube. See crosscal.",
                "calibration",
            )
        shift = _shift(mismatch.shift)
        told = _offset(product, index) > OFFSET[0]
        level = None if told else _level(shift, OFFSET, SHIFT_SIGMA)
        if level:
            yield Finding(
                "shift",
                level,
                f"residuals show {label} displaced against the cube",
                f"By {shift.value:.2f} ± {shift.error:.2f} pixels, which the measured offset does "
                "not show.",
                "calibration",
            )


def _widths(bands):
    """PSFs of cube and images that are wider or narrower than given."""
    found = [
        f"{band.label}: {band.mismatch.spread.value:+.2f} ± {band.mismatch.spread.error:.2f}"
        for band in bands
        if _level(band.mismatch.spread, SPREAD, SPREAD_SIGMA)
    ]
    if found:
        yield Finding(
            "width",
            "caution",
            "the PSFs of cube and images do not fit together",
            "Squared width of that of the cube beyond what is given, against that of the image, in "
            f"squared pixels (negative: the image is wider, or the cube sharper): "
            f"{'; '.join(found)}.",
            "field",
        )


def _level(amount, limits, sigma):
    """Level of an amount that must be large and significant."""
    return level_of(abs(amount.value), limits) if amount.sigma > sigma else None


def _per_cent(amount):
    return f"{100 * amount.value:+.1f} ± {short(100 * amount.error)} %"


def _shift(pair):
    x, y = pair
    size = np.hypot(x.value, y.value)
    error = np.hypot(x.error * x.value, y.error * y.value) / size if size > 0 else np.nan
    return type(x)(float(size), float(error))


def _offset(product, index):
    """Offset that was not taken out, pixels; 0 if it was not measured."""
    row = product.filters[index]
    left = np.hypot(row["offset_x"] - row["applied_x"], row["offset_y"] - row["applied_y"])
    return left / product.scale if np.isfinite(row["offset_error"]) else 0.0
