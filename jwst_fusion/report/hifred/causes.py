"""Why two cubes do not agree with one fused from them: brightness, position, PSF, response."""

import numpy as np

from jwst_fusion.report.levels import ORDER, level_of
from jwst_fusion.report.page import Finding

__all__ = ["field_causes", "find_brightness", "line_findings", "response_causes"]

# Y against X, from where on a caution and a fault: logarithm of the brightness; offset in pixels
# of X; error of the squared width of the PSF in squared pixels of X.
BRIGHTNESS = (0.04, 0.15)
SHIFT = (0.2, 0.5)
SPREAD = (0.5, 2.0)
_SIGMA = 5.0  # significance from which any of these counts
# Uniform light of Y beyond that of X, relative to the mean of the image, likewise.
LEVEL = (0.03, 0.12)
_LEVEL_SIGMA = 6.0  # higher: residuals at the edges of the field look like a little of it
# Velocities, and changes of width, that the fused cube lacks, relative to the width of its lines.
LINES = (0.15, 0.4)
_FEWEST = 8  # pixels of Y
# Shift, and error of the squared width, of the spectral response that are worth a word, in channels
# of X and in squared channels.
_SPECTRAL_SHIFT, _SPECTRAL_SPREAD = 0.05, 0.15


def find_brightness(product):
    """
    Compare the brightness of both cubes.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, with the images of X and Y.

    Yields
    ------
    Finding
    """
    amount = product.field.brightness
    level = level_of(abs(amount.value), BRIGHTNESS) if amount.sigma > _SIGMA else None
    if level:
        what = "exposure times (EXPOSURE, exposure_x, exposure_y), effective areas (ARF)"
        what = what if product.counts else "units, flux calibration"
        yield Finding(
            "brightness",
            level,
            "X and Y differ in brightness",
            f"Y is {np.exp(amount.value):.3f} ± {np.exp(amount.value) * amount.error:.3f} times as "
            f"bright as X says; the fused cube lies between. Look at {what} and backgrounds.",
            "agreement",
        )


def _milder(level, limit):
    """Level of a cause, which is no worse than what follows from it."""
    return None if level is None else max(level, limit, key=ORDER.get)


def field_causes(product, worst):
    """
    Look for what makes images differ: background, position, PSF.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, with the images of X and Y.
    worst : str
        Level of the residuals.

    Yields
    ------
    Finding
    """
    field = product.field
    level = level_of(abs(field.level.value), LEVEL) if field.level.sigma > _LEVEL_SIGMA else None
    if level:
        yield Finding(
            "background",
            _milder(level, worst),
            "X and Y differ in background",
            f"Y has {100 * field.level.value:+.1f} ± {100 * field.level.error:.1f} % of its mean "
            "beyond what X says, evenly over the field. Look at "
            f"{'extensions BACKGROUND' if product.counts else 'backgrounds'}.",
            "agreement",
        )
    length = np.hypot(*(one.value for one in field.shift))
    error = np.hypot(*(one.error for one in field.shift))
    level = level_of(length, SHIFT) if length > _SIGMA * error else None
    if level:
        dx, dy = (one.value for one in field.shift)
        size = f'{length * product.scale:.3g}"' if product.wcs is not None else "no WCS"
        yield Finding(
            "offset",
            _milder(level, worst),
            "X and Y are displaced against each other",
            f"Y lies {dx:+.2f}, {dy:+.2f} ± {error:.2f} pixels of X ({size}) along x and y from "
            "where X is: correct the WCS of one of them, or the place of the source in the PSF "
            "(psf_centre).",
            "field",
        )
    spread = field.spread
    level = level_of(abs(spread.value), SPREAD) if spread.sigma > _SIGMA else None
    if level:
        kind = "wider" if spread.value > 0 else "narrower"
        yield Finding(
            "psf",
            _milder(level, worst),
            f"the PSF of Y is {kind} than given",
            f"The square of its width (sigma) is off by {spread.value:+.2f} ± {spread.error:.2f} "
            f"pixels of X squared ({np.sqrt(abs(spread.value)) * product.scale:.3g} "
            f"{'arcsec' if product.wcs is not None else 'pixels'} in quadrature). Look at psf, "
            "psf_fwhm, psf_angle.",
            "field",
        )


def line_findings(product):
    """
    Ask whether lines of X or of Y move or change their width where those of the fused cube do not.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube and what it says of the lines of X and Y.

    Yields
    ------
    Finding
    """
    for compared in product.cubes:
        fits = product.lines_in_y(compared)
        if fits is None:
            continue
        width = np.nanmedian(fits[4]) if np.isfinite(fits[4]).any() else np.nan
        # what all pixels share is a matter of the response
        move = _scatter(fits[0], fits[1], centred=True)
        change = _scatter(fits[2], fits[3], centred=False)
        # a square of the width that changes by twice the width times a length changes it by that
        for key, (size, sigma), scale, words in (
            ("velocity", move, 1.0, "move"),
            ("width", change, 2.0 * width, "change their widths"),
        ):
            level = level_of(size / (scale * width), LINES) if sigma > _SIGMA else None
            if level:
                yield Finding(
                    key,
                    level,
                    f"the lines of {compared.letter} {words} where those of the fused cube do not",
                    f"By {size / scale:.0f} km/s (rms over the pixels of Y, beyond noise, "
                    f"{sigma:.0f} sigma) beyond the fused cube as {compared.letter} would see it. "
                    "Take line_changes = always, a smaller mu, a higher rank, or wavelet_2d1d; or "
                    "look at the PSF and at the energies of each observation.",
                    "maps",
                )


def _scatter(value, error, *, centred):
    """Scatter beyond noise, and its significance."""
    good = np.isfinite(value) & np.isfinite(error) & (error > 0)
    value, error = value[good], error[good]
    if value.size < _FEWEST:
        return 0.0, 0.0
    weight = error**-2.0
    if centred:
        value = value - np.sum(weight * value) / weight.sum()
    pull = np.sum((value / error) ** 2) - value.size
    # pixels of little light do not decide
    size = np.sum((value**2 - error**2) * weight**2) / np.sum(weight**2)
    return float(np.sqrt(max(size, 0.0))), float(pull / np.sqrt(2.0 * value.size))


def response_causes(product, worst):
    """
    Look for what makes spectra differ: energies, spectral response.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, with the spectra of X and Y.
    worst : str
        Level of the residuals.

    Yields
    ------
    Finding
    """
    step = float(np.mean(np.diff(product.x.edges)))
    shift, spread = product.spectral.shift[0], product.spectral.spread
    texts = []
    unit, factor = "eV" if product.counts else "nm", 1e3
    if shift.sigma > _SIGMA and abs(shift.value) > _SPECTRAL_SHIFT * step:
        texts.append(
            f"X lies {-factor * shift.value:+.3g} ± {factor * shift.error:.2g} {unit} from Y"
        )
    if spread.sigma > _SIGMA and abs(spread.value) > _SPECTRAL_SPREAD * step**2:
        kind = "wider" if spread.value > 0 else "narrower"
        texts.append(
            f"its response is {kind} than given, by {factor * np.sqrt(abs(spread.value)):.3g} "
            f"{unit} (sigma) in quadrature"
        )
    if texts:
        yield Finding(
            "response",
            worst,
            "the spectral response of X does not fit",
            f"{'; '.join(texts)}. Look at {'rmf_x' if product.counts else 'lsf_fwhm'}"
            f"{', lsf_fwhm and the energies of both' if product.counts else ' and wavelengths'}.",
            "spectrum",
        )
