"""What the event lists of X-ray cameras hold: channels, and which events are usually taken."""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["CCD_CAMERAS", "Camera", "camera_of"]


@dataclass(frozen=True)
class Camera:
    """
    A camera.

    Attributes
    ----------
    width : float
        Width of a channel, eV.
    channels : int
        Number of channels.
    first : int
        Number of the channel that begins at zero energy.
    in_ev : bool
        Whether PI is in eV instead of channels.
    keep : dict of str to str
        Values by column of events that are usually taken.
    """

    width: float
    channels: int
    first: int = 0
    in_ev: bool = False
    keep: dict = field(default_factory=dict)

    @property
    def edges(self):
        """Nominal edges of the channels, keV."""
        return 1e-3 * self.width * np.arange(self.channels + 1)


# ASCA grades of single to split events without those that are mostly particles.
_GRADES = {"GRADE": "0,2-4,6"}
# By TELESCOP and INSTRUME. Chandra: CIAO, acis_process_events; XMM-Newton: SAS user guide, PI in eV
# and channels of 5 eV; XRISM: ABC guide, channels of 0.5 and 6 eV, high-resolution primary events.
_CAMERAS = {
    ("CHANDRA", "ACIS"): Camera(14.6, 1024, first=1, keep=_GRADES),
    ("XMM", "EPN"): Camera(5.0, 4096, in_ev=True, keep={"PATTERN": "0-4", "FLAG": "0"}),
    ("XMM", "EMOS1"): Camera(5.0, 2400, in_ev=True, keep={"PATTERN": "0-12", "FLAG": "0"}),
    ("XMM", "EMOS2"): Camera(5.0, 2400, in_ev=True, keep={"PATTERN": "0-12", "FLAG": "0"}),
    ("XRISM", "RESOLVE"): Camera(0.5, 60000, keep={"ITYPE": "0"}),
    ("XRISM", "XTEND"): Camera(6.0, 4096, keep=_GRADES),
}
#: INSTRUME of cameras with the spectral resolution of silicon, 0.1 to 0.2 keV at 6 keV.
CCD_CAMERAS = ("ACIS", "EPN", "EMOS1", "EMOS2", "XTEND", "SXI", "XRT", "XIS0", "XIS1", "XIS3")


def camera_of(header):
    """
    Tell the camera of an event list.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Header with TELESCOP and INSTRUME.

    Returns
    -------
    Camera or None
        The camera; None if it is not known.
    """
    telescope, instrument = (
        str(header.get(key, "")).strip().upper() for key in ("TELESCOP", "INSTRUME")
    )
    return _CAMERAS.get((telescope, instrument))
