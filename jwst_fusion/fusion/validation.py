"""
Measure how well a fused cube agrees with the data, by filter and by channel.

Differences are model minus data. Chi-square is the mean over pixels of the squared difference in
units of the variance that the data state. What was fitted is not subtracted from the number of
pixels: several filters hardly outnumber the component maps, and values far below 1 are usual.
"""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.metrics import nmse, psnr, ssim

__all__ = ["ChannelQuality", "FilterQuality", "Quality", "assess", "compare_image", "table"]

# The structural similarity compares windows of so many pixels a side, see `metrics.ssim`.
_WINDOW = 7


@dataclass(frozen=True)
class FilterQuality:
    """
    Agreement of the fused cube with one image; NaN where a figure does not exist.

    Attributes
    ----------
    psnr : float
        Peak signal-to-noise ratio against the noisy image, dB.
    ssim : float
        Structural similarity; NaN where no window is free of missing pixels.
    psnr_ceiling, ssim_ceiling : float
        What the truth would reach on average, because the image has noise.
    relative_error : float
        Root of the sum of squared differences over that of the squared image.
    chi2 : float
        Reduced chi-square.
    pixels : int
        Number of pixels compared.
    """

    psnr: float
    ssim: float
    psnr_ceiling: float
    ssim_ceiling: float
    relative_error: float
    chi2: float
    pixels: int


@dataclass(frozen=True)
class ChannelQuality:
    """
    Agreement of the fused cube with each channel of the input cube, over the spaxels with data.

    Attributes
    ----------
    voxels : int array (L,)
        Number of voxels compared.
    cube, fused, reobserved : array (L,)
        Mean of the input cube, of the fused cube, and of the fused cube seen by the spectrometer,
        all over the same area, MJy/sr.
    chi2 : array (L,)
        Reduced chi-square of the re-observed cube.
    """

    voxels: np.ndarray
    cube: np.ndarray
    fused: np.ndarray
    reobserved: np.ndarray
    chi2: np.ndarray

    @property
    def spectrum_error(self):
        """Relative error of the mean spectrum of the fused cube (Marquis et al. 2026, fig. 7)."""
        return _relative(self.fused, self.cube)

    @property
    def reobserved_error(self):
        """The same of the re-observed cube: free of light that crosses the border of the field."""
        return _relative(self.reobserved, self.cube)

    @property
    def bias(self):
        """Mean difference between the re-observed and the input cube, MJy/sr."""
        return self.reobserved - self.cube


@dataclass(frozen=True)
class Quality:
    """
    Agreement of a fused cube with all data.

    Attributes
    ----------
    filters : list of FilterQuality
        One per image.
    channels : ChannelQuality
        One value per channel.
    """

    filters: list
    channels: ChannelQuality

    @property
    def spectrum_error(self):
        """Median over channels of the relative error of the fused mean spectrum, without sign."""
        return _quantile(np.abs(self.channels.spectrum_error), 0.5)

    @property
    def reobserved_error(self):
        """Median over channels of that of the re-observed cube."""
        return _quantile(np.abs(self.channels.reobserved_error), 0.5)

    @property
    def chi2(self):
        """Median over channels of the reduced chi-square of the cube."""
        return _quantile(self.channels.chi2, 0.5)


def assess(data, images_model, cube_model, fused, *, inner=None):
    """
    Compare the re-observed images and cube with the data.

    Parameters
    ----------
    data : `~jwst_fusion.fusion.solver.data.FusionData`
        The problem.
    images_model : array (F, d h, d w)
        The fused cube seen by the imager.
    cube_model : array (L, h, w)
        The fused cube seen by the spectrometer.
    fused : array (L, d h, d w)
        The fused cube.
    inner : tuple of slice, optional
        Rows and columns of the field within the padded spaxel grid; by default all.

    Returns
    -------
    Quality
        The agreement.
    """
    coarse, fine = _windows(data, inner)
    filters = [
        compare_image(image[fine], model[fine], weight[fine], sigma)
        for image, model, weight, sigma in zip(
            data.images, images_model, data.image_weight, data.image_noise, strict=True
        )
    ]
    cells = (slice(None), *coarse)
    channels = _compare_cube(
        data.cube[cells],
        cube_model[cells],
        _block_means(fused[(slice(None), *fine)], data.factor),
        data.spaxel_weight[coarse],
        data.cube_noise,
    )
    return Quality(filters=filters, channels=channels)


def compare_image(image, model, weight, sigma):
    r"""
    Compare a noisy image with what a model predicts for it.

    Parameters
    ----------
    image, model : array (y, x)
        Data and prediction, MJy/sr.
    weight : array (y, x)
        Relative inverse variance; 0 where there are no data.
    sigma : float
        Standard deviation of a pixel of weight 1.

    Returns
    -------
    FilterQuality
        The agreement.

    Notes
    -----
    PSNR and SSIM are those of `~jwst_fusion.metrics` with the noisy image as reference, as in table
    4 of Marquis et al. 2026. Noise limits them: even the truth reaches no more than
    :math:`10 \log_{10} (\max(y)^2 / \overline{\sigma^2})`, and for SSIM what the model reaches
    against itself with noise of the stated size added (independent in each pixel, fixed seed). A
    PSNR above its ceiling means that noise was fitted too, or that errors are overstated.
    """
    good = (weight > 0) & np.isfinite(image) & np.isfinite(model)
    if not good.any():
        return FilterQuality(*[np.nan] * 6, 0)
    variance = sigma**2 / weight[good]
    peak = image[good].max()
    noisy = np.array(model, float)
    noisy[good] += np.sqrt(variance) * np.random.default_rng(0).standard_normal(variance.size)
    return FilterQuality(
        psnr=psnr(image, model, good),
        ssim=_ssim(image, model, good),
        psnr_ceiling=float(10 * np.log10(peak**2 / variance.mean())) if peak else np.nan,
        ssim_ceiling=_ssim(noisy, model, good),
        relative_error=float(np.sqrt(nmse(image, model, good))) if image[good].any() else np.nan,
        chi2=float(((image - model)[good] ** 2 / variance).mean()),
        pixels=int(good.sum()),
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
    calibrations : sequence of `~jwst_fusion.fusion.observed.photometry.Calibration` or None
        Their calibration.
    offsets : sequence of tuple of float
        Offsets (x, y) of the images, milliarcsec.

    Returns
    -------
    list of str
        The lines.
    """
    lines = [
        "Against the noisy images; in brackets what the truth would reach, for the noise in them:",
        "filter     calibration          offset [mas]   PSNR [dB]         SSIM              chi2",
    ]
    for name, one, calibration, offset in zip(
        names, quality.filters, calibrations, offsets, strict=True
    ):
        factor = "not calibrated "
        if calibration is not None:
            factor = f"{calibration.factor:.4f} +- {calibration.error:.4f}"
        lines.append(
            f"{name:8s}   {factor:16s}   {offset[0]:6.1f} {offset[1]:6.1f}   "
            f"{one.psnr:7.2f} ({one.psnr_ceiling:5.2f})   {one.ssim:.4f} ({one.ssim_ceiling:.4f})  "
            f"{one.chi2:6.2f}"
        )
    largest = _quantile(np.abs(quality.channels.spectrum_error), 0.95)
    lines.append(
        f"mean spectrum: relative error {100 * quality.spectrum_error:.3f} % (median), "
        f"{100 * largest:.3f} % (95 % of the channels are better); "
        f"re-observed {100 * quality.reobserved_error:.3f} % (median)"
    )
    lines.append(f"cube: chi2 {quality.chi2:.2f} (median over channels)")
    return lines


def _windows(data, inner):
    coarse = inner or (slice(None), slice(None))
    fine = tuple(
        part if part.start is None else slice(part.start * data.factor, part.stop * data.factor)
        for part in coarse
    )
    return coarse, fine


def _block_means(cube, factor):
    channels, height, width = cube.shape
    blocks = cube.reshape(channels, height // factor, factor, width // factor, factor)
    return blocks.mean((2, 4))


def _compare_cube(cube, model, fused, weight, sigma):
    good = np.isfinite(cube) & np.isfinite(model) & np.isfinite(fused) & (weight > 0)
    count = good.sum((1, 2))
    totals = [np.where(good, one, 0).sum((1, 2), dtype=float) for one in (cube, fused, model)]
    squares = np.where(good, (cube - model) ** 2 * weight, 0).sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [np.where(count > 0, total / count, np.nan) for total in totals]
        chi2 = squares / count / sigma**2
    return ChannelQuality(count, *means, chi2)


def _relative(estimate, truth):
    out = np.full(truth.shape, np.nan)
    return np.divide(estimate - truth, truth, out=out, where=np.isfinite(truth) & (truth != 0))


def _quantile(values, level):
    values = values[np.isfinite(values)]
    return float(np.quantile(values, level)) if values.size else np.nan


def _ssim(image, model, good):
    if min(image.shape) < _WINDOW:
        return np.nan
    try:
        return ssim(image, model, good)
    except ValueError:
        # No window without a missing pixel: the figure does not exist, which NaN says.
        return np.nan
