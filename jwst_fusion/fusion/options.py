"""The parameters of the fusion step, checked as given; long because each says what it means."""

from dataclasses import dataclass, fields
from pathlib import Path

from jwst_fusion.bandpass import MIN_COVERAGE, filter_name
from jwst_fusion.fusion.exclusion import channel_ranges, wavelength_ranges
from jwst_fusion.fusion.left_out import AUTOMATIC, filter_groups
from jwst_fusion.fusion.observed.alignment import filter_offsets
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.fusion.solver.subspace import parse_rank
from jwst_fusion.numerics.cores import SHARES, count_cores
from jwst_fusion.parameters import (
    check_options,
    number_or_auto,
    numbers,
    option,
    options_of,
    parts,
    same_option,
)
from jwst_fusion.psf import checks as psf_checks
from jwst_fusion.psf.instruments import LARGEST_DETECTOR

__all__ = ["FusionOptions"]


@dataclass(frozen=True, kw_only=True)
class FusionOptions:
    """
    Parameters of the fusion step.

    Each is declared with its type, default, range and meaning, from which the specification of
    `~jwst_fusion.step.FusionStep` is made; those of the solver are the same as in
    `~jwst_fusion.fusion.solver.settings.FusionSettings`.

    Raises
    ------
    ValueError
        If a parameter is out of range or does not go with another.
    """

    input: str = option(
        "auto",
        "What is fused: 'exposures' at the pixels of the detector, a 'cube', or 'auto': what the "
        "science members are",
        choices=("auto", "exposures", "cube"),
    )
    rank: str | int | float = same_option(FusionSettings, "rank")
    max_rank: int = same_option(FusionSettings, "max_rank")
    tuning: str = same_option(FusionSettings, "tuning")
    mu: float | tuple | None = same_option(FusionSettings, "mu")
    gamma: float | None = same_option(FusionSettings, "gamma")
    noise_scales: bool = same_option(FusionSettings, "noise_scales")
    regularisation: str = same_option(FusionSettings, "regularisation")
    exponent: str | float = same_option(FusionSettings, "exponent")
    nonnegative: bool = same_option(FusionSettings, "nonnegative")
    outlier_sigma: float = same_option(
        FusionSettings, "outlier_sigma", high=1e6, beside=(0.0, "believe all data")
    )
    sources: str = option(
        "auto",
        "Point sources with spectra of their own: 'auto' finds them in the images, 'none', or a "
        "file with a table of their positions (ra, dec)",
    )
    false_alarms: float = same_option(FusionSettings, "false_alarms")
    resolution: str = same_option(
        FusionSettings, "resolution", choices=("imager", "ifu", "deconvolved")
    )
    factor: str | int = option(
        "auto",
        "Pixels of the result per spaxel along each side, or 'auto': nearest whole ratio of the "
        "pixel scales",
        low=2,
        high=32,
        words=("auto",),
    )
    margin: float = option(
        0.5, "Rim around the field in which images are used too", low=0.0, high=10.0, unit="arcsec"
    )
    wave_min: float | None = option(
        None, "Shortest wavelength", kind="float", low=0.0, high=1000.0, closed=False, unit="um"
    )
    wave_max: float | None = option(
        None, "Longest wavelength", kind="float", low=0.0, high=1000.0, closed=False, unit="um"
    )
    exclude_wave: tuple = option(
        (), "Wavelengths to leave out, as 1.87-1.88,2.12-2.13", kind="force_list", unit="um"
    )
    exclude_channels: tuple = option(
        (), "Channels of the cube to leave out, counted from 0, as 57,100-120", kind="force_list"
    )
    field_ra: float | None = option(
        None,
        "Centre of the field; default: the whole cube",
        kind="float",
        low=-360.0,
        high=720.0,
        unit="deg",
    )
    field_dec: float | None = option(
        None, "Centre of the field", kind="float", low=-90.0, high=90.0, unit="deg"
    )
    field_width: float | None = option(
        None,
        "Width of the field, along x of the cube",
        kind="float",
        low=0.0,
        high=3600.0,
        closed=False,
        unit="arcsec",
    )
    field_height: float | None = option(
        None,
        "Height of the field, along y of the cube",
        kind="float",
        low=0.0,
        high=3600.0,
        closed=False,
        unit="arcsec",
    )
    filters: tuple = option((), "Use only images of these filters", kind="force_list")
    throughputs: tuple = option(
        (), "Files of filter curves, as F212N=file.txt,F182M=file.fits", kind="force_list"
    )
    min_coverage: float = option(
        MIN_COVERAGE,
        "Smallest part of a filter's band that the cube must cover",
        low=0.0,
        high=1.0,
        closed=False,
    )
    crosscal: str = option(
        "fitted",
        "Cross-calibration: means free of light that crosses the border, plain means, one factor "
        "per image fitted together with the scene, starting from the first, or none",
        choices=("eroded", "mean", "fitted", "off"),
    )
    background: str = option(
        "fitted",
        "Uniform light that an image has and the cube has not: fitted and taken off the image if "
        "significant, or none",
        choices=("fitted", "none"),
    )
    gratings: str = option(
        "joined",
        "Several cubes: fuse each and join the results where wavelengths meet, do not join, or "
        "fuse them as one with a common spectral subspace, for which spaxels must be the same",
        choices=("joined", "separate", "shared"),
    )
    alignment: str = option(
        "auto",
        "Align images by their WCS, each by the offset measured against the cube, or auto: "
        "measured for moving targets, else by one offset and rotation of all if significant",
        choices=("auto", "wcs", "measured"),
    )
    search: float = option(
        2.0, "Largest offset that is looked for", low=0.1, high=60.0, unit="arcsec"
    )
    offsets: tuple = option(
        (),
        "Known offsets of the images, as F182M:0.012:-0.034 in arcsec along x and y of the cube",
        kind="force_list",
    )
    psf_source: str = option(
        "auto",
        "PSFs by STPSF, by a model of the aperture, from files, from exposures of a star, or auto: "
        "the first two by what is there",
        choices=(*psf_checks.SOURCES, "file", "data"),
    )
    psf_image: str | tuple | None = option(
        None,
        "PSF of the images. For psf_source = file: a file with the complete PSF on the grid of the "
        "result. For data: images (i2d) of a star, separated by commas",
        kind="force_list",
    )
    psf_cube: str | None = option(
        None, "PSF of the cube, likewise. For data: a cube (s3d) of a star", kind="string"
    )
    psf_nodes: str | int = option(
        "auto",
        "Number of wavelengths for PSFs, or 'auto': enough that no OTF is off by 1e-3",
        low=psf_checks.FEWEST_NODES,
        high=psf_checks.MOST_NODES,
        words=("auto",),
    )
    psf_size: float | None = option(
        None,
        "Side of the PSFs; default: 3, with MIRI 20 times the longest wavelength over the "
        "telescope's diameter, up to 10",
        kind="float",
        low=0.2,
        high=psf_checks.LARGEST_FIELD,
        unit="arcsec",
    )
    psf_broadening: str | float = option(
        "auto",
        "FWHM of a Gaussian that widens the PSF of the cube: a number, two as 0.15x0.10 across and "
        "along the slices, 'fit' to the images, or 'auto': fit a model, leave a file as it is",
        low=0.0,
        high=psf_checks.LARGEST_BROADENING,
        unit="arcsec",
        words=("auto", "fit"),
    )
    psf_broadening_image: float = option(
        0.0,
        "FWHM of a Gaussian that widens the PSF of the images",
        low=0.0,
        high=psf_checks.LARGEST_BROADENING,
        unit="arcsec",
    )
    psf_fit: str = same_option(FusionSettings, "psf_fit")
    psf_opd: str | None = option(
        None,
        "Wavefront of the telescope for STPSF: a file, a date, 'observation' for the dates of the "
        "data, 'none'; default: the example of STPSF",
        kind="string",
    )
    psf_jitter: float | None = option(
        None,
        "Jitter of the telescope per axis, sigma; default: 0.8, as in STPSF",
        kind="float",
        low=0.0,
        high=999.0,
        unit="milliarcsec",
    )
    psf_position: str | tuple | None = option(
        None,
        "Column,row of the imager's detector for which STPSF computes; default: its middle",
        kind="force_list",
    )
    trace_oversample: float = option(
        1.0, "Factor by which the exposures of the cube were oversampled", low=1.0, high=100.0
    )
    roll_image: float | None = option(
        None,
        "Position angle of V3 for the images, if their headers lack it",
        kind="float",
        low=-360.0,
        high=720.0,
        unit="deg",
    )
    roll_cube: float | None = option(
        None,
        "Position angle of V3 for the cube, if its header lacks it",
        kind="float",
        low=-360.0,
        high=720.0,
        unit="deg",
    )
    validate_filters: str | tuple = option(
        "auto",
        "Leave filters out and compare with what is predicted for them: 'auto' one of three or "
        "more in the course of the fusion; F187N, several together as F187N+F212N, or all for each "
        "in turn, with one more fusion each; or 'none'",
        kind="force_list",
    )
    add_residual: bool = option(
        False,
        "Add what exposures leave of the cube, spaxel by spaxel, with its noise in ERR",
    )
    save_reobserved: bool = option(
        False,
        "Save the result as each filter (i2d) and the spectrometer (s3d) would see it",
    )
    save_report: bool = option(
        False,
        "Save a page (report.html) with pictures and numbers that tell whether to trust the result",
    )
    memory_limit: float = option(
        16.0,
        "Stop before anything is computed if more memory is needed",
        low=0.0,
        closed=False,
        unit="GB",
    )
    maximum_cores: str | int = option(
        "none",
        "Processes for PSFs: 'none', 'quarter', 'half', 'all' or a number",
        words=tuple(SHARES),
    )

    def __post_init__(self):
        check_options(self)
        object.__setattr__(self, "mu", numbers("mu", self.mu))
        object.__setattr__(self, "rank", parse_rank(self.rank))
        for name in ("factor", "psf_nodes", "exponent"):
            whole = name != "exponent"
            value = number_or_auto(name, getattr(self, name), options_of(self)[name], whole=whole)
            object.__setattr__(self, name, value)
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
        if self.source_file is not None and not self.source_file.is_file():
            msg = f"sources is {self.sources!r}: expected 'auto', 'none' or a file that exists"
            raise FileNotFoundError(msg)
        self.solver()
        self.throughput_files()
        filter_offsets(self.offsets)
        wavelength_ranges(self.exclude_wave)
        channel_ranges(self.exclude_channels)
        self.broadening_widths()
        count_cores(self.maximum_cores)

    def _check_together(self):
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
        if opd is not None and opd.lower() != "observation" and not psf_checks.names_wavefront(opd):
            msg = (
                f"psf_opd is {opd!r}: expected a file that exists, a date such as 2023-05-01, "
                "'observation' or 'none'"
            )
            raise ValueError(msg)
        self.position()

    def solver(self):
        """
        Return the settings of the solver.

        Returns
        -------
        FusionSettings
            Those that the step shares with it; all others are at their defaults.

        Raises
        ------
        ValueError
            If one is out of range or does not go with another.
        """
        shared = options_of(self).keys() & options_of(FusionSettings).keys()
        given = {name: getattr(self, name) for name in shared}
        given["outlier_sigma"] = self.outlier_sigma or None
        given["sources"] = self.sources if self.source_file is None else "given"
        given["predict"] = self.predicts
        # That of the spectrograph is for exposures, which `fuse` does not see.
        given["resolution"] = "imager" if self.resolution == "ifu" else self.resolution
        given["gains"] = "fitted" if self.crosscal == "fitted" else "fixed"
        return FusionSettings(**given)

    @property
    def predicts(self):
        """Whether one of three or more filters is left out in the course of the fusion."""
        return self.validate_filters == (AUTOMATIC,)

    @property
    def source_file(self):
        """Catalogue of point sources; None if they are to be found in the images, or none."""
        return None if self.sources in ("auto", "none") else Path(self.sources)

    @property
    def psf_kind(self):
        """Source of the PSFs: that of `psf_source`, or "file" if "auto" is given files."""
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
        side = LARGEST_DETECTOR
        if len(pair) != 2 or not all(part.isdecimal() and int(part) < side for part in pair):
            msg = (
                f"psf_position is {', '.join(pair)!r}: expected column and row of the detector, "
                f"two whole numbers from 0 to {side - 1}, as 1024,512"
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
        """
        Return whether measured offsets are applied.

        Parameters
        ----------
        moving : bool
            Whether the target moves on the sky; only "auto" asks for it.

        Returns
        -------
        bool
            True with "measured", and with "auto" if the target moves.
        """
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
        one = options_of(self)["psf_broadening"]
        text = str(self.psf_broadening).strip()
        if text == "auto":
            return None if self.psf_cube is None else (0.0, 0.0)
        if text == "fit":
            return None
        try:
            widths = tuple(float(part) for part in text.strip("()[]").replace("x", ",").split(","))
            good = len(widths) <= 2 and all(one.low <= w <= one.high for w in widths)
        except ValueError:
            good = False
        if not good:
            msg = (
                f"psf_broadening is {self.psf_broadening!r}: expected 'auto', 'fit', or one or two "
                f"numbers from {one.low:g} to {one.high:g} (arcsec)"
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
