"""PSFs of one optical model on its native grids, which no choice of output grid changes."""

import importlib.metadata
import logging
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
from threadpoolctl import threadpool_limits

from jwst_fusion.process import without_warnings
from jwst_fusion.psf import aperture, webbpsf

__all__ = ["Native", "versions"]

log = logging.getLogger(__name__)

_SILENCE = 10.0  # s between lines on the progress

# Native pixels are this much smaller than the Nyquist limit of the widest baseline.
_SAMPLING_MARGIN = 1.05
# Filters with a focus of their own; the others do not act on the optics.
_REFOCUSED = ("F212N", "F323N")


def versions(source):
    """
    Versions of the software on which PSFs of a source depend.

    Parameters
    ----------
    source : {"webbpsf", "aperture"}
        Source of the PSFs.

    Returns
    -------
    dict
        Version by name, as installed.
    """
    packages = ("poppy", "stpsf", "pysiaf") if source == "webbpsf" else ("poppy",)
    found = {name: importlib.metadata.version(name) for name in packages}
    return found if source == "webbpsf" else {**found, "aperture model": aperture.MODEL_VERSION}


class Native:
    """
    What is computed once for a set of wavelengths and kept in the cache.

    Parameters
    ----------
    source : {"webbpsf", "aperture"}
        Source of the PSFs.
    channel : str
        Name of the instrument or channel, see `jwst_fusion.psf.instruments`.
    detector : str
        Detector.
    filter_name : str or None
        NIRCam filter.
    position : tuple of int or None
        Column and row on the detector; None for its middle.
    opd : pathlib.Path, str or None
        Telescope wavefront map, "none" for a perfect telescope, None for that of STPSF's data.
    nodes : ndarray
        Wavelengths, shape (node,) [um].
    side : float
        Side of the square images [arcsec].
    """

    def __init__(self, source, channel, detector, filter_name, position, opd, nodes, side):
        self.source = source
        self.channel = channel
        self.detector = detector
        self.filter_name = filter_name if filter_name in _REFOCUSED else None
        self.position = position
        self.opd = opd
        self.nodes = nodes
        self.side = side
        nyquist = np.rad2deg(nodes * 1e-6 / (2.0 * aperture.DIAMETER)) * 3600.0
        self.scale = nyquist / _SAMPLING_MARGIN
        self.size = 2 * np.ceil(0.5 * side / self.scale).astype(int) + 1

    def key(self):
        """Everything that the numbers depend on, as JSON types; readable by a person."""
        key = {
            "source": self.source,
            "instrument": self.channel,
            "wavelength": [float(w) for w in self.nodes],
            "field": self.side,
            "sampling_margin": _SAMPLING_MARGIN,
            "versions": versions(self.source),
        }
        if self.source == "aperture":
            return key
        return {
            **key,
            "detector": self.detector,
            "filter": self.filter_name,
            "position": None if self.position is None else list(self.position),
            "opd": None if self.opd is None else getattr(self.opd, "name", self.opd),
            "data": webbpsf.data_fingerprint(self.opd, self.channel),
        }

    def compute(self, cores):
        """
        Compute all nodes, several at once, and report progress.

        Parameters
        ----------
        cores : int
            Nodes at a time.

        Returns
        -------
        dict of ndarray
            ``psf_0``, ``psf_1``, ... one image per node, ``scale`` of their pixels [arcsec] and
            ``rotation`` (one value) [deg] counterclockwise that brings V3 up.
        """
        with without_warnings():  # of STPSF and poppy, about their own workings
            return self._compute(cores)

    def _compute(self, cores):
        if self.source == "aperture":
            rotation = 0.0
            aperture.pupil()
            aperture.wavefront_error(self.channel)
            calls = [aperture.native_psf] * cores
            arguments = (self.channel,)
        else:
            first = webbpsf.OpticalModel(
                self.channel,
                self.detector,
                self.filter_name,
                position=self.position,
                opd=self.opd,
            )
            rotation = first.rotation
            models = [first, *(first.clone() for _ in range(min(cores, self.nodes.size) - 1))]
            calls = [model.native_psf for model in models]
            arguments = ()
        idle = list(calls)
        arrays = {"scale": self.scale, "rotation": np.array([rotation])}

        def one(i):
            call = idle.pop()
            try:
                return call(*arguments, self.nodes[i], self.scale[i], int(self.size[i]))
            finally:
                idle.append(call)

        start = said = time.monotonic()
        with (
            threadpool_limits(1 if cores > 1 else None),
            ThreadPoolExecutor(len(calls)) as pool,
        ):
            jobs = {pool.submit(one, i): i for i in range(self.nodes.size)}
            for done, job in enumerate(as_completed(jobs), start=1):
                arrays[f"psf_{jobs[job]}"] = job.result().astype(np.float32)
                now = time.monotonic()
                if now - said > _SILENCE:
                    left = (now - start) * (self.nodes.size - done) / done
                    log.info("%s PSF %d of %d, %.0f s left", self.channel, done, len(jobs), left)
                    said = now
        return arrays
