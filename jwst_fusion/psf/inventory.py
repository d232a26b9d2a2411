"""Description of the entries of the cache, and whether they can still be used."""

from jwst_fusion.psf import webbpsf
from jwst_fusion.psf.native import versions

__all__ = ["describe", "fault_of", "serves"]


def describe(entry):
    """
    Say in words what an entry holds.

    Parameters
    ----------
    entry : jwst_fusion.psf.cache.Entry
        Entry of the cache.

    Returns
    -------
    str
        One line, or the name of the file if it cannot be read.
    """
    key = entry.key
    if key is None:
        return entry.path.name
    nodes = key["wavelength"]
    span = f"{nodes[0]:.3f} to {nodes[-1]:.3f} um" if len(nodes) > 1 else f"{nodes[0]:.3f} um"
    words = [f"{key['source']} {key['instrument']}"]
    words += [str(key[name]) for name in ("detector", "filter") if key.get(name)]
    if key.get("position"):
        words.append("at column {}, row {}".format(*key["position"]))
    if key.get("opd"):
        words.append(f"wavefront {key['opd']}")
    if "tolerance" in key:
        words.append(f"number of wavelengths for {span} to {key['tolerance']:g}")
    else:
        words.append(f"{len(nodes)} wavelengths, {span}, field {key['field']:g} arcsec")
    used = dict(key["versions"])
    if "data" in key:
        used["data"] = key["data"]["version"]
    return ", ".join([*words, " ".join(f"{name} {value}" for name, value in used.items())])


def fault_of(entry):
    """
    Say why a run of today would not use an entry.

    Parameters
    ----------
    entry : jwst_fusion.psf.cache.Entry
        Entry of the cache.

    Returns
    -------
    str
        The reason; empty if the entry is sound and its versions are those installed. Whether the
        data files of STPSF have the same version is checked if they are found.
    """
    if entry.key is None:
        return entry.fault
    stored, here = entry.key["versions"], versions(entry.key["source"])
    changes = [
        f"{name} {stored.get(name)}, now {value}"
        for name, value in here.items()
        if stored.get(name) != value
    ]
    if entry.key["source"] == "webbpsf":
        try:
            now = webbpsf.data_version()
        except FileNotFoundError:
            return "data files of STPSF not found"
        if entry.key["data"]["version"] != now:
            changes.append(f"data {entry.key['data']['version']}, now {now}")
    return f"other versions ({', '.join(changes)})" if changes else ""


def serves(key, *, filter_name=None, source=None, instrument=None):
    """
    Whether an entry is of a source or instrument, or can be used for a filter.

    Parameters
    ----------
    key : dict or None
        Key of the entry; one that is unknown passes only if nothing is asked for.
    filter_name : str, optional
        NIRCam filter. Optics are the same for all filters of a channel but two, so an entry serves
        a filter if it is of the right channel, reaches into the band and is for no other filter.
    source, instrument : str, optional
        "webbpsf" or "aperture"; "nircam", "nirspec", "miri" or "miri_mrs".

    Returns
    -------
    bool
        Whether it fulfils all that is given.

    Raises
    ------
    ValueError
        If there is no such filter.
    """
    band = None
    if filter_name is not None:
        from jwst_fusion.bandpass import nominal_bandpass

        band = nominal_bandpass(filter_name)
    if key is None:
        return band is None and source is None and instrument is None
    if source is not None and key["source"] != source:
        return False
    if instrument is not None and not key["instrument"].lower().startswith(instrument):
        return False
    if band is None:
        return True
    nodes = key["wavelength"]
    return (
        key["instrument"].startswith("NIRCAM")
        and key.get("filter") in (None, band.name)
        and nodes[0] <= band.wavelength[-1]
        and nodes[-1] >= band.wavelength[0]
    )
