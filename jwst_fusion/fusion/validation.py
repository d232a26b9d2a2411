"""How well a fused cube agrees with the data: re-observation, filter by filter and on average."""

import logging
from dataclasses import dataclass

import numpy as np

from jwst_fusion.metrics import mean_spectrum_error, psnr, ssim

__all__ = ["FilterQuality", "Quality", "assess", "table"]

log = logging.getLogger(f"stpipe.{__name__}")

# The structural similarity compares windows of this many pixels.
_WINDOW = 7


@dataclass(frozen=True)
class FilterQuality:
    """
    Agreement of the fused cube with one image.

    Attributes
    ----------
    psnr : float
        Peak signal-to-noise ratio of the re-observed image, dB.
    ssim : float
        Structural similarity; NaN where no window is free of missing pixels.
    chi2 : float
        Mean squared residual in units of the image's variance.
    """

    psnr: float
    ssim: float
    chi2: float


@dataclass(frozen=True)
class Quality:
    """
    Agreement of a fused cube with all data.

    Attributes
    ----------
    filters : list of FilterQuality
        One per image.
    spectrum_error : float
        Median over channels of the relative error of the mean spectrum, without sign.
    spectrum_error_largest : float
        Its 95th percentile.
    chi2 : array (L,)
        Mean squared residual of the re-observed cube in units of its variance, per channel.
    """

    filters: list
    spectrum_error: float
    spectrum_error_largest: float
    chi2: np.ndarray


def assess(data, images_model, cube_model, *, inner=None):
    """
    Compare the re-observed images and cube with the data.

    Parameters
    ----------
    data : `~jwst_fusion.fusion.forward.FusionData`
        The problem.
    images_model : array (F, d h, d w)
        The fused cube seen by the imager.
    cube_model : array (L, h, w)
        The fused cube seen by the spectrometer.
    inner : tuple of slice, optional
        Rows and columns of the field within the padded spaxel grid; by default all.

    Returns
    -------
    Quality
        The agreement.
    """
    coarse = inner or (slice(None), slice(None))
    fine = tuple(
        part if part.start is None else slice(part.start * data.factor, part.stop * data.factor)
        for part in coarse
    )
    filters = []
    for image, model, weight, sigma in zip(
        data.images, images_model, data.image_weight, data.image_sigma, strict=True
    ):
        image, model, weight = image[fine], model[fine], weight[fine]
        good = (weight > 0) & np.isfinite(image)
        if not good.any():
            filters.append(FilterQuality(np.nan, np.nan, np.nan))
            continue
        residual = (image - model)[good] ** 2 * weight[good] / sigma**2
        filters.append(
            FilterQuality(
                psnr=psnr(image, model, good),
                ssim=_ssim(image, model, good),
                chi2=float(residual.mean()),
            )
        )
    weight = data.spaxel_weight[coarse]
    cube, model = data.cube[(slice(None), *coarse)], cube_model[(slice(None), *coarse)]
    good = np.isfinite(cube) & np.isfinite(model) & (weight > 0)
    error = np.abs(mean_spectrum_error(cube, model, good))
    residual = np.where(good, (cube - model) ** 2 * weight, 0).sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        chi2 = residual / good.sum((1, 2)) / data.cube_sigma**2
    error = error[np.isfinite(error)]
    return Quality(
        filters=filters,
        spectrum_error=float(np.median(error)) if error.size else np.nan,
        spectrum_error_largest=float(np.quantile(error, 0.95)) if error.size else np.nan,
        chi2=chi2,
    )


def table(quality, names, calibrations, offsets):
    """
    Write the agreement as lines of text.

    Parameters
    ----------
    quality : Quality
        The agreement.
    names : sequence of str
        Filters.
    calibrations : sequence of `~jwst_fusion.fusion.photometry.Calibration` or None
        Their calibration.
    offsets : sequence of tuple of float
        Offsets (x, y) of the images, milliarcsec.

    Returns
    -------
    list of str
        The lines.
    """
    lines = ["filter     calibration          offset [mas]   PSNR [dB]   SSIM   chi2"]
    for name, one, calibration, offset in zip(
        names, quality.filters, calibrations, offsets, strict=True
    ):
        factor = "not calibrated "
        if calibration is not None:
            factor = f"{calibration.factor:.4f} +- {calibration.error:.4f}"
        lines.append(
            f"{name:8s}   {factor:16s}   {offset[0]:6.1f} {offset[1]:6.1f}   {one.psnr:8.2f}   "
            f"{one.ssim:.4f}  {one.chi2:6.2f}"
        )
    lines.append(
        f"mean spectrum: relative error {100 * quality.spectrum_error:.3f} % (median), "
        f"{100 * quality.spectrum_error_largest:.3f} % (95 % of the channels are better)"
    )
    return lines


def _ssim(image, model, good):
    if min(image.shape) < _WINDOW:
        return np.nan
    try:
        return ssim(image, model, good)
    except ValueError:
        # No window without a missing pixel: the figure does not exist, which NaN says.
        return np.nan
