"""Exposures in the fusion pipeline: opened, flagged together, their oversampling found."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
from jwst.datamodels import ModelContainer
from jwst.master_background.master_background_step import split_container
from jwst.stpipe import query_step_status

from jwst_fusion.associations import collect_members
from jwst_fusion.associations.headers import read_headers
from jwst_fusion.input_files import one_line
from jwst_fusion.messages import warn
from jwst_fusion.products.open import check_fits, open_model

__all__ = [
    "check_exposures",
    "check_names",
    "check_readable",
    "keywords_of_first",
    "needs_preparation",
    "oversampling",
    "prepare_together",
    "read_all",
    "sort_members",
]

log = logging.getLogger(__name__)

# Number of pixels along the slices: axis of the detector image and length.
_NATIVE = {"NIRSPEC": (0, 2048), "MIRI": (1, 1032)}
_IFU = ("NRS_IFU", "MIR_MRS")


def sort_members(init):
    """
    Sort the input of the pipeline, and check that its files are whole before anything is computed.

    Parameters
    ----------
    init : str, path, dict, list, datamodel, ModelContainer or ModelLibrary
        See `jwst_fusion.associations.collect_members`.

    Returns
    -------
    members : FusionMembers
        All of them.
    exposures, cubes : list of str or datamodel
        The two kinds of science members.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If the input is not valid, or a file is missing, truncated or not FITS.
    """
    members = collect_members(init)
    for member in (*members.exposures, *members.cubes, *members.images):
        if isinstance(member, str):
            check_readable(member)
    return members, list(members.exposures), list(members.cubes)


def keywords_of_first(init):
    """
    Return what CRDS needs to know of the first member of the science.

    Parameters
    ----------
    init : str, path, dict, list, datamodel, ModelContainer or ModelLibrary
        See `sort_members`, which says what is wrong with it.

    Returns
    -------
    keywords : dict
        Its metadata.
    observatory : str
        Name of the observatory.

    Raises
    ------
    ValueError
        If there is none, or a file cannot be read.
    """
    _, exposures, cubes = sort_members(init)
    if not exposures and not cubes:
        msg = "the input has no exposure or cube (science): nothing can be fused"
        raise ValueError(msg)
    first = [*exposures, *cubes][0]
    model = open_model(first)
    try:
        return model.get_crds_parameters(), model.crds_observatory
    finally:
        if model is not first:
            model.close()


def check_readable(member):
    """
    Check that a file is whole, before anything is computed.

    Parameters
    ----------
    member : str
        The file.

    Raises
    ------
    ValueError
        If it is missing, truncated or not FITS; the message names it.
    """
    try:
        check_fits(Path(member))
    except OSError as error:
        msg = f"{member} cannot be read as a JWST product: {one_line(error)}"
        raise ValueError(msg) from error


def read_all(members, *, exptype="science"):
    """
    Open exposures, or spectra of the background.

    Parameters
    ----------
    members : sequence of str or datamodel
        Files or open models; models are copied.
    exptype : str
        The role that they get.

    Returns
    -------
    list of datamodel
        Models that may be changed.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing or cannot be read.
    """
    models = []
    for member in members:
        model = open_model(member) if isinstance(member, str) else member.copy()
        model.meta.asn.exptype = exptype
        models.append(model)
    return models


def check_exposures(members):
    """
    Refuse exposures of other modes than integral field units.

    Parameters
    ----------
    members : sequence of str or datamodel
        The exposures.

    Raises
    ------
    ValueError
        If one is of another type; the message names it.
    """
    for member in members:
        kind = _keyword(member, "EXP_TYPE", "exposure.type")
        if kind not in _IFU:
            name = member if isinstance(member, str) else member.meta.filename
            msg = (
                f"{name} is an exposure of type {kind}: a fusion needs those of an integral field "
                "unit (NRS_IFU or MIR_MRS)"
            )
            raise ValueError(msg)


def check_names(members):
    """
    Refuse members of the same name, whose products would be the same file.

    Parameters
    ----------
    members : sequence of str or datamodel
        Exposures or cubes.

    Raises
    ------
    ValueError
        If two have the same name; the message names it.
    """
    names = Counter(
        Path(member).name if isinstance(member, str) else member.meta.filename or "exposure"
        for member in members
    )
    for name, count in names.items():
        if count > 1:
            msg = f"{count} members have the name {name}, and one name each is needed: rename them"
            raise ValueError(msg)


def needs_preparation(members, *, backgrounds, outliers):
    """
    Say what exposures need before each is processed on its own.

    Parameters
    ----------
    members : sequence of str or datamodel
        All exposures; of files only the headers are read.
    backgrounds : bool
        Whether there are spectra of the background.
    outliers : bool
        Whether outliers are to be detected where that is possible.

    Returns
    -------
    list of str
        Names of steps: "assign_mtwcs" for a moving target, "master_background", and
        "outlier_detection" if several exposures exist and it has not been done.
    """
    steps = []
    moving = str(_keyword(members[0], "TARGTYPE", "target.type") or "").upper() == "MOVING"
    if moving:
        steps.append("assign_mtwcs")
    if backgrounds:
        steps.append("master_background")
    done = [_keyword(one, "S_OUTLIR", "cal_step.outlier_detection") for one in members]
    if outliers and all(status == "COMPLETE" for status in done):
        log.info("Outliers are flagged already in all exposures")
    elif outliers and len(members) < 2:
        log.info("Outlier detection needs two or more exposures and is left out")
    elif outliers:
        steps.append("outlier_detection")
    return steps


def prepare_together(models, backgrounds, steps):
    """
    Run what needs all exposures at once, in the order of calwebb_spec3.

    Parameters
    ----------
    models, backgrounds : list of datamodel
        Exposures, changed in place, and spectra of the background.
    steps : dict of str to `~stpipe.Step`
        The steps that are to run, see `needs_preparation`.

    Returns
    -------
    list of `~stdatamodels.jwst.datamodels.IFUImageModel`
        The exposures.
    """
    container = ModelContainer([*models, *backgrounds])
    if "assign_mtwcs" in steps:
        # changes the models in place
        steps["assign_mtwcs"].run(ModelContainer(list(models)))
    if "master_background" in steps:
        result = steps["master_background"].run(container)
        if query_step_status(result, "master_background") in ("SKIPPED", "FAILED"):
            result, _ = split_container(container)
        container = result
    if "outlier_detection" in steps:
        container = steps["outlier_detection"].run(container)
    return list(container)


def oversampling(members):
    """
    Return by how much exposures were oversampled along the slices.

    Parameters
    ----------
    members : sequence of str or datamodel
        The exposures; of files only the headers are read.

    Returns
    -------
    float
        The factor, 1 for native pixels; the median if they differ.
    """
    factors = []
    for member in members:
        axis, native = _NATIVE[_keyword(member, "INSTRUME", "instrument.name").upper()]
        if isinstance(member, str):
            size = read_headers(member)[1][f"NAXIS{2 - axis}"]
        else:
            size = member.data.shape[axis]
        factors.append(size / native)
    if np.ptp(factors) > 0.01:
        warn(
            log,
            "Exposures were oversampled by %.2f to %.2f: the PSF of the cube is that of the median",
            min(factors),
            max(factors),
        )
    return float(np.median(factors))


def _keyword(member, keyword, attribute):
    """Look up metadata in the header of a file or in a model."""
    if isinstance(member, str):
        return read_headers(member)[0].get(keyword)
    value = member.meta
    for name in attribute.split("."):
        value = getattr(value, name)
    return value
