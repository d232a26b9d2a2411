"""How a fused cube agrees with image and cube in the band of each filter: size and significance.

Images are (y, x), in MJy/sr.
"""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.report.mismatch import Mismatch, excess, field_mismatch, reduced

__all__ = ["Agreement", "BandAgreement", "band_agreements", "beside_bands", "data_error"]


@dataclass(frozen=True)
class Agreement:
    """
    Residuals of one instrument in one band.

    Attributes
    ----------
    chi2 : float
        Reduced chi-square: how significant they are. NaN without data.
    relative : float
        Root mean square beyond noise, relative to that of the prediction: how large they are.
    stated : float
        The same relative to the error that the fused cube states for a voxel in this band.
    """

    chi2: float
    relative: float
    stated: float

    @classmethod
    def of(cls, observed, expected, sigma, stated):
        """
        Compare what was observed with what is expected.

        Parameters
        ----------
        observed, expected, sigma : array (y, x)
            MJy/sr; NaN where nothing is known.
        stated : float
            Error that the fused cube states, MJy/sr.

        Returns
        -------
        Agreement
            The agreement.
        """
        relative = excess(observed, expected, sigma)
        good = np.isfinite(observed) & np.isfinite(expected)
        size = np.sqrt(np.mean(expected[good] ** 2)) if good.any() else np.nan
        ratio = relative * size / stated if stated > 0 else np.nan
        return cls(reduced(observed, expected, sigma), relative, float(ratio))


@dataclass(frozen=True)
class BandAgreement:
    """
    Agreement in the band of one image.

    Attributes
    ----------
    label : str
        Name of the image.
    image, cube : Agreement
        Of the image, and of the cube in its band.
    mismatch : `~jwst_fusion.report.mismatch.Mismatch`
        How the cube differs from the image beyond the calibration: brightness, shift and spread in
        pixels of the fused cube, uniform light.
    """

    label: str
    image: Agreement
    cube: Agreement
    mismatch: Mismatch


def data_error(product, key):
    """
    Return the factor on the errors of the data with which to judge residuals.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube.
    key : {"FUSNSIMG", "FUSNSCUB"}
        Keyword of the noise scale.

    Returns
    -------
    float
        The noise scale if it is below one: overstated errors would hide a fault. Larger ones may
        themselves come from a fault and do not count.
    """
    scale = float(product.header.get(key, 1.0))
    return min(scale, 1.0) if scale > 0 else 1.0


def band_agreements(product):
    """
    Compare the fused cube with image and cube, filter by filter.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with images, maps of the cube in their bands, and errors.

    Returns
    -------
    list of BandAgreement
        One for each image.
    """
    arrays = product.arrays
    owner = None
    found = []
    for index, label in enumerate(product.labels):
        image = np.asarray(arrays["images"][index], float)
        model = image - arrays["residuals"][index]
        sigma = arrays["image_errors"][index] * data_error(product, "FUSNSIMG")
        cube, expected, error = (
            np.asarray(arrays[f"band_{name}"][index], float)
            for name in ("images", "models", "errors")
        )
        error = error * data_error(product, "FUSNSCUB")
        if owner is None:
            owner = _owners(image.shape, cube.shape)
        response = np.asarray(arrays["responses"][index], float)
        known = np.isfinite(product.stated_error) & (response > 0)
        stated = np.sqrt(
            np.sum((response * product.stated_error**2)[known])
            / max(np.sum(response[known]), 1e-300)
        )
        found.append(
            BandAgreement(
                label,
                Agreement.of(image, model, sigma, stated),
                Agreement.of(cube, expected, error, stated),
                field_mismatch(((image, model, sigma), (cube, expected, error)), owner),
            )
        )
    return found


def beside_bands(product):
    """
    Compare the fused cube with the cube in its continuum, and in its lines.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with maps of the cube in bands, and errors.

    Returns
    -------
    list of (str, Agreement)
        Name and agreement of both; of lines nothing if none stands out.
    """
    known = product.stated_error[np.isfinite(product.stated_error)]
    stated = float(np.sqrt(np.mean(known**2))) if known.size else np.nan
    found = []
    for index, name in enumerate(("continuum", "lines"), len(product.labels)):
        cube, model, error = (
            np.asarray(product.arrays[f"band_{part}"][index], float)
            for part in ("images", "models", "errors")
        )
        error = error * data_error(product, "FUSNSCUB")
        found.append((name, Agreement.of(cube, model, error, stated)))
    return found


def _owners(fine, coarse):
    """Number of the spaxel in which each pixel lies."""
    factor = fine[0] // coarse[0]
    number = np.arange(coarse[0] * coarse[1]).reshape(coarse)
    return number.repeat(factor, 0).repeat(factor, 1)
