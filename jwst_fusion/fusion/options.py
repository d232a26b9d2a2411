"""The parameters of the fusion step, checked before any file is opened."""

import math
from dataclasses import dataclass, fields
from pathlib import Path

from jwst_fusion.bandpass import filter_name
from jwst_fusion.fusion.exclusion import channel_ranges, wavelength_ranges
from jwst_fusion.fusion.left_out import filter_groups
from jwst_fusion.fusion.observed.alignment import filter_offsets
from jwst_fusion.fusion.solver.settings import Settings
from jwst_fusion.numerics.cores import count_cores
from jwst_fusion.parameters import check_range, numbers, parts, rank_of, whole
from jwst_fusion.psf.options import names_wavefront

__all__ = ["FusionOptions"]

# Name, smallest and largest allowed value, and whether the smallest itself is allowed.
_RANGES = (
    ("margin", 0.0, 10.0, True),
    ("wave_min", 0.0, 1000.0, False),
    ("wave_max", 0.0, 1000.0, False),
    ("field_ra", -360.0, 720.0, True),
    ("field_dec", -90.0, 90.0, True),
    ("field_width", 0.0, 3600.0, False),
    ("field_height", 0.0, 3600.0, False),
    ("min_coverage", 0.0, 1.0, False),
    ("search", 0.1, 60.0, True),
    ("psf_size", 0.2, 10.0, True),
    ("psf_broadening_image", 0.0, 2.0, True),
    ("psf_jitter", 0.0, 999.0, True),
    ("trace_oversample", 1.0, 100.0, True),
    ("roll_image", -360.0, 720.0, True),
    ("roll_cube", -360.0, 720.0, True),
    ("memory_limit", 0.0, math.inf, False),
    ("gamma", 0.0, math.inf, False),
    ("max_rank", 1, 200, True),
    ("exponent", 0.5, 3.0, True),
    ("outlier_sigma", 0.0, 1e6, True),
)


@dataclass(frozen=True)
class FusionOptions:
    """
    Parameters of a fusion; see the specification of `~jwst_fusion.step.FusionStep`.

    Raises
    ------
    ValueError
        If a parameter is out of range or does not go with another.
    """

    rank: str | int = "auto"
    max_rank: int = 12
    tuning: str = "evidence"
    mu: float | tuple | None = None
    gamma: float | None = None
    noise_scales: bool = True
    regularisation: str = "sobolev"
    exponent: float = 1.0
    nonnegative: bool = False
    outlier_sigma: float = 6.0
    resolution: str = "imager"
    factor: str | int = "auto"
    margin: float = 0.5
    wave_min: float | None = None
    wave_max: float | None = None
    exclude_wave: tuple = ()
    exclude_channels: tuple = ()
    field_ra: float | None = None
    field_dec: float | None = None
    field_width: float | None = None
    field_height: float | None = None
    filters: tuple = ()
    throughputs: tuple = ()
    min_coverage: float = 0.98
    crosscal: str = "fitted"
    gratings: str = "joined"
    alignment: str = "auto"
    search: float = 2.0
    offsets: tuple = ()
    psf_source: str = "auto"
    psf_image: str | tuple | None = None
    psf_cube: str | None = None
    psf_nodes: str | int = "auto"
    psf_size: float | None = None
    psf_broadening: str | float = "auto"
    psf_broadening_image: float = 0.0
    psf_opd: str | None = None
    psf_jitter: float | None = None
    psf_position: str | tuple | None = None
    trace_oversample: float = 1.0
    roll_image: float | None = None
    roll_cube: float | None = None
    validate_filters: tuple = ()
    save_reobserved: bool = False
    save_report: bool = False
    memory_limit: float = 16.0
    maximum_cores: str = "none"

    def __post_init__(self):
        for name, low, high, closed in _RANGES:
            check_range(name, getattr(self, name), low, high, closed)
        object.__setattr__(self, "mu", numbers("mu", self.mu))
        object.__setattr__(self, "rank", rank_of(self.rank))
        object.__setattr__(self, "factor", whole("factor", self.factor, 2, 32))
        object.__setattr__(self, "psf_nodes", whole("psf_nodes", self.psf_nodes, 2, 64))
        filters = parts(self.filters) or ()
        filters = tuple(filter_name(name, parameter="filters") for name in filters)
        object.__setattr__(self, "filters", filters)
        for name in ("throughputs", "offsets", "exclude_wave", "exclude_channels"):
            object.__setattr__(self, name, parts(getattr(self, name)) or ())
        for name in ("psf_image", "psf_position"):
            object.__setattr__(self, name, parts(getattr(self, name)))
        groups = filter_groups(parts(self.validate_filters) or ())
        object.__setattr__(self, "validate_filters", groups)
        self._check_together()
        Settings(**self.solver())
        self.throughput_files()
        filter_offsets(self.offsets)
        wavelength_ranges(self.exclude_wave)
        channel_ranges(self.exclude_channels)
        self.broadening_widths()
        count_cores(self.maximum_cores)

    def _check_together(self):
        if self.gratings not in ("joined", "separate", "shared"):
            msg = f"gratings is {self.gratings!r}: expected joined, separate or shared"
            raise ValueError(msg)
        if None not in (self.wave_min, self.wave_max) and self.wave_min >= self.wave_max:
            msg = f"wave_min is {self.wave_min} and not below wave_max, {self.wave_max}"
            raise ValueError(msg)
        field = (self.field_ra, self.field_dec, self.field_width, self.field_height)
        if None in field and any(value is not None for value in field):
            msg = "field_ra, field_dec, field_width and field_height must be given together"
            raise ValueError(msg)
        self._check_psf()

    def _check_psf(self):
        kind = self.psf_kind
        files = self.psf_files()
        present = list(files)
        if kind == "file" and len(present) < 2:
            msg = "psf_image and psf_cube must be given together for psf_source = file"
            raise ValueError(msg)
        if kind == "data" and not present:
            msg = "psf_source = data needs exposures of a star: psf_image, psf_cube or both"
            raise ValueError(msg)
        if kind in ("webbpsf", "aperture") and present:
            msg = (
                f"{' and '.join(present)}: files are used with psf_source = file or data, but it "
                f"is {kind!r}"
            )
            raise ValueError(msg)
        if kind == "file" and len(files["psf_image"]) > 1:
            msg = f"psf_image names {len(files['psf_image'])} files; psf_source = file takes one"
            raise ValueError(msg)
        for name, paths in files.items():
            for path in paths:
                if not Path(path).is_file():
                    msg = f"{name}: file {path} does not exist"
                    raise FileNotFoundError(msg)
        modelled = kind != "file" and len(present) < 2
        for name in ("psf_opd", "psf_jitter", "psf_position"):
            if getattr(self, name) is not None and not modelled:
                msg = f"{name} is for models of the PSF, but files are given for both instruments"
                raise ValueError(msg)
        for name in ("psf_opd", "psf_position"):
            if getattr(self, name) is not None and kind == "aperture":
                msg = f"{name} is for psf_source = webbpsf, but it is {kind!r}"
                raise ValueError(msg)
        opd = None if self.psf_opd is None else str(self.psf_opd)
        if opd is not None and opd.lower() != "observation" and not names_wavefront(opd):
            msg = (
                f"psf_opd is {opd!r}: expected a file that exists, a date such as 2023-05-01, "
                "'observation' or 'none'"
            )
            raise ValueError(msg)
        self.position()

    def solver(self):
        """
        Return the options of `~jwst_fusion.fusion.engine.fuse`.

        Returns
        -------
        dict
            Keyword arguments.
        """
        names = ("rank", "max_rank", "tuning", "mu", "gamma", "noise_scales", "regularisation")
        names += ("exponent", "nonnegative", "resolution")
        return {
            **{name: getattr(self, name) for name in names},
            "outlier_sigma": self.outlier_sigma or None,
            "gains": "fitted" if self.crosscal == "fitted" else "fixed",
        }

    @property
    def psf_kind(self):
        """Source of the PSFs: that of `psf_source`, or "file" if "auto" is given files."""
        known = ("auto", "webbpsf", "aperture", "file", "data")
        if self.psf_source not in known:
            msg = f"psf_source is {self.psf_source!r}: expected one of {', '.join(known)}"
            raise ValueError(msg)
        files = (self.psf_image, self.psf_cube)
        return "file" if self.psf_source == "auto" and any(files) else self.psf_source

    def psf_files(self):
        """
        Return the files that stand for models of the PSF.

        Returns
        -------
        dict
            Lists of files by ``psf_image`` and ``psf_cube``, if they are given.
        """
        files = {"psf_image": self.psf_image, "psf_cube": parts(self.psf_cube)}
        return {name: list(paths) for name, paths in files.items() if paths}

    def position(self):
        """
        Return the place on the imager's detector for which PSFs are wanted.

        Returns
        -------
        tuple of int or None
            Column and row, from 0.

        Raises
        ------
        ValueError
            If the parameter is not two whole numbers.
        """
        if self.psf_position is None:
            return None
        pair = [part.strip("()[] ") for part in self.psf_position]
        if len(pair) != 2 or not all(part.isdecimal() and int(part) < 2048 for part in pair):
            msg = (
                f"psf_position is {', '.join(pair)!r}: expected column and row of the detector, "
                "two whole numbers from 0 to 2047, as 1024,512"
            )
            raise ValueError(msg)
        return int(pair[0]), int(pair[1])

    @classmethod
    def from_step(cls, step):
        """
        Take the parameters of a step.

        Parameters
        ----------
        step : object
            Anything that has the parameters as attributes.

        Returns
        -------
        FusionOptions
            The checked parameters.
        """
        return cls(**{one.name: getattr(step, one.name) for one in fields(cls)})

    def measures_offsets(self, *, moving):
        """Return whether measured offsets are applied, to a target that moves or does not."""
        return moving if self.alignment == "auto" else self.alignment == "measured"

    def broadening_widths(self):
        """
        Return the widths of the Gaussian that widens the PSF of the cube.

        Returns
        -------
        tuple of float or None
            FWHM across and along the slices, arcsec; None if they are to be fitted.

        Raises
        ------
        ValueError
            If the parameter is neither a word that is known nor one or two numbers.
        """
        text = str(self.psf_broadening).strip()
        if text == "auto":
            return None if self.psf_cube is None else (0.0, 0.0)
        if text == "fit":
            return None
        try:
            widths = tuple(float(part) for part in text.strip("()[]").replace("x", ",").split(","))
            good = len(widths) <= 2 and all(0 <= width <= 2 for width in widths)
        except ValueError:
            good = False
        if not good:
            msg = (
                f"psf_broadening is {self.psf_broadening!r}: expected 'auto', 'fit', or one or two "
                "numbers from 0 to 2 (arcsec)"
            )
            raise ValueError(msg)
        return widths * 2 if len(widths) == 1 else widths

    def throughput_files(self):
        """
        Return the files of filter curves.

        Returns
        -------
        dict
            File by name of the filter.

        Raises
        ------
        ValueError
            If an entry does not have the form FILTER=file, or names an unknown filter or one twice.
        FileNotFoundError
            If a file does not exist.
        """
        files = {}
        for entry in self.throughputs:
            name, separator, path = str(entry).partition("=")
            if not (separator and name.strip() and path.strip()):
                msg = f"throughputs has the entry {entry!r}: expected FILTER=file"
                raise ValueError(msg)
            if not Path(path.strip()).is_file():
                msg = f"throughputs: file {path.strip()} does not exist"
                raise FileNotFoundError(msg)
            name = filter_name(name, parameter="throughputs")
            if name in files:
                msg = f"throughputs names {name} twice"
                raise ValueError(msg)
            files[name] = path.strip()
        return files
