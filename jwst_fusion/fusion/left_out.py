"""Validation by prediction: leave images out, fuse the rest, compare with what was left out."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from jwst_fusion.bandpass import filter_name
from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.fusion.validation import FilterQuality, compare_image
from jwst_fusion.messages import warn

__all__ = [
    "AUTOMATIC",
    "EVERY",
    "LeftOut",
    "filter_groups",
    "left_out_images",
    "report",
    "validate",
]

log = logging.getLogger(__name__)

#: Stands for: every filter, one at a time.
EVERY = "all"
#: Stands for: the hardest of three or more, in the course of the fusion.
AUTOMATIC = "auto"
_NONE = "none"


@dataclass(frozen=True)
class LeftOut:
    """
    What a fusion without an image predicts for it.

    Attributes
    ----------
    image : int
        Index of the image.
    filter : str
        Its filter.
    group : tuple of str
        All filters that this fusion was made without.
    quality : FilterQuality
        Agreement of the prediction with the image.
    stated : float
        Error that the prediction states, relative to the image: ratio of root mean squares; NaN if
        it was not computed.
    """

    image: int
    filter: str
    group: tuple
    quality: FilterQuality
    stated: float = np.nan


def filter_groups(entries):
    """
    Check and normalise the names of filters to leave out.

    Parameters
    ----------
    entries : sequence of str
        Filters, or groups such as ``F187N+F212N`` to be left out together, or ``all``; ``auto`` or
        ``none`` alone.

    Returns
    -------
    tuple of str
        The entries with the usual names of the filters; ``("auto",)`` or nothing for these words.

    Raises
    ------
    ValueError
        If a name is not that of a filter.
    """
    found = []
    # A list on the command line may arrive as one text with commas.
    texts = [part.strip() for entry in entries for part in str(entry).split(",")]
    for word in (AUTOMATIC, _NONE):
        if word in texts and len(texts) > 1:
            msg = f"validate_filters is {', '.join(texts)!r}: {word!r} stands alone"
            raise ValueError(msg)
    if texts in ([AUTOMATIC], [_NONE]):
        return tuple(text for text in texts if text == AUTOMATIC)
    for text in texts:
        names = [part.strip() for part in text.split("+")]
        known = [filter_name(name, parameter="validate_filters") for name in names if name != EVERY]
        if EVERY in names and len(names) > 1:
            msg = f"validate_filters has the entry {text!r}: {EVERY!r} stands alone"
            raise ValueError(msg)
        found.append("+".join(known) or EVERY)
    return tuple(found)


def validate(data, names, groups, *, inner=None, settings=None):
    """
    Leave images out, fuse the others with the cube, and compare the prediction with them.

    Parameters
    ----------
    data : `~jwst_fusion.fusion.solver.data.FusionData`
        The problem with all images.
    names : sequence of str
        Filter of each image.
    groups : sequence of str
        Filters to leave out, from `filter_groups`: one fusion for each entry.
    inner : tuple of slice, optional
        Rows and columns of the field within the padded spaxel grid; by default all.
    settings : FusionSettings, optional
        Settings of the solver, as for the fusion with all images; by default the usual ones. The
        resolution is always that of the imager, and no errors are computed.

    Returns
    -------
    list of LeftOut
        One for each image that was left out, group by group. Groups without an image, those that
        leave no image to fuse and those whose fusion breaks down are warned of and have none.

    Notes
    -----
    Marquis et al. 2026, appendix D.3. Every channel of the fused cube has the PSF of the imager at
    its wavelength, so that its weighted sum over the filter is the image at the image's PSF. What
    all images gave together stays as it is: grid, registration, the broadening of the PSF, and the
    cross-calibration of the image that is left out, without which brightness could not be compared.
    """
    settings = replace(settings or FusionSettings(), resolution="imager", errors=False)
    found = []
    for group in _resolved(groups, names):
        out = np.array([name in group for name in names])
        text = " and ".join(group)
        if not out.any() or out.all():
            what = "no image of them is used" if not out.any() else "no other image remains"
            warn(log, "No validation without %s: %s", text, what)
            continue
        log.info("Validation: fusion without %s", text)
        try:
            cube = fuse(data.with_images(~out), settings).cube
        except np.linalg.LinAlgError as reason:
            # The fusion with all images is kept, whether or not this one succeeds.
            warn(log, "No validation without %s: %s", text, reason)
            continue
        found += [_compared(data, cube, i, names[i], group, inner) for i in np.flatnonzero(out)]
    return found


def left_out_images(data, names, prediction, *, inner=None):
    """
    Compare what the fusion itself predicts for the images of one filter with them.

    Parameters
    ----------
    data : `~jwst_fusion.fusion.solver.data.FusionData`
        The problem with all images.
    names : sequence of str
        Filter of each image.
    prediction : `~jwst_fusion.fusion.solver.prediction.Prediction` or None
        From the fusion.
    inner : tuple of slice, optional
        Rows and columns of the field within the padded spaxel grid; by default all.

    Returns
    -------
    list of LeftOut
        One for each image that was left out; none without a prediction.
    """
    if prediction is None:
        return []
    fine = _fine(data, inner)
    found = []
    for index, seen, error in zip(
        prediction.images, prediction.predicted, prediction.error, strict=True
    ):
        name, image = names[index], data.images[index][fine]
        one = _quality(data, seen[fine], index, name, (name,), fine)
        good = (data.image_weight[index][fine] > 0) & np.isfinite(image)
        if good.any() and image[good].any():
            size = np.sqrt(np.mean(image[good] ** 2))
            one = replace(one, stated=float(np.sqrt(np.mean(error[fine][good] ** 2)) / size))
        found.append(one)
    return found


def report(results):
    """
    Write the results as lines of text.

    Parameters
    ----------
    results : list of LeftOut
        From `validate`.

    Returns
    -------
    list of str
        The lines; none without results.
    """
    if not results:
        return []
    lines = [
        "Images left out of the fusion; in brackets what the truth would reach:",
        "filter     fused without        PSNR [dB]         SSIM              rel. error    stated"
        "       chi2",
    ]
    for one in results:
        quality = one.quality
        lines.append(
            f"{one.filter:8s}   {'+'.join(one.group):18s}  {quality.psnr:7.2f} "
            f"({quality.psnr_ceiling:5.2f})   {quality.ssim:.4f} ({quality.ssim_ceiling:.4f})   "
            f"{100 * quality.relative_error:8.2f} %  {100 * one.stated:6.2f} %     "
            f"{quality.chi2:6.2f}"
        )
    return lines


def _resolved(groups, names):
    """Tuples of filters without repetition, with the word for every filter replaced."""
    found = []
    for group in groups:
        each = dict.fromkeys(names) if group == EVERY else [group]
        found += [tuple(name.split("+")) for name in each]
    return list(dict.fromkeys(found))


def _compared(data, cube, index, name, group, inner):
    fine = _fine(data, inner)
    inside = data.response[index] != 0
    seen = np.tensordot(data.response[index][inside], cube[(inside, *fine)], 1)
    return _quality(data, seen, index, name, group, fine)


def _fine(data, inner):
    """Rows and columns of the field in pixels of the images."""
    parts = inner or (slice(0, size) for size in data.cube.shape[1:])
    return tuple(slice(part.start * data.factor, part.stop * data.factor) for part in parts)


def _quality(data, seen, index, name, group, fine):
    quality = compare_image(
        data.images[index][fine], seen, data.image_weight[index][fine], data.image_noise[index]
    )
    return LeftOut(int(index), name, group, quality)
