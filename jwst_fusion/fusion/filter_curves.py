"""Filter curves of images: those of files that are given, and those that are known."""

import logging

from jwst_fusion.bandpass import load_bandpass
from jwst_fusion.messages import warn

__all__ = ["known_bandpasses"]

log = logging.getLogger(__name__)


def known_bandpasses(images, files):
    """
    Load the filter curve of each image; leave out images whose filter is not known.

    Parameters
    ----------
    images : list of `~jwst_fusion.fusion.observed.observation.ImageObservation`
        The images.
    files : dict of str to str
        Files of curves by filter.

    Returns
    -------
    known : list of `~jwst_fusion.fusion.observed.observation.ImageObservation`
        Images with a curve.
    bandpasses : list of `~jwst_fusion.bandpass.Bandpass`
        Their curves.

    Raises
    ------
    ValueError
        If a file that is given is no filter curve.
    """
    known, bandpasses = [], []
    for image in images:
        path = files.get(image.filter)
        try:
            bandpasses.append(load_bandpass(image.filter, path=path, instrument=image.instrument))
        except ValueError as reason:
            if path is not None:
                raise
            warn(log, "%s is not used: %s (parameter throughputs)", image.name, reason)
            continue
        log.info("Throughput of %s: %s", image.filter, bandpasses[-1].source)
        known.append(image)
    return known, bandpasses
