"""Find the channels that are to be left out of a fusion."""

import numpy as np

__all__ = ["channel_ranges", "excluded_channels", "wavelength_ranges"]


def channel_ranges(entries):
    """
    Read numbers of channels from text.

    Parameters
    ----------
    entries : sequence of str
        Numbers from 0, as 57, or ranges that include both ends, as 100-120.

    Returns
    -------
    list of tuple of int
        First and last channel of each range.

    Raises
    ------
    ValueError
        If an entry has another form.
    """
    wanted = "a channel from 0, as 57, or a range of them, as 100-120"
    return [_range("exclude_channels", entry, int, wanted) for entry in entries]


def wavelength_ranges(entries):
    """
    Read ranges of wavelengths from text.

    Parameters
    ----------
    entries : sequence of str
        Ranges in micrometre, as 1.87-1.88.

    Returns
    -------
    list of tuple of float
        Shortest and longest wavelength of each range.

    Raises
    ------
    ValueError
        If an entry has another form.
    """
    wanted = "a range of wavelengths in um, as 1.87-1.88"
    ranges = [_range("exclude_wave", entry, float, wanted) for entry in entries]
    for entry, (low, high) in zip(entries, ranges, strict=True):
        if not 0 < low < high < np.inf:
            msg = f"exclude_wave has the entry {entry!r}: expected {wanted}"
            raise ValueError(msg)
    return ranges


def excluded_channels(wavelength, *, channels=(), wave=()):
    """
    Find the channels that are to be left out.

    Parameters
    ----------
    wavelength : array (L,)
        Wavelengths of all channels of the cube, micrometre, in any order.
    channels, wave : sequence of str
        Entries of `channel_ranges` and `wavelength_ranges`.

    Returns
    -------
    bool array (L,)
        Whether a channel lies within any of them, ends included.

    Raises
    ------
    ValueError
        If an entry is invalid, the cube has no such channel, or no channel is left.
    """
    out = np.zeros(wavelength.size, bool)
    for first, last in channel_ranges(channels):
        if last >= wavelength.size:
            msg = f"exclude_channels names {last}: the cube has channels 0 to {wavelength.size - 1}"
            raise ValueError(msg)
        out[first : last + 1] = True
    for low, high in wavelength_ranges(wave):
        out |= (wavelength >= low) & (wavelength <= high)
    if out.all():
        msg = "exclude_channels and exclude_wave leave no channel of the cube"
        raise ValueError(msg)
    return out


def _range(parameter, entry, kind, wanted):
    parts = str(entry).split("-")
    try:
        low, high = (kind(part) for part in (parts if len(parts) == 2 else parts * 2))
        good = 0 <= low <= high
    except ValueError:
        good = False
    if not good:
        msg = f"{parameter} has the entry {entry!r}: expected {wanted}"
        raise ValueError(msg)
    return low, high
