"""Read a cube joined from several fused ones, and these, as a report needs them.

Images are (y, x), cubes (wavelength, y, x), wavelengths in micrometre, brightness in MJy/sr.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from jwst_fusion.numerics.robust import robust_sigma
from jwst_fusion.numerics.spectral_axis import file_wavelengths
from jwst_fusion.report.frame import celestial
from jwst_fusion.report.fused.product import FusedProduct, read_fused
from jwst_fusion.report.mismatch import Mismatch, image_mismatch

__all__ = ["Border", "JoinedProduct", "Part", "read_joined"]

# Channels on either side of a border from which its step is measured.
_BESIDE = 12
_FEWEST = 4  # channels on each side that a step is measured from at least


@dataclass(frozen=True)
class Part:
    """
    One of the cubes that were joined.

    Attributes
    ----------
    name, label : str
        File name, and its grating or channel, with a number where there are several.
    first, last : float
        Wavelengths.
    ratio : float
        Brightness over that of the cube before it where both overlap; NaN if they do not.
    resampled : bool
        Whether it was resampled onto the pixels of the joined cube.
    product : FusedProduct or None
        The cube itself, if it is known.
    """

    name: str
    label: str
    first: float
    last: float
    ratio: float
    resampled: bool
    product: FusedProduct | None


@dataclass(frozen=True)
class Border:
    """
    Where two of the cubes meet.

    Attributes
    ----------
    before, after : Part
        The cubes.
    low, high : float
        Ends of the overlap; of a gap, the other way round.
    step, step_error : float
        Jump of the mean spectrum of the joined cube there, relative to it; NaN if not measured.
    images : tuple of array (y, x) or None
        Mean of the overlap in both cubes, and error of their difference, if both are known and
        have the same pixels.
    mismatch : Mismatch or None
        Of the later cube against the earlier one.
    """

    before: Part
    after: Part
    low: float
    high: float
    step: float
    step_error: float
    images: tuple | None
    mismatch: Mismatch | None

    @property
    def overlap(self):
        """Whether the cubes overlap in wavelength."""
        return self.high >= self.low


@dataclass(frozen=True)
class JoinedProduct:
    """
    A joined cube.

    Attributes
    ----------
    whole : FusedProduct
        The cube, without what only a single fusion has.
    parts : list of Part
        In the order of their wavelengths.
    borders : list of Border
        Between them.
    """

    whole: FusedProduct
    parts: list
    borders: list


def read_joined(hdus, name=None, *, parts=None):
    """
    Read a joined cube.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The product.
    name : str, optional
        Name of the file, by default that in the header.
    parts : dict of str to `~astropy.io.fits.HDUList`, optional
        The cubes it consists of by file name; only those that are known.

    Returns
    -------
    JoinedProduct
        The product.

    Raises
    ------
    ValueError
        If this is not a joined cube, or one of the parts not a fused cube.
    """
    header = hdus[0].header
    name = name or header.get("FILENAME", "joined cube")
    status = header.get("S_FUSION")
    if status != "COMPLETE" or "FUSCUBES" not in hdus:
        msg = f"{name} is not a cube joined from fused ones: S_FUSION is {status!r}"
        msg += "" if "FUSCUBES" in hdus else " and there is no extension FUSCUBES"
        raise ValueError(msg)
    whole = _whole(hdus, name)
    rows = hdus["FUSCUBES"].data
    labels = _labels(rows)
    found = []
    for row, label in zip(rows, labels, strict=True):
        file = str(row["filename"])
        known = (parts or {}).get(file)
        if known is not None and "FUSEXPOSURES" in known:
            known = None  # its own report has other figures
        found.append(
            Part(
                name=file,
                label=label,
                first=float(row["first"]),
                last=float(row["last"]),
                ratio=float(row["ratio"]),
                resampled=bool(row["resampled"]),
                product=None if known is None else read_fused(known, file),
            )
        )
    return JoinedProduct(whole, found, [_border(whole, *pair) for pair in pairwise(found)])


def _labels(rows):
    names = [" ".join(filter(None, (str(r["grating"]), str(r["filter"])))) for r in rows]
    return [
        f"{text or 'cube'} ({number})" if names.count(text) > 1 or not text else text
        for number, text in enumerate(names, 1)
    ]


def _whole(hdus, name):
    data, wavelength = hdus["SCI"].data, file_wavelengths(hdus, name)
    kinds = [("wavelength", float), ("voxels", int), ("mean_fused", float)]
    channels = np.zeros(len(data), kinds)
    channels["wavelength"] = wavelength
    with np.errstate(invalid="ignore"):
        everywhere = np.mean([np.isfinite(plane) for plane in data[:: max(1, len(data) // 60)]], 0)
    common = everywhere > 0.99 * everywhere.max()
    for number, plane in enumerate(data):
        good = np.isfinite(plane)
        channels["voxels"][number] = good.sum()
        inside = good & common
        channels["mean_fused"][number] = plane[inside].mean(dtype=float) if inside.any() else np.nan
    tables = {"channels": channels, "filters": np.zeros(0, [("filter", "U8")])}
    for key, extension in (("parameters", "FUSPARAMETERS"), ("software", "FUSSOFTWARE")):
        if extension in hdus:
            tables[key] = hdus[extension].data
    return FusedProduct(
        name=name,
        header=hdus[0].header,
        data=data,
        err=hdus["ERR"].data,
        dq=hdus["DQ"].data,
        origin=hdus["WMAP"].data,
        wcs=celestial(hdus["SCI"].header),
        wavelength=wavelength.astype(float),
        tables=tables,
        arrays={},
    )


def _border(whole, before, after):
    low, high = after.first, min(before.last, after.last)
    step, error = _step(whole, low, high)
    images = _overlap(before.product, after.product, low, high)
    mismatch = None if images is None else image_mismatch(images[1], images[0], images[2])
    return Border(before, after, low, high, step, error, images, mismatch)


def _step(whole, low, high):
    """Jump across a border, between lines through the channels on either side of it."""
    low, high = min(low, high), max(low, high)
    wave, mean = whole.wavelength, np.asarray(whole.channels["mean_fused"], float)
    left = np.flatnonzero((wave < low) & np.isfinite(mean))[-_BESIDE:]
    right = np.flatnonzero((wave > high) & np.isfinite(mean))[:_BESIDE]
    if min(left.size, right.size) < _FEWEST:
        return np.nan, np.nan
    middle = 0.5 * (low + high)
    ends = []
    for part in (left, right):
        # Robust against lines: medians of both halves.
        slope = _robust_slope(wave[part], mean[part])
        level = mean[part] - slope * (wave[part] - middle)
        spread = robust_sigma(level - np.median(level))
        reach = np.abs(np.mean(wave[part]) - middle) / np.std(wave[part])
        error = 1.25 * spread * np.hypot(1.0, reach) / np.sqrt(part.size)
        ends.append((np.median(level), error))
    (one, first), (other, second) = ends
    size = 0.5 * abs(one + other)
    return (other - one) / size, float(np.hypot(first, second)) / size


def _robust_slope(x, y):
    i, j = np.triu_indices(x.size, 1)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i])))


def _overlap(before, after, low, high):
    if before is None or after is None or before.data.shape[1:] != after.data.shape[1:]:
        return None
    corner = after.wcs.all_pix2world([0, 0], [0, after.data.shape[1] - 1], 0)
    places = np.array(before.wcs.all_world2pix(*corner, 0))
    if np.abs(places - [[0, 0], [0, after.data.shape[1] - 1]]).max() > 0.05:
        return None
    images, variances = [], []
    for product in (before, after):
        inside = (product.wavelength >= low) & (product.wavelength <= high)
        if not inside.any():
            return None
        data, error = (np.asarray(one[inside], float) for one in (product.data, product.err))
        number = np.maximum(np.isfinite(data).sum(0), 1)
        image = np.nansum(data, axis=0) / number
        images.append(np.where(np.isfinite(data).any(0), image, np.nan))
        variances.append(np.nansum(error**2, axis=0) / number**2)
    return images[0], images[1], np.sqrt(sum(variances))
