"""Exposures in the step ``fusion``: read, checked, grouped by grating, fused, with products."""

import logging
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from jwst.datamodels import ModelContainer
from stdatamodels.jwst import datamodels

from jwst_fusion.associations.headers import read_headers
from jwst_fusion.associations.members import stem
from jwst_fusion.datamodels import allow_fusion_status
from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.exposure_options import check_exposure_options
from jwst_fusion.fusion.exposure_run import fuse_observed_exposures, observed_field
from jwst_fusion.fusion.observed.alignment import filter_offsets
from jwst_fusion.fusion.observed.repeats import without_repeats
from jwst_fusion.input_files import reading
from jwst_fusion.messages import collected_warnings, warn
from jwst_fusion.products.exposure_cube import (
    blended_template,
    exposure_product,
    reobserved_images,
    residual_exposure,
    residual_product,
)
from jwst_fusion.products.ifu_exposure import read_ifu_exposure
from jwst_fusion.products.keywords import moves, target_position
from jwst_fusion.products.observations import read_image
from jwst_fusion.products.open import open_model
from jwst_fusion.steps.exposures import check_names, check_readable
from jwst_fusion.steps.reports import save_exposure_report

__all__ = ["ExposureFusionMixin", "check_kinds", "warn_of_unused_names"]

log = logging.getLogger(__name__)

_BORDER = (
    1.0  # arcsec around the field in which images are read: the margin and the taps of splines
)
_EPOCH = 60.0  # days after which proper motions and rolls are worth a word
_RESIDUAL = "fusion_residual"
_IFU = ("NRS_IFU", "MIR_MRS")


@dataclass
class _Exposure:
    """One exposure of the input: the member and what was read of it."""

    member: object
    name: str
    parts: list
    moving: bool
    target: object
    date: str | None
    title: str | None


@dataclass
class _Group:
    """Exposures that are fused into one cube."""

    label: str
    unread: int = 0  # exposures that are of no group, as they could not be read
    members: list = field(default_factory=list)
    parts: list = field(default_factory=list)


def check_kinds(members, wanted):
    """
    Say whether exposures are to be fused, or cubes.

    Parameters
    ----------
    members : `~jwst_fusion.associations.FusionMembers`
        Input of the step.
    wanted : {"auto", "exposures", "cube"}
        The parameter ``input``.

    Returns
    -------
    {"exposures", "cube"}
        What is there, and wanted.

    Raises
    ------
    ValueError
        If both are there, or not what is wanted, or a file cannot be read; the message names it.
    """
    exposures, cubes = members.exposures, members.cubes
    for member in cubes if exposures else ():
        # What cannot be read is of neither kind.
        if isinstance(member, str):
            check_readable(member)
    if wanted == "cube" and exposures:
        msg = (
            f"{_name(exposures[0])} is an exposure, but input is 'cube': give cubes (s3d), which "
            "fusion_pipeline builds with the same parameter, or input = exposures"
        )
        raise ValueError(msg)
    if wanted == "exposures" and cubes:
        msg = (
            f"{_name(cubes[0])} is a cube, but input is 'exposures': give exposures (cal), or "
            "input = cube"
        )
        raise ValueError(msg)
    if exposures and cubes:
        msg = (
            f"the input has both exposures ({_name(exposures[0])}) and cubes ({_name(cubes[0])}): "
            "leave one kind out"
        )
        raise ValueError(msg)
    return "exposures" if exposures else "cube"


def warn_of_unused_names(images, options):
    """
    Warn of parameters that name filters of which no image is used.

    Parameters
    ----------
    images : list of ImageObservation
        Images that are used.
    options : `~jwst_fusion.fusion.options.FusionOptions`
        Parameters.
    """
    present = {image.filter for image in images}
    named = {
        "filters": options.filters,
        "throughputs": options.throughput_files(),
        "offsets": filter_offsets(options.offsets),
    }
    for parameter, given in named.items():
        missing = [name for name in given if name not in present]
        if missing:
            warn(log, "%s names %s, of which no image is used", parameter, ", ".join(missing))


class ExposureFusionMixin:
    """What the step ``fusion`` does with exposures; mixed into it."""

    def fuse_exposure_members(self, members, options):
        """
        Fuse exposures with images: those of each grating, or channel of MIRI, to one cube.

        Parameters
        ----------
        members : `~jwst_fusion.associations.FusionMembers`
            Exposures and images.
        options : `~jwst_fusion.fusion.options.FusionOptions`
            Parameters.

        Returns
        -------
        FusedCubeModel, datamodel or ModelContainer
            The fused cube; of several gratings, one for each, and the joined cube last. If nothing
            can be fused, unmodified copies of the exposures with status SKIPPED.

        Raises
        ------
        ValueError
            If a parameter is for cubes, exposures do not belong together, or have one name.
        """
        try:
            check_exposure_options(options)
        except ValueError as error:
            first = members.exposures[0]
            name = Path(first).name if isinstance(first, str) else first.meta.filename
            msg = f"{name or 'the input'} is not a cube (keyword DATAMODL): {error}"
            raise ValueError(msg) from error
        check_names(members.exposures)
        with collected_warnings() as messages:
            opened, reasons = self._open_exposures(members.exposures)
        if not opened:
            kinds = {_kind(member) for member in members.exposures}
            verdict = self.skip_model if kinds & set(_IFU) else self.fail_model
            return self._untouched(members.exposures, "; ".join(dict.fromkeys(reasons)), verdict)
        groups = _grouped(opened)
        for group in groups:
            group.unread = len(members.exposures) - len(opened)
        results, errors, failed = [], [], False
        for group in groups:
            name = members.product_name
            if len(groups) > 1:
                name = f"{name}_{group.label}"
                log.info("Fusion of %s", name)
            with collected_warnings() as more:
                try:
                    said = messages, more
                    results.append(self._fuse_group(group, members, name, options, said))
                except (NotFusableError, np.linalg.LinAlgError) as reason:
                    failed |= isinstance(reason, np.linalg.LinAlgError)
                    reasons.append(str(reason))
                    warn(log, "%s is not made: %s", name, reason)
                except ValueError as error:
                    # What one grating has done is not lost with another.
                    errors.append(error)
                    warn(log, "%s is not made: %s", name, error)
        if not results and errors:
            raise errors[0]
        if not results:
            verdict = self.fail_model if failed else self.skip_model
            reason = "; ".join(dict.fromkeys(reasons))
            return self._untouched(members.exposures, reason, verdict)
        if len(groups) > 1 and options.gratings != "separate":
            results += self.join(results, members.product_name)
        return results[0] if len(results) == 1 else ModelContainer(results)

    def _open_exposures(self, members):
        """Read the exposures that can be used; say of each other one why it cannot."""
        opened, reasons = [], []
        for number, member in enumerate(members, 1):
            model = open_model(member)
            try:
                name = str(model.meta.filename or _name(member))
                _check_role(model, name)
                with reading(name):
                    parts = read_ifu_exposure(model)
                if model is not member:
                    # Copies: the arrays must outlive the file.
                    parts = [_kept(one) for one in parts]
                same = _same_data(parts, opened)
                if same is not None:
                    warn(log, "%s holds the same data as %s: it is used once", name, same)
                    continue
                opened.append(
                    _Exposure(
                        member,
                        name,
                        parts,
                        moves(model),
                        target_position(model),
                        _date(model),
                        model.meta.target.catalog_name or model.meta.target.proposer_name,
                    )
                )
                log.info("Exposure %d of %d read: %s", number, len(members), name)
            except NotFusableError as reason:
                warn(log, "Exposure not used: %s", reason)
                reasons.append(str(reason))
            finally:
                if model is not member:
                    model.close()
        _check_epochs(opened)
        _check_targets(opened)
        return opened, reasons

    def _fuse_group(self, group, members, name, options, messages):
        first = group.members[0]
        found = observed_field(group.parts, options)
        images = self.read_images_around(found.coarse, members.images, options, first.target)
        dates = first.date, images[0].date if images else None
        fused = fuse_observed_exposures(found, images, options, moving=first.moving, dates=dates)
        used = {one.name for one in fused.exposures}
        kept = [one for one in group.members if one.name in used]
        channel = None
        if fused.exposures[0].instrument == "MIRI_MRS":
            channel = fused.exposures[0].grating[:1]
        template = blended_template(_models(kept), fused.channels, channel=channel)
        flat = [one for part in messages for one in part]
        product = exposure_product(
            template,
            fused,
            options,
            exposures_given=len(group.members) + group.unread,
            images_given=len(members.images),
            messages=flat,
        )
        for line in fused.report:
            log.info(line)
        product.meta.filename = f"{name}_{self.suffix}.fits"
        if members.table_name:
            product.meta.asn.table_name = members.table_name
        self.set_status(product, "COMPLETE")
        if options.save_reobserved:
            self._save_residuals(kept, fused, product, name)
            with residual_product(template, fused, found.coarse) as residual:
                residual.meta.filename = f"{name}_residual_s3d.fits"
                self.save_model(
                    residual, output_file=residual.meta.filename, suffix="s3d", force=True
                )
        if self.save_results or self.output_file:
            self.save_sources(product)
        if options.save_report:
            save_exposure_report(self._path(product), product)
        return product

    def read_images_around(self, grid, members, options, target):
        """
        Read the images that can be used; say of each other one why it cannot.

        Parameters
        ----------
        grid : SkyGrid
            The field.
        members : sequence of str or datamodel
            Images.
        options : `~jwst_fusion.fusion.options.FusionOptions`
            Parameters.
        target : `~astropy.coordinates.SkyCoord` or None
            Where a moving target is in the exposures.

        Returns
        -------
        list of ImageObservation
            The parts of the images around the field; may be empty.
        """
        extra = int(np.ceil(_BORDER / grid.scale))
        offsets, images = filter_offsets(options.offsets), []
        around = grid.padded((extra, extra), (extra, extra))
        for member in members:
            try:
                image = read_image(member, grid=around, offsets=offsets, target=target)
                if options.filters and image.filter not in options.filters:
                    log.info("%s (%s) is not among the filters asked for", image.name, image.filter)
                    continue
                if not np.any(image.data[image.good]):
                    msg = f"{image.name} has no usable pixel on the field (all bad, or all zero)"
                    raise NotFusableError(msg)
                images.append(image)
            except NotFusableError as reason:
                warn(log, "Image not used: %s", reason)
        warn_of_unused_names(images, options)
        images = without_repeats(images)
        if members and not images:
            warn(log, "No image can be used: the exposures are fused alone")
        return images

    def _save_residuals(self, members, fused, product, name):
        """Save what is left of each exposure, and what images would see."""
        parts = defaultdict(list)
        for one, residuals, rejected in zip(
            fused.exposures, fused.result.residuals, fused.result.rejected, strict=True
        ):
            parts[one.name].append((one, residuals, rejected))
        for one in members:
            model = open_model(one.member)
            residual = residual_exposure(model, parts[one.name])
            if model is not one.member:
                model.close()
            path = f"{stem(one.name)}.fits"
            self.save_model(residual, output_file=path, suffix=_RESIDUAL, force=True)
            residual.close()
        for label, model in reobserved_images(product, fused):
            model.meta.filename = f"{name}_{label}.fits"
            self.save_model(model, output_file=model.meta.filename, suffix="i2d", force=True)
            model.close()

    def _untouched(self, members, reason, verdict=None):
        """Copies of the exposures with the verdict."""
        copies = []
        for member in members:
            model = open_model(member)
            copy = allow_fusion_status(model.copy())
            if model is not member:
                model.close()
            copy.meta.filename = f"{stem(_name(member))}_{self.suffix}.fits"
            copies.append(copy)
        found = copies[0] if len(copies) == 1 else ModelContainer(copies)
        return (verdict or self.skip_model)(found, reason)


def _same_data(parts, opened):
    """Name of an exposure that was opened before and holds the same data; None if there is none."""
    for one in opened:
        if len(one.parts) == len(parts) and all(
            first.data.shape == second.data.shape
            and np.array_equal(first.data, second.data, equal_nan=True)
            for first, second in zip(one.parts, parts, strict=True)
        ):
            return one.name
    return None


def _name(member):
    if isinstance(member, datamodels.JwstDataModel):
        return str(member.meta.filename or "the model")
    return Path(member).name


def _check_role(model, name):
    """Refuse what is no exposure of the target."""
    if model.meta.exposure.imprint:
        msg = f"{name} is a leakage exposure (IS_IMPRT): calwebb_spec2 subtracts it from the others"
        raise NotFusableError(msg)
    if model.meta.observation.bkgdtarg:
        msg = (
            f"{name} is an exposure of the background (BKGDTARG): give its spectrum (x1d) as "
            "background to fusion_pipeline, or leave it out"
        )
        raise NotFusableError(msg)
    if moves(model) and model.meta.cal_step.assign_mtwcs != "COMPLETE":
        msg = (
            f"{name} is of a moving target, but its coordinates are not relative to that: run "
            "fusion_pipeline, or assign_mtwcs before"
        )
        raise NotFusableError(msg)


def _kind(member):
    """Type of an exposure (EXP_TYPE)."""
    if isinstance(member, datamodels.JwstDataModel):
        return member.meta.exposure.type
    return read_headers(member)[0].get("EXP_TYPE")


def _kept(observation):
    """The same exposure with arrays of its own."""
    return replace(observation, data=np.array(observation.data), err=np.array(observation.err))


def _date(model):
    date, time = model.meta.observation.date, model.meta.observation.time
    return None if date is None else f"{date}T{str(time or '00:00:00')[:8]}"


def _check_epochs(opened):
    """Say if exposures are of other times: sources vary and move meanwhile."""
    known = sorted(datetime.fromisoformat(one.date) for one in opened if one.date)
    if known and (days := (known[-1] - known[0]).total_seconds() / 86400) > _EPOCH:
        warn(
            log,
            "The exposures were taken within %.0f days: variable or moving sources have no single "
            "spectrum or place",
            days,
        )


def _check_targets(opened):
    """Say if exposures name several targets: nodding between two is one field all the same."""
    titles = sorted({one.title for one in opened if one.title})
    if len(titles) > 1:
        warn(
            log,
            "The exposures are of several targets (%s): they are fused as one field",
            ", ".join(titles),
        )


def _grouped(opened):
    """Exposures by grating and filter, of MIRI by channel."""
    groups = {}
    for exposure in opened:
        for part in exposure.parts:
            label = part.grating.lower()
            if part.instrument == "MIRI_MRS":
                label = f"ch{part.grating[:1]}"
            group = groups.setdefault((part.instrument, label), _Group(label))
            group.parts.append(part)
            if exposure not in group.members:
                group.members.append(exposure)
    return [groups[key] for key in sorted(groups)]


def _models(exposures):
    """Models of exposures one after the other, each open until the next."""
    for exposure in exposures:
        model = open_model(exposure.member)
        yield model
        if model is not exposure.member:
            model.close()
