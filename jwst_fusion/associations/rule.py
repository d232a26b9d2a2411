"""
The association rule ``Asn_Fusion``: cubes or exposures (science) with images (direct_image).

Give this file to jwst's tools: ``asn_from_list --ruledefs rule.py --rule Asn_Fusion ...``.
"""

import re
from pathlib import Path

from jwst.associations.exceptions import AssociationNotValidError
from jwst.associations.lib.rules_level3_base import DMS_Level3_Base
from jwst.associations.registry import RegistryMarker

__all__ = ["EXPTYPE_OF_SUFFIX", "Asn_Fusion", "exptype_of_file"]

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

    Members are products of level 3, so that the rule builds associations from lists of files.
    It matches nothing in a pool of exposures.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.data["asn_type"] = "fusion"
        self.data["asn_rule"] = "Asn_Fusion"
        self.data.setdefault("program", "noprogram")

    def match(self, item, *args, **kwargs):
        """Match no exposure of a pool."""
        return False, []

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
