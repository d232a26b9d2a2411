"""
The association rule ``Asn_Fusion``: cubes or exposures (science) with images (direct_image).

Give this file to jwst's tools: ``asn_from_list --ruledefs rule.py --rule Asn_Fusion ...``.
"""

import re
from pathlib import Path

from jwst.associations.exceptions import AssociationNotValidError
from jwst.associations.lib.constraint import Constraint
from jwst.associations.lib.dms_base import DMSAttrConstraint
from jwst.associations.lib.rules_level3_base import DMS_Level3_Base, Utility
from jwst.associations.registry import RegistryMarker

# The generator takes what numbers and names associations from the file of the rule.
__all__ = ["EXPTYPE_OF_SUFFIX", "Asn_Fusion", "Utility", "exptype_of_file"]

#: Role of a product in the association, by the suffix of its file name.
EXPTYPE_OF_SUFFIX = {
    "s3d": "science",
    "i2d": "direct_image",
    # exposures, from which a pipeline builds the cube
    "cal": "science",
    "crf": "science",
    "mbsub": "science",
    "adaptive_trace_model": "science",
    "pixel_replace": "science",
}
_IMAGES = ("nrc_image", "mir_image")
_TYPES = "|".join(("nrs_ifu", "mir_mrs", *_IMAGES))
_SUFFIX = re.compile(rf"[_-]({'|'.join(EXPTYPE_OF_SUFFIX)})(\.[A-Za-z.]+)?$")


def exptype_of_file(path):
    """
    Return the role of a file in a fusion association.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        File name of a cube (``*_s3d.fits``), an exposure (as ``*_cal.fits``) or an image
        (``*_i2d.fits``).

    Returns
    -------
    {"science", "direct_image"}
        The exposure type.

    Raises
    ------
    ValueError
        If the name has another suffix.
    """
    found = _SUFFIX.search(Path(path).name)
    if not found:
        msg = (
            f"{path} is neither named as a cube (*_s3d.fits) or exposure (*_cal.fits) nor as an "
            "image (*_i2d.fits): rename it or say which it is"
        )
        raise ValueError(msg)
    return EXPTYPE_OF_SUFFIX[found.group(1)]


@RegistryMarker.rule
class Asn_Fusion(DMS_Level3_Base):
    """
    One or more cubes of one grating with images of the same field.

    From a list of files it makes one association of all. From a pool of exposures it makes one for
    each program and target, with the exposures of integral field units (``cal``) and images of the
    imagers (``i2d`` of each exposure); the overlap on the sky and in wavelength is not looked at.

    Parameters
    ----------
    *args, **kwargs : object
        Arguments of `~jwst.associations.lib.rules_level3_base.DMS_Level3_Base`.
    """

    def __init__(self, *args, **kwargs):
        self.constraints = Constraint(
            [
                DMSAttrConstraint(name="program", sources=["program"]),
                DMSAttrConstraint(name="target", sources=["targetid"]),
                DMSAttrConstraint(
                    name="exp_type", sources=["exp_type"], value=_TYPES, force_unique=False
                ),
            ]
        )
        super().__init__(*args, **kwargs)
        self.validity["has_image"] = {
            "validated": False,
            "check": lambda member: member["exptype"] == "direct_image",
        }
        self.data["asn_type"] = "fusion"
        self.data["asn_rule"] = "Asn_Fusion"
        self.data.setdefault("program", "noprogram")

    @property
    def dms_product_name(self):
        """Name of the product: cubes of several dispersers get theirs added."""
        return f"jw{self.data['program']}-{self.acid.id}_{self.get_target()}".lower()

    def get_exposure_type(self, item, *args, **kwargs):
        """
        Return the role of an exposure of a pool.

        Parameters
        ----------
        item : dict
            Row of the pool, with ``exp_type``.
        *args, **kwargs : object
            Not used: the default for types without a role.

        Returns
        -------
        {"direct_image", "science"}
            The first for exposures of an imager, the second for all others.
        """
        kind = str(item["exp_type"]).lower()
        return "direct_image" if kind in _IMAGES else "science"

    def make_member(self, item):
        """
        Make the member of an exposure of a pool, by the name of its product.

        Parameters
        ----------
        item : dict
            Row of the pool, with ``exp_type`` and ``filename``.

        Returns
        -------
        `~jwst.associations.lib.member.Member`
            The member; that of an image is named after its ``i2d`` file.
        """
        member = super().make_member(item)
        if member["exptype"] == "direct_image":
            member["expname"] = re.sub(r"_[a-z0-9]+(?=\.fits$)", "_i2d", item["filename"])
        return member

    def is_item_tso(self, *args, **kwargs):
        """
        Say that no exposure is one of a time series: those are of other types.

        Parameters
        ----------
        *args, **kwargs : object
            Row of the pool and types that count as time series; not used.

        Returns
        -------
        bool
            False.
        """
        return False

    def _add_items(self, items, product_name=None, with_exptype=False, **kwargs):
        items = [item if with_exptype else (str(item), exptype_of_file(item)) for item in items]
        roles = [exptype for _, exptype in items]
        for exptype, kind in (
            ("science", "cube or exposure"),
            ("direct_image", "image (i2d)"),
        ):
            if exptype not in roles:
                msg = f"a fusion association needs at least one {kind} as {exptype}"
                raise AssociationNotValidError(msg)
        super()._add_items(items, product_name=product_name, with_exptype=True, **kwargs)
        if kwargs.get("acid"):
            self.data["asn_id"] = kwargs["acid"]
