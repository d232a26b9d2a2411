"""Find in folders which spectra and which images can be fused, and say why others cannot."""

import logging
import re
import warnings
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jwst_fusion.associations.coverage import judge_filter
from jwst_fusion.associations.hifred import make_hifred_association
from jwst_fusion.associations.hifred_finder import find_count_cubes
from jwst_fusion.associations.inventory import NOT_JWST, take_inventory
from jwst_fusion.associations.members import make_association, write_association
from jwst_fusion.bandpass import MIN_COVERAGE

__all__ = ["Findings", "Match", "find_associations", "write_findings"]

log = logging.getLogger(__name__)

# The imager whose images are fused with the cubes of a spectrograph.
_IMAGER = {"NIRSPEC": "NIRCAM", "MIRI": "MIRI"}
# A smaller part of the field than this deserves a note.
_LITTLE = 0.95


@dataclass
class Match:
    """
    Spectra and images that can be fused.

    Attributes
    ----------
    name : str
        Name of the product.
    kind : {"cube", "exposure", "counts"}
        What the spectra are; "counts" are X-ray cubes for HIFReD.
    science, images : list of `~jwst_fusion.associations.inventory.Product`
        The members; of counts, `~jwst_fusion.associations.hifred_finder.CountFile` and no images.
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


def find_associations(folders, *, minimum=MIN_COVERAGE, counts=True):
    """
    Pair spectra with images that overlap on the sky and in wavelength.

    Only headers are read. Cubes of one disperser or band make one association each; exposures of
    one instrument, program and target whose fields touch make one together. Files of a moving
    target are paired by its name: where they are on the sky says nothing. Cubes of X-ray counts of
    one field make one association together.

    Parameters
    ----------
    folders : str, path or sequence of them
        Folders, searched with all subfolders, or single files.
    minimum : float
        Share of a filter that the wavelengths of the spectra must cover, 0 to 1. The filters of
        Marquis et al. (2026, Table 3) are taken in any case, with a note.
    counts : bool
        Whether cubes of X-ray counts are associated, too.

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
    search = _Search([one for one in products if one.kind == "image"])
    matches = []
    for match in _spectra(products):
        for image in search.candidates(match):
            usable, text = _judge(match, image, minimum)
            if not usable:
                search.refused[image.path] = f"{match.name}: {text}"
                continue
            match.images.append(image)
            if text and text not in match.notes:
                match.notes.append(text)
        _prefer_mosaics(match, search.refused)
        if match.images:
            matches.append(match)
        else:
            why = "no image of the same field and wavelengths"
            left_out |= {one.path: why for one in match.science}
    left_out |= search.left_out({image.path for match in matches for image in match.images})
    if counts:
        others = [path for path, reason in left_out.items() if reason == NOT_JWST]
        groups, reasons = find_count_cubes(others)
        left_out |= reasons
        for name, members in groups:
            matches.append(Match(name, "counts", members))
            for one in members:
                del left_out[one.path]
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
        The files: ``<product>_fusion_asn.json``, of counts ``<product>_hifred_asn.json``. Members
        are named relative to the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for match in findings.matches:
        with warnings.catch_warnings():
            # Members that lie in other folders are meant.
            warnings.filterwarnings("ignore", "Input association file contains path information")
            if match.kind == "counts":
                association = make_hifred_association(
                    [one.path for one in match.science],
                    own=[one.files for one in match.science],
                    product_name=match.name,
                    folder=folder,
                )
                path = folder / f"{match.name}_hifred_asn.json"
                written.append(write_association(association, path))
                continue
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


class _Search:
    """Images by their place on the sky, and why each was not used."""

    def __init__(self, images):
        self._images = images
        self._centres = np.array([one.footprint.centre for one in images]).reshape(-1, 3)
        self._radii = np.array([one.footprint.radius for one in images])
        self._nearest = [(np.inf, "")] * len(images)
        self.refused = {}

    def candidates(self, match):
        """Images of the right kind that may overlap with a match."""
        first = match.science[0]
        right = [
            one.instrument == _IMAGER[first.instrument] and one.moving == first.moving
            for one in self._images
        ]
        if first.moving:
            name = first.target
            return [
                one
                for one, fits in zip(self._images, right, strict=True)
                if fits and name and one.target == name
            ]
        away = np.full(len(self._images), np.inf)
        near = np.zeros(len(self._images), bool)
        for one in match.science:
            chord = np.linalg.norm(self._centres - one.footprint.centre, axis=1)
            angle = 2 * np.arcsin(np.clip(chord / 2, 0, 1))
            near |= angle <= self._radii + one.footprint.radius
            away = np.minimum(away, angle)
        found = []
        for index, one in enumerate(self._images):
            if right[index]:
                if near[index]:
                    found.append(one)
                self._nearest[index] = min(self._nearest[index], (away[index], match.name))
        return found

    def left_out(self, used):
        """Return why each image is not used that is not among those used."""
        reasons = {}
        for image, (angle, name) in zip(self._images, self._nearest, strict=True):
            if image.path in used:
                continue
            if image.path in self.refused:
                reason = self.refused[image.path]
            elif image.moving:
                reason = (
                    f"moving target {image.target or 'without name'}: no spectra of it are here"
                )
            elif name:
                text = _angle(float(np.degrees(angle)))
                reason = f"does not overlap any spectra; the nearest are {name}, {text} away"
            else:
                kind = "NIRSpec" if image.instrument == "NIRCAM" else "MRS"
                reason = f"no {kind} data of a fixed target are here"
            reasons[image.path] = reason
        return reasons


def _judge(match, image, minimum):
    """Say whether an image that may overlap fits a match, and why not or what to mind."""
    note = ""
    if not image.moving:
        shares = [one.footprint.share_within(image.footprint) for one in match.science]
        if max(shares) == 0:
            return False, "does not overlap on the sky"
        share = sum(shares) / len(shares)
        if share < _LITTLE:
            note = f"{image.path.name} covers {100 * share:.0f} % of the field"
    ranges = tuple(sorted({span for one in match.science for span in one.ranges}))
    gratings = tuple(sorted({pair for one in match.science for pair in one.gratings}))
    usable, text = judge_filter(
        image.filter, image.instrument, ranges, gratings=gratings, minimum=minimum
    )
    return usable, "; ".join(part for part in (note, text) if part) if usable else text


def _prefer_mosaics(match, refused):
    """Drop images of single exposures where a mosaic of the same filter is there."""
    whole = {image.filter for image in match.images if not image.single}
    for image in list(match.images):
        if image.single and image.filter in whole:
            match.images.remove(image)
            refused[image.path] = f"image of one exposure: the mosaic in {image.filter} is used"


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
