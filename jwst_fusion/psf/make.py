"""Make the PSF of an instrument on a given grid: choice of source, cache, parallel nodes."""

import importlib.metadata
import importlib.util
import logging
import math
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
from threadpoolctl import threadpool_limits

from jwst_fusion.psf import aperture, webbpsf
from jwst_fusion.psf.cache import remember
from jwst_fusion.psf.cube import PsfCube
from jwst_fusion.psf.instruments import identify
from jwst_fusion.psf.options import (
    check_broadening,
    check_filter,
    check_footprints,
    check_grid,
    check_nodes,
    check_opd,
    count_cores,
)
from jwst_fusion.psf.resample import native_field, resample_psf

__all__ = ["make_psf"]

log = logging.getLogger(f"stpipe.{__name__}")

#: Line-of-sight jitter of the telescope per axis [arcsec], as in STPSF.
JITTER = 0.0008

_SOURCES = ("auto", "webbpsf", "aperture")
# Native pixels are this much smaller than the Nyquist limit of the widest baseline.
_SAMPLING_MARGIN = 1.05
_warned = threading.Event()


def make_psf(
    instrument,
    *,
    wavelength,
    pixel_scale,
    npix,
    angle=0.0,
    filter=None,
    detector=None,
    source="auto",
    footprints=(),
    broadening=None,
    opd=None,
    use_cache=True,
    maximum_cores="none",
):
    """
    Point spread function of an instrument at wavelength nodes.

    Parameters
    ----------
    instrument : str
        "NIRCAM" or "NIRSPEC" (integral field unit).
    wavelength : array_like
        Nodes [um], for instance from `chebyshev_nodes`; sorted into ascending order.
    pixel_scale : float
        Output pixel [arcsec].
    npix : int
        Output pixels a side, odd.
    angle : float
        Position angle of the telescope's V3 axis (``ROLL_REF``, or ``PA_V3``) minus the position
        angle of the output grid's +y axis, both East of North [deg]. The grid has the parity of
        the sky, x to the right and y upwards: East is left if North is up. With 0, V3 is up and V2
        left; in general V3 points `angle` counterclockwise from +y. It is the same number for all
        instruments observing at the same roll; each aperture's own angle is dealt with here
        (see `aperture_angle`).
    filter : str, optional
        NIRCam filter. The source "webbpsf" uses it for the two filters with a focus of their own,
        F212N and F323N.
    detector : str, optional
        Detector, as in the header keyword DETECTOR; by default NRCB1, NRCB5 or NRS1.
    source : {"auto", "webbpsf", "aperture"}
        "webbpsf" computes with STPSF and needs its data files (environment variable STPSF_PATH);
        "aperture" is a model of the 18-segment pupil with a wavefront error budget and needs none;
        "auto" takes the first if its data are found, else the second with a warning.
    footprints : sequence of tuple
        Boxes (width_x, width_y, angle): widths [arcsec] along axes turned by an angle [deg]
        counterclockwise from the axes of the output grid. The PSF is convolved with each: detector
        pixel, slice, drizzle kernel.
    broadening : float, optional
        Sigma of a Gaussian that widens the PSF [arcsec]. By default what STPSF assumes for charge
        diffusion (NIRCam: 0.0062 below and 0.018 above 2.35 um) and nothing for the integral field
        unit, where slice, pixel and resampling are footprints. A jitter of 0.0008 is always added
        in quadrature.
    opd : path-like, optional
        Telescope wavefront map for the source "webbpsf", as FITS in the format of STPSF, for
        instance the one measured closest to the observation, from MAST. By default the example map
        among STPSF's data files.
    use_cache : bool
        Whether optical PSFs are kept on disk (see `jwst_fusion.psf.cache`).
    maximum_cores : int or str
        How many nodes are computed at once: a number, or "none" (one), "quarter", "half" or "all"
        of the cores.

    Returns
    -------
    PsfCube
        The point-sampled values at the pixel centres of the output grid, with unit sum per node.
        The middle pixel is where the chief ray falls; light above half of the maximum is centred
        on it within about a milliarcsecond.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    FileNotFoundError
        If `source` is "webbpsf" and its data files are not found, or `opd` does not exist.
    """
    nodes = check_nodes(wavelength)
    npix, pixel_scale, angle = check_grid(npix, pixel_scale, angle)
    boxes = check_footprints(footprints)
    model, detector = identify(instrument, (nodes[0], nodes[-1]), detector)
    filter_name = check_filter(filter, model.name)
    cores = count_cores(maximum_cores)
    sigma = math.hypot(check_broadening(broadening, model.broadening), JITTER)
    source = _choose_source(source)
    opd = check_opd(opd, source)

    # Whole half arcseconds, so that runs with slightly different grids share cache entries.
    side = 0.5 * math.ceil(2.0 * native_field(npix, pixel_scale, boxes, sigma))
    native = _Native(source, model.name, detector, filter_name, opd, nodes, side)
    start = time.monotonic()
    if use_cache:
        arrays, found = remember(native.key(), lambda: native.compute(cores))
    else:
        arrays, found = native.compute(cores), False
    turn = angle + float(arrays["rotation"])
    data = [
        resample_psf(
            arrays[f"psf_{i}"].astype(float),
            float(arrays["scale"][i]),
            npix=npix,
            pixel_scale=pixel_scale,
            angle=turn,
            footprints=boxes,
            broadening=sigma,
        )
        for i in range(nodes.size)
    ]
    log.info(
        "PSF of %s (%s, %s): %d wavelengths from %.3f to %.3f um in %.1f s%s",
        model.name,
        detector,
        source,
        nodes.size,
        nodes[0],
        nodes[-1],
        time.monotonic() - start,
        ", optics from the cache" if found else "",
    )
    meta = {
        **native.key(),
        "angle": angle,
        "footprints": [list(box) for box in boxes],
        "broadening": sigma,
        "from_cache": found,
    }
    return PsfCube(np.array(data), nodes, pixel_scale, source, meta)


class _Native:
    """PSFs of one optical model on its native grids, which no choice of output grid changes."""

    def __init__(self, source, channel, detector, filter_name, opd, nodes, side):
        self.source = source
        self.channel = channel
        self.detector = detector
        # The filter acts on the optics only through its focus.
        self.filter_name = filter_name if filter_name in ("F212N", "F323N") else None
        self.opd = opd
        self.nodes = nodes
        nyquist = np.rad2deg(nodes * 1e-6 / (2.0 * aperture.DIAMETER)) * 3600.0
        self.scale = nyquist / _SAMPLING_MARGIN
        self.size = 2 * np.ceil(0.5 * side / self.scale).astype(int) + 1

    def key(self):
        """Everything that the numbers depend on."""
        key = {
            "source": self.source,
            "instrument": self.channel,
            "wavelength": [float(w) for w in self.nodes],
            "size": [int(n) for n in self.size],
            "sampling_margin": _SAMPLING_MARGIN,
            "poppy": importlib.metadata.version("poppy"),
        }
        if self.source == "aperture":
            return {**key, "model": aperture.MODEL_VERSION}
        return {
            **key,
            "detector": self.detector,
            "filter": self.filter_name,
            "stpsf": importlib.metadata.version("stpsf"),
            "data": webbpsf.data_fingerprint(self.opd),
        }

    def compute(self, cores):
        """Compute all nodes, several at once, and report progress."""
        if self.source == "aperture":
            rotation = 0.0
            aperture.pupil()
            aperture.wavefront_error(self.channel)
            calls = [aperture.native_psf] * cores
            arguments = (self.channel,)
        else:
            first = webbpsf.OpticalModel(
                self.channel, self.detector, self.filter_name, opd=self.opd
            )
            rotation = first.rotation
            models = [first, *(first.clone() for _ in range(min(cores, self.nodes.size) - 1))]
            calls = [model.native_psf for model in models]
            arguments = ()
        idle = list(calls)
        arrays = {"scale": self.scale, "rotation": np.array(rotation)}

        def one(i):
            call = idle.pop()
            try:
                return call(*arguments, self.nodes[i], self.scale[i], int(self.size[i]))
            finally:
                idle.append(call)

        start = time.monotonic()
        with (
            warnings.catch_warnings(),
            threadpool_limits(1 if cores > 1 else None),
            ThreadPoolExecutor(len(calls)) as pool,
        ):
            warnings.simplefilter("ignore")  # of poppy, about its own use of NumPy and Astropy
            jobs = {pool.submit(one, i): i for i in range(self.nodes.size)}
            for done, job in enumerate(as_completed(jobs), start=1):
                arrays[f"psf_{jobs[job]}"] = job.result().astype(np.float32)
                left = (time.monotonic() - start) * (self.nodes.size - done) / done
                log.info("%s PSF %d of %d, %.0f s left", self.channel, done, len(jobs), left)
        return arrays


def _choose_source(source):
    if source not in _SOURCES:
        msg = f"source must be one of {', '.join(_SOURCES)}; got {source!r}"
        raise ValueError(msg)
    if source == "aperture":
        return source
    try:
        webbpsf.find_data()
        if importlib.util.find_spec("stpsf") is None:
            msg = "the package stpsf is not installed (pip install stpsf)"
            raise ModuleNotFoundError(msg)
    except (FileNotFoundError, ModuleNotFoundError) as error:
        if source == "webbpsf":
            raise
        if not _warned.is_set():
            _warned.set()
            log.warning(
                "PSFs come from the built-in aperture model with a typical wavefront error; STPSF "
                "would be more accurate. %s",
                error,
            )
        return "aperture"
    return "webbpsf"
