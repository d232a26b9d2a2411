"""Find in folders which spectra and which images can be fused, and say why others cannot."""

import logging
import re
import warnings
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from jwst_fusion.associations.coverage import judge_filter
from jwst_fusion.associations.inventory import take_inventory
from jwst_fusion.associations.members import make_association, write_association

__all__ = ["Findings", "Match", "find_associations", "write_findings"]

log = logging.getLogger(f"stpipe.{__name__}")

# The imager whose images are fused with the cubes of a spectrograph.
_IMAGER = {"NIRSPEC": "NIRCAM", "MIRI": "MIRI"}
# Less of the field than this is worth a note.
_LITTLE = 0.95


@dataclass
class Match:
    """
    Spectra and images that can be fused.

    Attributes
    ----------
    name : str
        Name of the product.
    kind : {"cube", "exposure"}
        What the spectra are.
    science, images : list of `~jwst_fusion.associations.inventory.Product`
        The members.
    notes : list of str
        What to mind.
    """

    name: str
    kind: str
    science: list
    images: list = field(default_factory=list)
    notes: list = field(default_factory=list)


@dataclass(frozen=True)
class Findings:
    """
    What was found.

    Attributes
    ----------
    matches : list of Match
        Each becomes an association.
    left_out : dict of `~pathlib.Path` to str
        Every other file with the reason.
    """

    matches: list
    left_out: dict


def find_associations(folders, *, minimum=0.98):
    """
    Pair spectra with images that overlap on the sky and in wavelength.

    Only headers are read. Cubes of one disperser or band make one association each; exposures of
    one instrument, program and target whose fields touch make one together. Files of a moving
    target are paired by its name: where they are on the sky says nothing.

    Parameters
    ----------
    folders : str, path or sequence of them
        Folders, searched with all subfolders, or single files.
    minimum : float
        Share of a filter that the wavelengths of the spectra must cover, 0 to 1. The filters of
        Marquis et al. (2026, Table 3) are taken in any case, with a note.

    Returns
    -------
    Findings
        The associations and the files left out.

    Raises
    ------
    FileNotFoundError
        If a folder does not exist.
    ValueError
        If `minimum` is not between 0 and 1.
    """
    if not 0 <= minimum <= 1:
        msg = f"minimum is {minimum}: it must lie between 0 and 1"
        raise ValueError(msg)
    folders = [folders] if isinstance(folders, (str, Path)) else list(folders)
    products, left_out = take_inventory(folders)
    images = [one for one in products if one.kind == "image"]
    matches, reasons, used = [], defaultdict(dict), set()
    for match in _spectra(products):
        for image in images:
            rank, reason, note = _judge(match, image, minimum)
            if reason:
                # The reason that came closest to a match is the one to tell.
                reasons[image.path].setdefault(rank, reason)
                continue
            match.images.append(image)
            if note and note not in match.notes:
                match.notes.append(note)
        _prefer_mosaics(match, reasons)
        used |= {image.path for image in match.images}
        if match.images:
            matches.append(match)
        else:
            why = "no image of the same field and wavelengths"
            left_out |= {one.path: why for one in match.science}
    for image in images:
        if image.path not in used:
            found = reasons[image.path]
            left_out[image.path] = found[max(found)] if found else "no cube and no exposure is here"
    _name_apart(matches)
    return Findings(matches, dict(sorted(left_out.items())))


def write_findings(findings, folder):
    """
    Write one association for each match.

    Parameters
    ----------
    findings : Findings
        What was found.
    folder : str or path
        Where to write; made if absent.

    Returns
    -------
    list of `~pathlib.Path`
        The files: ``<product>_fusion_asn.json``. Members are named relative to the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for match in findings.matches:
        with warnings.catch_warnings():
            # Members that lie in other folders are meant.
            warnings.filterwarnings("ignore", "Input association file contains path information")
            association = make_association(
                [one.path for one in match.science],
                [one.path for one in match.images],
                product_name=match.name,
                folder=folder,
            )
            association["program"] = match.science[0].program or "noprogram"
            association["target"] = match.science[0].target or "none"
            path = folder / f"{match.name}_fusion_asn.json"
            written.append(write_association(association, path))
    return written


def _spectra(products):
    """Group cubes and exposures: each group makes one association."""
    matches = []
    for one in products:
        if one.kind == "cube":
            name = re.sub(r"_s3d\.fits(\.gz)?$", "", one.path.name)
            matches.append(Match(name, "cube", [one]))
    groups = defaultdict(list)
    for one in products:
        if one.kind == "exposure":
            program = "" if one.moving else one.program
            groups[one.instrument, program, one.target, one.moving].append(one)
    for (instrument, _, target, moving), members in sorted(groups.items()):
        for field_members in [members] if moving else _touching(members):
            first = field_members[0]
            words = [
                f"jw{first.program or '00000'}-o{first.observation or '001'}",
                target,
                instrument,
            ]
            matches.append(Match("_".join(map(_slug, words)), "exposure", field_members))
    return matches


def _touching(members):
    """Split exposures into fields: those of one field are connected by footprints that touch."""
    fields = []
    for one in members:
        joined = [one]
        apart = []
        for other in fields:
            touches = any(
                one.footprint.share_within(each.footprint) > 0
                or each.footprint.share_within(one.footprint) > 0
                for each in other
            )
            if touches:
                joined = other + joined
            else:
                apart.append(other)
        fields = [*apart, joined]
    return fields


def _judge(match, image, minimum):
    """Return how close an image comes to a match, why it is none, and what to mind if it is."""
    first = match.science[0]
    if image.instrument != _IMAGER[first.instrument]:
        return 0, f"no {'NIRSpec' if image.instrument == 'NIRCAM' else 'MRS'} data are here", ""
    if image.moving != first.moving:
        return 1, "a moving and a fixed target are not fused", ""
    note = ""
    if first.moving:
        if not first.target or image.target != first.target:
            return 2, f"moving target {image.target or 'without name'}, not {first.target}", ""
    else:
        shares = [one.footprint.share_within(image.footprint) for one in match.science]
        if max(shares) == 0:
            away = min(one.footprint.separation(image.footprint) for one in match.science)
            return 2 - away / 360, f"does not overlap {match.name}: {_angle(away)} away", ""
        share = sum(shares) / len(shares)
        if share < _LITTLE:
            note = f"{image.path.name} covers {100 * share:.0f} % of the field"
    ranges = sorted({span for one in match.science for span in one.ranges})
    gratings = {pair for one in match.science for pair in one.gratings}
    usable, text = judge_filter(
        image.filter, image.instrument, ranges, gratings=gratings, minimum=minimum
    )
    if not usable:
        return 3, f"{match.name}: {text}", ""
    return 4, "", "; ".join(part for part in (note, text) if part)


def _prefer_mosaics(match, reasons):
    """Drop images of single exposures where a mosaic of the same filter is there."""
    whole = {image.filter for image in match.images if not image.single}
    for image in list(match.images):
        if image.single and image.filter in whole:
            match.images.remove(image)
            reasons[image.path][5] = f"image of one exposure: the mosaic in {image.filter} is used"


def _name_apart(matches):
    seen = defaultdict(int)
    for match in matches:
        seen[match.name] += 1
        if seen[match.name] > 1:
            match.name = f"{match.name}-{seen[match.name]}"


def _slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "unknown"


def _angle(degrees):
    for size, unit in ((1.0, "deg"), (1 / 60, "arcmin")):
        if degrees >= size:
            return f"{degrees / size:.1f} {unit}"
    return f"{3600 * degrees:.1f} arcsec"
