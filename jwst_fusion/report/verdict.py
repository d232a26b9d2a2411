"""Whether to trust a fused cube: what its own numbers warn of.

A fault means that the cube should not be used as it is, a caution that it should be looked at, a
note is worth knowing. The limits are those at which simulated scenes, with their truth known, go
wrong; the page on reports in the documentation lists them.
"""

import numpy as np

from jwst_fusion.report.measures import likeness, residual_structure
from jwst_fusion.report.page import Finding, short

__all__ = ["find_findings", "verdict_of"]

# Reduced chi-square of an image: caution, fault.
IMAGE_CHI2 = (4.0, 20.0)
# The same of the cube, median over channels; and below which errors are overstated.
CUBE_CHI2 = (2.0, 5.0)
LOW_CHI2 = 0.2
# Root mean square of the residuals relative to that of the image.
RELATIVE_ERROR = (0.05, 0.15)
# Rank correlation of residuals with gradients, in an image whose chi-square is above the second.
STRUCTURE = (0.2, 2.0)
# Offset that was not taken out, fine pixels: caution, fault; only if this many sigma.
OFFSET = (0.3, 1.0)
OFFSET_SIGMA = 5.0
# Calibration factor: deviation from one.
CALIBRATION = (0.15, 0.4)
# Noise relative to the errors.
NOISE_SCALE = (2.5, 6.0)
# Correlation coefficient of an image with its prediction, if the noise lets it be larger.
LIKENESS = 0.8, 0.4
# Scatter of the prediction over the noise of the image from which on likeness can be expected.
LIKENESS_SIGNAL = 3.0
# Mean spectrum of the re-observed cube, median relative error.
SPECTRUM = (0.02, 0.1)
# Part of the voxels that no longer is what both instruments measured.
ESTIMATED = 0.5
# Part of the voxels below minus five sigma.
NEGATIVE = 0.01

_ORDER = {"fault": 0, "caution": 1, "note": 2}
# Causes come before what they lead to.
_CAUSES = ("unlike", "offset", "psf", "calibration", "offset_unknown", "dropped", "convergence")
# Warnings of these modules speak of what is usual.
_USUAL = ("bandpass", "fusion.robust", "psf")


def find_findings(product):
    """
    Look for what the reader of a fused cube should know before using it.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.FusedProduct`

    Returns
    -------
    list of Finding
        Faults first.
    """
    found = [
        *_convergence(product),
        *_unlike(product),
        *_images(product),
        *_offsets(product),
        *_calibration(product),
        *_noise(product),
        *_cube(product),
        *_left_out(product),
        *_dropped(product),
        *_voxels(product),
        *_messages(product),
    ]
    return sorted([*found, *_psf(found)], key=_rank)


def _rank(finding):
    cause = finding.key not in _CAUSES, _CAUSES.index(finding.key) if finding.key in _CAUSES else 0
    return _ORDER[finding.level], *cause


def verdict_of(findings):
    """
    Sum findings up.

    Parameters
    ----------
    findings : sequence of Finding

    Returns
    -------
    tuple of str
        Level, and a sentence.
    """
    faults = [one for one in findings if one.level == "fault"]
    cautions = [one for one in findings if one.level == "caution"]
    if faults:
        causes = [one for one in faults if one.key in _CAUSES] or faults
        what = "; ".join(dict.fromkeys(one.title for one in causes[:2]))
        return "fault", f"Do not trust this cube as it is: {what}."
    if cautions:
        number = "one point" if len(cautions) == 1 else f"{len(cautions)} points"
        return "caution", f"Usable with care: look at {number} below."
    return "good", "Cube and images agree: nothing speaks against this cube."


def _level(value, limits):
    """Level of a value that should be below its limits; None if it is."""
    if not np.isfinite(value) or value <= limits[0]:
        return None
    return "fault" if value > limits[1] else "caution"


def _convergence(product):
    if not product.header.get("FUSCONV", True):
        yield Finding(
            "convergence",
            "caution",
            "the solution did not converge",
            "The solver or the search for the regularisation stopped before it had settled.",
            "tuning",
        )


def _unlike(product):
    for index, label in enumerate(product.labels):
        image = product.arrays["images"][index]
        model = image - product.arrays["residuals"][index]
        noise = np.nanmedian(product.arrays["image_errors"][index])
        value = likeness(image, model)
        # Where noise is as large as the scene, no likeness can be expected.
        if value >= LIKENESS[0] or not np.nanstd(model) > LIKENESS_SIGNAL * noise:
            continue
        yield Finding(
            "unlike",
            "caution" if value >= LIKENESS[1] else "fault",
            f"{label} does not show the scene",
            f"Its correlation with what the fused cube predicts is {value:.2f}. The image may be "
            "without signal, of another field or badly misplaced: leave it out (parameter filters) "
            "or mend it.",
            "field",
        )


def _images(product):
    """Findings on residuals; those of the same level are told together."""
    misfits, structured = {}, {}
    for index, row in enumerate(product.filters):
        chi2, relative = float(row["chi2"]), float(row["relative_error"])
        label = product.labels[index]
        level = _worse(_level(chi2, IMAGE_CHI2), _level(relative, RELATIVE_ERROR))
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


def _psf(found):
    """Suspect the PSF if residuals have structure and nothing else explains it."""
    structured = [one for one in found if one.key == "structure"]
    other = ("unlike", "offset", "calibration", "offset_unknown")
    if structured and not any(one.key in other and one.level != "note" for one in found):
        yield Finding(
            "psf",
            _worse(*(one.level for one in structured)),
            "the PSF does not seem to fit the data",
            "Residuals follow the scene, while offsets and calibration are right. Rings around "
            "stars, in the pictures, confirm it. See psf_source, psf_broadening, trace_oversample "
            "and the angles roll_image and roll_cube.",
            "field",
        )


def _worse(*levels):
    known = [one for one in levels if one]
    return min(known, key=_ORDER.get) if known else None


def _offsets(product):
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
        level = _level(left, OFFSET)
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


def _calibration(product):
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
        level = _level(abs(np.log(row["calibration"])), CALIBRATION)
        if level:
            yield Finding(
                "calibration",
                level,
                f"{labels[index]} and the cube differ in brightness",
                f"The image is brighter by a factor {row['calibration']:.3f}. Units, background "
                "or flux calibration of one of them may be wrong.",
                "calibration",
            )


def _noise(product):
    for key, name in (("FUSNSIMG", "images"), ("FUSNSCUB", "cube")):
        value = product.header.get(key, 1.0)
        level = _level(value, NOISE_SCALE)
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


def _cube(product):
    chi2 = product.header.get("FUSCHI2C", np.nan)
    level = _level(chi2, CUBE_CHI2)
    if level:
        yield Finding(
            "chi2_cube",
            level,
            "the cube is not reproduced within its errors",
            f"Reduced chi-square {chi2:.1f} (median channel). Too few components, a wrong PSF, or "
            "understated errors.",
            "spectrum",
        )
    error = product.header.get("FUSREERR", np.nan)
    level = _level(error, SPECTRUM)
    if level:
        yield Finding(
            "spectrum",
            level,
            "the mean spectrum is not that of the cube",
            f"Re-observed, it differs by {100 * error:.1f} % (median channel).",
            "spectrum",
        )


def _left_out(product):
    for row in product.tables.get("left_out", ()):
        level = _level(float(row["relative_error"]), (0.1, 0.3))
        if level:
            yield Finding(
                "left_out",
                level,
                f"{row['filter']} is not predicted without its image",
                f"Fused without {row['left_out']}, the prediction is off by "
                f"{100 * row['relative_error']:.0f} %.",
                "field",
            )


def _dropped(product):
    given, used = product.header.get("FUSNGIVN"), product.header.get("FUSNIMG")
    if given and used and used < given:
        yield Finding(
            "dropped",
            "caution",
            f"{given - used} of {given} images not used",
            "The warnings of the fusion, below, say why.",
            "dropped",
        )


def _voxels(product):
    flags = [np.asarray(product.dq[i]) for i in product.sample]
    flagged = np.mean([(plane != 0).mean() for plane in flags]) if flags else 1.0
    if flagged > ESTIMATED:
        yield Finding(
            "estimated",
            "caution",
            f"{100 * flagged:.0f} % of the voxels are not measured",
            "There, one of the instruments has no data; the subspace or the prior give the value.",
            "weights",
        )
    low = [np.mean(product.data[i] < -5 * product.err[i]) for i in product.sample]
    if low and np.mean(low) > NEGATIVE:
        yield Finding(
            "negative",
            "caution",
            "brightness is negative",
            f"{100 * np.mean(low):.1f} % of the voxels are more than five sigma below zero: a "
            "background that was over-subtracted, or a wrong PSF.",
            "spectra",
        )


def _messages(product):
    for row in product.tables.get("messages", ()):
        source, text = str(row["source"]), str(row["text"])
        if str(row["kind"]) == "no_errors":
            yield Finding(
                "no_errors",
                "caution",
                "errors of the input are missing",
                f"{text}. Correlated noise, and what else the errors would tell, is not known.",
                "dropped",
            )
        elif not source.startswith(_USUAL):
            yield Finding("message", "note", "the step warned", text, "dropped")
