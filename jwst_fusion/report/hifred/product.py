"""What a report needs of a fused cube, and of the cubes it was made of, read from FITS.

Images are (y, x), cubes (channel, y, x) in the order of rising energy (keV) or wavelength (um).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from jwst_fusion.hifred.agreement import Band
from jwst_fusion.numerics.array_tables import plain
from jwst_fusion.numerics.spectral_axis import file_wavelengths
from jwst_fusion.report.frame import celestial
from jwst_fusion.report.mismatch import Amount, field_mismatch, spectral_mismatch

__all__ = ["ComparedCube", "HifredProduct", "read_hifred"]

_ARRAYS = ("images", "models", "sigmas", "pixels")
_TABLES = (
    "OBSERVATIONS",
    "HISTORY",
    "PARAMETERS",
    "SOFTWARE",
    "NOTES",
    "TUNING",
    "COMPONENTS",
    "BANDS",
)
_OF_OBSERVATIONS = ("normalisation", "norm_error", "offset_x", "offset_x_error")
_OF_OBSERVATIONS += ("offset_y", "offset_y_error", "chi2")
_SAMPLED = 240  # channels that stand for all in a map, so that large products take no longer


@dataclass(frozen=True)
class ComparedCube:
    """
    One of the cubes against the fused one.

    Attributes
    ----------
    letter : str
        "X" or "Y"; of further observations "X2", "Y2" and so on.
    file : str
        Name of the cube.
    images, models, sigmas : array (band, y, x)
        In each band: the cube, what is expected of it, and its errors; NaN where it has none.
    pixels : array (3, y, x)
        Reduced chi-square, spectral angle, and the angle that noise alone gives, degrees.
    channels : array
        Table of the channels.
    model : array (l, y, x)
        What is expected of the cube.
    cube : array (l, y, x) or None
        The cube itself, if it is known; NaN where it is not used.
    wcs : `~astropy.wcs.WCS` or None
        Celestial coordinates of its pixels, of further observations.
    line_fits : array (5, y, x) or None
        What the lines of each pixel have beyond expectation, see
        `~jwst_fusion.hifred.agreement.LINE_FITS`; None in products of earlier versions.
    """

    letter: str
    file: str
    images: np.ndarray
    models: np.ndarray
    sigmas: np.ndarray
    pixels: np.ndarray
    channels: np.ndarray
    model: np.ndarray
    cube: np.ndarray | None = None
    wcs: WCS | None = None
    line_fits: np.ndarray | None = None

    @property
    def edges(self):
        """Edges of the channels (l + 1,)."""
        return np.append(self.channels["low"], self.channels["high"][-1]).astype(float)

    @property
    def middle(self):
        """Middle of each channel (l,)."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def total(self):
        """Observed and expected image of all channels, and errors."""
        return tuple(np.asarray(one[0], float) for one in (self.images, self.models, self.sigmas))

    @property
    def spectrum(self):
        """Observed and expected spectrum of all pixels, and errors; NaN where nothing is used."""
        used = np.asarray(self.channels["used"]) > 0
        names = ("observed", "expected", "error")
        return tuple(np.where(used, self.channels[name], np.nan).astype(float) for name in names)


@dataclass(frozen=True)
class HifredProduct:
    """
    A fused cube, and what it says about itself.

    Attributes
    ----------
    name : str
        File name.
    header : `~astropy.io.fits.Header`
        Primary header.
    counts : bool
        Whether it was made of counts, not of JWST cubes.
    unit : str
        Of the fused cube.
    data, dq : array (L, y, x)
        Extensions SCI and DQ.
    err : array (L, y, x) or None
        Extension ERR.
    wcs : `~astropy.wcs.WCS` or None
        Celestial coordinates.
    x, y : ComparedCube
        The sharper cube, and that with the finer channels.
    owner : array of int (y, x)
        Number of the pixel of Y in which each pixel lies; -1 for none.
    tables : dict
        By name: history, parameters, software, notes, tuning, components, bands; those that the
        product has.
    arrays : dict
        Spectra and maps of the components, if there are any.
    more : tuple of ComparedCube
        Observations beyond X and Y.
    """

    name: str
    header: fits.Header
    counts: bool
    unit: str
    data: np.ndarray
    err: np.ndarray | None
    dq: np.ndarray
    wcs: WCS | None
    x: ComparedCube
    y: ComparedCube
    owner: np.ndarray
    tables: dict
    arrays: dict
    more: tuple = ()

    @property
    def cubes(self):
        """X and Y."""
        return self.x, self.y

    @property
    def observations(self):
        """All cubes: X, Y and further ones."""
        return self.x, self.y, *self.more

    @cached_property
    def normalisations(self):
        """Normalisations, offsets [pixels of X], errors and chi-square by letter, if known."""
        rows = self.tables.get("observations", ())
        return {
            _word(row["label"]): tuple(float(row[name]) for name in _OF_OBSERVATIONS)
            for row in rows
        }

    @property
    def edges(self):
        """Edges of the channels (L + 1,)."""
        return self.y.edges

    @property
    def middle(self):
        """Middle of each channel (L,)."""
        return self.y.middle

    @property
    def axis_unit(self):
        """Unit of the spectral axis."""
        return "keV" if self.counts else "µm"

    @property
    def axis_label(self):
        """Words below a spectrum."""
        return "energy [keV]" if self.counts else "wavelength [µm]"

    @property
    def scale(self):
        """Arcsec per pixel; 1 without sky coordinates."""
        if self.wcs is None:
            return 1.0
        return float(np.sqrt(abs(np.linalg.det(self.wcs.pixel_scale_matrix))) * 3600)

    @property
    def bands(self):
        """Bands of the images of both cubes."""
        rows = self.tables["bands"]
        return [Band(str(row["name"]), float(row["low"]), float(row["high"])) for row in rows]

    @cached_property
    def shares(self):
        """Number of pixels of X in each pixel of Y (m, n)."""
        size = self.y.pixels[0].size
        inside = self.owner[self.owner >= 0]
        return np.bincount(inside, minlength=size)[:size].reshape(self.y.pixels[0].shape)

    @cached_property
    def sample(self):
        """Evenly spaced channels, which stand for all."""
        return np.arange(len(self.middle))[:: max(1, len(self.middle) // _SAMPLED)]

    @cached_property
    def brightness(self):
        """Mean over the channels, (y, x)."""
        planes = np.array([self.data[i] for i in self.sample], float)
        known = np.isfinite(planes)
        count = known.sum(0)
        total = np.where(known, planes, 0).sum(0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    @cached_property
    def relative_error(self):
        """Median over the channels of error over value, (y, x); None without errors."""
        if self.err is None:
            return None
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.array([self.err[i] / self.data[i] for i in self.sample], float)
        ratio[~np.isfinite(ratio)] = np.inf
        middle = np.median(ratio, axis=0)
        return np.where(np.isfinite(middle), middle, np.nan)

    def lines_in_y(self, compared):
        """
        Tell what lines have beyond expectation in the pixels of Y.

        Parameters
        ----------
        compared : ComparedCube
            X, whose pixels are averaged over those of Y, or Y.

        Returns
        -------
        array (5, y, x) or None
            As `line_fits`; None if it is not known.
        """
        found = compared.line_fits
        if found is None or compared.letter == "Y":
            return found
        size = self.y.pixels[0].size
        good = (self.owner >= 0) & np.isfinite(found).all(axis=0)
        number, out = self.owner[good], np.full((5, size), np.nan)
        for k in (0, 2):
            weight = 1.0 / np.maximum(found[k + 1][good], 1e-300) ** 2
            total = np.bincount(number, weight, size)
            value = np.bincount(number, weight * found[k][good], size)
            out[k] = np.divide(value, total, out=np.full(size, np.nan), where=total > 0)
            out[k + 1] = np.divide(1.0, np.sqrt(total), out=np.full(size, np.nan), where=total > 0)
        out[4] = np.nan if not good.any() else np.median(found[4][good])
        return out.reshape(5, *self.y.pixels[0].shape)

    @cached_property
    def field(self):
        """How the images of both cubes differ."""
        found = field_mismatch((self.x.total, self.y.total), self.owner)
        shift = tuple(self._measured(name) for name in ("HIFOFFX", "HIFOFFY"))
        # the fused cube lies between both: what they say without it is better
        return found if None in shift else replace(found, shift=shift)

    def _measured(self, name):
        """Amount in the header; None if it is not there."""
        value, error = (self.header.get(key) for key in (name, f"{name}E"))
        return None if None in (value, error) else Amount(float(value), float(error))

    @cached_property
    def spectral(self):
        """How the spectra of both cubes differ."""
        widths = tuple(float(np.mean(np.diff(compared.edges))) for compared in self.cubes)
        found = spectral_mismatch((self.x.spectrum, self.y.spectrum), widths)
        gain = self._measured("HIFGAIN")
        if gain is None:
            return found
        return replace(found, shift=(Amount(-gain.value, gain.error),))

    def on_fine(self, image):
        """
        Show an image of Y on the pixels of X.

        Parameters
        ----------
        image : array (m, n)
            Values on the pixels of Y.

        Returns
        -------
        array (y, x)
            Each pixel of X has the value of the pixel of Y in which it lies; NaN beyond Y.
        """
        values = np.ravel(image)[np.maximum(self.owner, 0)]
        return np.where(self.owner >= 0, values, np.nan)


def read_hifred(hdus, name=None, *, cubes=(None, None)):
    """
    Read a product of HIFReD.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The product, of counts or of JWST cubes.
    name : str, optional
        Name of the file, by default that in the header.
    cubes : tuple of (array or None), optional
        X and Y on the channels and pixels that were used, NaN where they were not used.

    Returns
    -------
    HifredProduct
        The product.

    Raises
    ------
    ValueError
        If nothing was fused, or the product lacks what a report shows.
    """
    header = hdus[0].header
    name = name or header.get("FILENAME", "fused cube")
    status = header.get("S_HIFRED")
    if status != "COMPLETE":
        msg = f"{name} is not a fused cube: its keyword S_HIFRED is {status!r}, not 'COMPLETE'"
        raise ValueError(msg)
    counts = "EBOUNDS" in hdus

    def extension(title):
        return title if counts else f"HIF{title.replace('_', '')}"

    needed = ["BANDS", "OWNER", "HISTORY", "COMPONENTS"]
    for letter in "XY":
        needed += [f"{one.upper()}_{letter}" for one in (*_ARRAYS, "channels", "model")]
    missing = [one for one in map(extension, needed) if one not in hdus]
    missing += [one for one in ("SCI", "DQ") if one not in hdus]
    if missing:
        msg = (
            f"{name} has no extension {', '.join(missing)}: fuse again with this version of "
            "jwst_fusion for a report"
        )
        raise ValueError(msg)

    def get(title):
        return plain(hdus[extension(title)].data)

    order = slice(None)
    if not counts:
        wavelength = file_wavelengths(hdus, name)
        order = slice(None, None, -1 if wavelength[0] > wavelength[-1] else 1)
    compared = [
        ComparedCube(
            letter,
            str(header.get(f"HIFCUBE{letter}", "–")),
            **{one: np.array(get(f"{one.upper()}_{letter}")) for one in _ARRAYS},
            channels=np.array(get(f"CHANNELS_{letter}")),
            model=get(f"MODEL_{letter}")[order if letter == "Y" else slice(None)],
            cube=cube,
            line_fits=(
                np.array(get(f"LINE_FITS_{letter}"), float)
                if extension(f"LINE_FITS_{letter}") in hdus
                else None
            ),
        )
        for letter, cube in zip("XY", cubes, strict=True)
    ]
    names = {}
    if counts and "OBSERVATIONS" in hdus:
        rows = hdus["OBSERVATIONS"].data
        names = {_word(row["LABEL"]): _word(row["NAME"]) for row in rows}
    more = [
        ComparedCube(
            label,
            file,
            **{one: np.array(get(f"{one.upper()}_{label}")) for one in _ARRAYS},
            channels=np.array(get(f"CHANNELS_{label}")),
            model=get(f"MODEL_{label}"),
            wcs=_sky(hdus[f"MODEL_{label}"].header),
        )
        for label, file in names.items()
        if label not in ("X", "Y")
    ]
    compared = [_lower(one) for one in (*compared, *more)]
    main = hdus["SCI"].header
    return HifredProduct(
        name=name,
        header=header,
        counts=counts,
        unit=str(main.get("BUNIT", "")),
        data=hdus["SCI"].data[order],
        err=_errors(hdus, order),
        dq=hdus["DQ"].data[order],
        wcs=_sky(main),
        x=compared[0],
        y=compared[1],
        owner=np.array(get("OWNER")),
        tables={one.lower(): _lowered(get(one)) for one in _TABLES if extension(one) in hdus},
        arrays={
            one.lower(): np.array(get(one)) for one in ("SPECTRA", "MAPS") if extension(one) in hdus
        },
        more=tuple(compared[2:]),
    )


def _word(value):
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()


def _sky(header):
    return celestial(header) if header.get("CTYPE1") else None


def _errors(hdus, order):
    """Errors; None if there are none, which a data model fills with NaN."""
    if "ERR" not in hdus:
        return None
    error = hdus["ERR"].data[order]
    return error if np.isfinite(error).any() else None


def _lower(compared):
    values = {key: getattr(compared, key) for key in compared.__dataclass_fields__}
    return ComparedCube(**{**values, "channels": _lowered(compared.channels)})


def _lowered(table):
    """Table with names of columns in lower case and values in the byte order of the machine."""
    kinds = []
    for title in table.dtype.names:
        kind = np.asarray(table[title]).dtype
        kinds.append((title.lower(), kind.newbyteorder("=")))
    out = np.zeros(len(table), kinds)
    for title in table.dtype.names:
        out[title.lower()] = table[title]
    return out
