"""Damage to files as strategies of hypothesis, and what a step may do with a damaged file."""

import gzip
import json
import math
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from hypothesis import strategies as st

_VALUES = st.one_of(
    st.sampled_from(
        [None, "", "x", "1", "-1", "NaN", True, False, 0, 1, -1, 2**31, 2**62, 0.0, -0.0, 1e-300]
    ),
    st.sampled_from([1e30, 1e300, 0.5, -3.7, 95.0, "../../x", "<script>", "RA---TAN", "G395H"]),
    st.sampled_from(["DEC--TAN", "RA---XYZ", "WAVE-TAB", "FREQ", "m", "keV", "MIRI", "NIRSPEC"]),
    st.sampled_from(["IFUCubeModel", "ImageModel", "IFUImageModel", "MultiSlitModel", "F2100W"]),
    st.integers(-(2**40), 2**40),
    st.floats(-1e6, 1e6),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)
_KEYS = (
    "CTYPE1 CTYPE2 CTYPE3 CRVAL1 CRVAL2 CRVAL3 CRPIX1 CRPIX2 CRPIX3 CDELT1 CDELT2 CDELT3 CUNIT1 "
    "CUNIT2 CUNIT3 PC1_1 PC1_2 PC2_1 PC2_2 PC3_3 CD1_1 CD1_2 CD2_2 CD3_3 BUNIT DATAMODL INSTRUME "
    "GRATING FILTER PUPIL DETECTOR CHANNEL BAND EXP_TYPE ROLL_REF PA_V3 PIXAR_SR PIXAR_A2 DATE-OBS "
    "TIME-OBS TARGTYPE MT_AVRA S_CUBE S_RESAMP PIXFRAC WCSAXES EXTNAME PIXELSCL TLMIN4 DETCHANS "
    "EXPOSURE EXPTIME TUNIT1 TFORM1 TTYPE1 NAXIS NAXIS1 NAXIS2 NAXIS3 BITPIX BZERO BSCALE PCOUNT "
    "GCOUNT EXTVER RADESYS XTENSION TARGNAME PROPOSID FILENAME"
).split()
_NUMBERS = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-30, 1e30, 3.7, 1e6])


def changes(case):
    """Strategy of one change to one file of a case: its number, kind and numbers that say where."""
    return st.tuples(
        st.integers(0, len(case.files) - 1),
        st.sampled_from(("cut", "bytes", "key", "key", "key", "array", "array", "extension", "gz")),
        st.integers(0, 2**31),
        st.integers(0, 2**31),
        _VALUES,
        _NUMBERS,
    )


def apply(path, change):
    """Change a file; its bytes if it is not FITS."""
    _, kind, first, second, value, number = change
    path = Path(path)
    if path.suffix == ".json":
        _change_json(path, first, second, value)
        return
    content = path.read_bytes()
    if kind == "cut":
        path.write_bytes(content[: first % len(content)])
    elif kind == "bytes":
        damaged = bytearray(content)
        for step in range(1 + second % 8):
            damaged[(first + 7919 * step * second) % len(damaged)] = (second >> step) % 256
        path.write_bytes(bytes(damaged))
    elif kind == "gz":
        packed = gzip.compress(content, 1)
        path.write_bytes(packed[: len(packed) - first % 100])
    elif kind == "key" and first % 2:
        path.write_bytes(_card(content, first, second, value))
    else:
        try:
            with warnings.catch_warnings(), fits.open(path, memmap=False) as hdus:
                warnings.simplefilter("ignore")
                _change_hdus(hdus, kind, first, second, value, number)
                hdus.writeto(path, overwrite=True, output_verify="ignore")
        except Exception:  # astropy does not write everything; a file that is cut is damaged, too
            path.write_bytes(content[: first % len(content)])


def _card(content, first, second, value):
    """Replace the value of a card in the bytes of a file, well-formed or not."""
    places = [at for at in range(0, len(content), 80) if content[at + 8 : at + 10] == b"= "]
    at = places[second % len(places)]
    text = {True: "T", False: "F", None: ""}.get(value) if isinstance(value, bool) else None
    if text is None:
        text = f"'{value}'" if isinstance(value, str) else "" if value is None else f"{value}"
    field = text.encode("ascii", "replace").rjust(20)[:70].ljust(70)
    return content[: at + 10] + field + content[at + 80 :]


def _change_hdus(hdus, kind, first, second, value, number):
    rng = np.random.default_rng(second)
    hdu = hdus[first % len(hdus)]
    if kind == "key":
        there = [key for key in hdu.header if key and key not in ("COMMENT", "HISTORY")]
        keys = there if second % 3 else _KEYS
        key = keys[second % len(keys)]
        if value is None and second % 2:
            hdu.header.remove(key, ignore_missing=True)
        elif key not in ("SIMPLE", "XTENSION", "EXTEND"):
            hdu.header[key] = value
    elif kind == "extension":
        if second % 3 == 0 and len(hdus) > 1:
            del hdus[1 + first % (len(hdus) - 1)]
        elif second % 3 == 1:
            hdus.append(hdu.copy() if first else fits.ImageHDU(np.ones((2, 2)), name="SCI"))
        else:
            hdu.name = ("SCI", "ERR", "DQ", "ASDF", "EBOUNDS", "X")[second % 6]
    elif kind == "array" and hdu.data is not None and hdu.is_image:
        data = np.array(hdu.data)
        choice = second % 6
        if choice == 0:
            data = data[..., : max(1, first % data.shape[-1])]
        elif choice == 1:
            data = data.reshape(-1)[: first % data.size + 1]
        elif choice == 2 and data.dtype.kind == "f":
            data[rng.random(data.shape) < 0.5] = number
        elif choice == 3 and data.dtype.kind == "f":
            data[...] = number
        elif choice == 4:
            data = np.zeros_like(data)
        elif data.dtype.kind == "f":
            data.reshape(-1)[first % data.size] = number
        hdu.data = data
    elif kind == "array" and hdu.data is not None:
        name = hdu.columns.names[first % len(hdu.columns.names)]
        column = hdu.data[name]
        if column.dtype.kind == "f" and column.size:
            column.reshape(-1)[second % column.size] = number


def _change_json(path, first, second, value):
    text = path.read_text()
    if second % 4 == 0:
        path.write_text(text[: first % len(text)])
        return
    table = json.loads(text)
    product = table["products"][0]
    member = product["members"][first % len(product["members"])]
    places = ((member, "expname"), (member, "exptype"), (product, "name"), (table, "asn_id"))
    places += ((table, "products"), (product, "members"), (table, "asn_type"))
    owner, key = places[second % len(places)]
    if value is None and first % 2:
        del owner[key]
    else:
        owner[key] = value
    if second % 11 == 0 and isinstance(product.get("members"), list):
        product["members"].append(dict(member))
    path.write_text(json.dumps(table))


def judge(case, folder, output, *, names):
    """
    Run a step on damaged files; an error if it does what it must not.

    Returns what happened: "COMPLETE", "SKIPPED", "FAILED" or "refused".
    """
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    outside, error = set(folder.parent.iterdir()), None
    try:
        product, alias = case.run(folder, output)
    except (ValueError, TypeError, FileNotFoundError) as raised:
        error = raised
    if error is not None:
        text = str(error)
        assert "\n" not in text.strip(), f"more than one line: {text}"
        raised = error.__traceback__
        while raised.tb_next is not None:
            raised = raised.tb_next
        place = raised.tb_frame.f_code.co_filename
        assert "/jwst_fusion/" in place, f"raised by {place}: {type(error).__name__}: {text}"
        stems = {Path(name).stem for name in names} | {Path(name).name for name in names}
        known = any(one in text for one in stems) or "the input" in text or "PSF" in text
        assert known, f"names no file: {text}"
        outcome = "refused"
    else:
        found = product if isinstance(product, list) else [product]
        found = list(found) if not hasattr(product, "meta") else [product]
        outcome = ", ".join(sorted({str(getattr(m.meta.cal_step, alias)) for m in found}))
        for model in found:
            if getattr(model.meta.cal_step, alias) == "COMPLETE":
                _check_product(model)
            if hasattr(model, "close"):
                model.close()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before, "input changed"
    assert set(folder.parent.iterdir()) == outside, "something was written beside the folders"
    left = [path.name for path in output.iterdir() if path.name.startswith(".")]
    assert not left, f"left behind: {left}"
    return outcome


def _check_product(model):
    """Finite, sane values where the product says that they may be used."""
    data = np.asarray(model.data)
    dq = np.asarray(model.dq) if model.dq is not None else np.zeros(data.shape, int)
    good = (dq.astype(np.uint32) & 1) == 0
    assert good.any(), "COMPLETE without a usable value"
    values = data[good] if good.shape == data.shape else data
    assert np.isfinite(values).any(), "COMPLETE without a finite value"
    largest = float(np.nanmax(np.abs(values[np.isfinite(values)])))
    assert math.isfinite(largest), "values beyond all numbers"
    assert largest < 1e25, f"values of {largest:.3g}"
