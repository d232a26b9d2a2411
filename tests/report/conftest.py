"""Small fusions, right and wrong ones, with their reports."""

import logging
from dataclasses import dataclass
from pathlib import Path

import pytest
from astropy.io import fits

from jwst_fusion.numerics.array_tables import as_table, plain


@dataclass(frozen=True)
class Case:
    """Files of one fusion."""

    folder: Path
    product: Path
    report: Path

    @property
    def figures(self):
        return self.report.with_suffix("")

    def read(self):
        from jwst_fusion.report.fused.product import read_fused

        with fits.open(self.product, memmap=False) as hdus:
            product = read_fused(hdus)
            product.data, product.err, product.dq, product.origin  # noqa: B018
            return product


@pytest.fixture(scope="session")
def fused(tmp_path_factory):
    """Fuse an observation with a fault, once; of some, the step also writes the report."""
    from jwst_fusion.simulation.faulty import simulate_fault
    from jwst_fusion.steps.fusion import FusionStep

    cases = {}

    def get(fault):
        if fault not in cases:
            folder = tmp_path_factory.mktemp(fault)
            logging.disable(logging.INFO)
            try:
                association = simulate_fault(folder, fault, shape=(14, 16))
                FusionStep.call(
                    str(association),
                    psf_source="aperture",
                    psf_size=1.6,
                    margin=0.3,
                    # PSFs and offsets that are fitted hide the fault, as they are to.
                    psf_fit="none" if fault == "psf" else "width",
                    alignment="wcs" if fault == "offset" else "auto",
                    save_results=True,
                    save_report=fault in ("none", "dead"),
                    output_dir=str(folder),
                )
            finally:
                logging.disable(logging.NOTSET)
            name = f"fault_{fault}_fused"
            cases[fault] = Case(folder, folder / f"{name}_s3d.fits", folder / f"{name}_report.html")
        return cases[fault]

    return get


@dataclass(frozen=True)
class Pair:
    """Files of one fusion of two cubes."""

    folder: Path
    product: Path
    report: Path

    def read(self):
        from jwst_fusion.report.hifred.product import read_hifred

        with fits.open(self.product, memmap=False) as hdus:
            return read_hifred(hdus)


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """Fuse two cubes with a fault, once: of counts, or "jwst", of which the step reports."""
    from s3d_pairs import make_s3d_pair

    from jwst_fusion.simulation.faulty_pairs import simulate_pair_fault
    from jwst_fusion.steps.hifred import HifredStep

    cases = {}

    def get(fault):
        if fault not in cases:
            folder = tmp_path_factory.mktemp(f"pair_{fault}")
            kept = {"save_results": True, "output_dir": str(folder)}
            logging.disable(logging.INFO)
            try:
                if fault.startswith("jwst"):
                    models = make_s3d_pair()[2]
                    width = 1.5 * 2.3548 * 0.05 * (1.4 if fault == "jwst_psf" else 1.0)
                    files = [str(folder / model.meta.filename) for model in models]
                    for model, file in zip(models, files, strict=True):
                        model.save(file)
                    HifredStep.call(files, psf_fwhm=width, save_report=fault == "jwst", **kept)
                    name = "sharp_hifred"
                else:
                    path = simulate_pair_fault(folder, fault)
                    report = fault in ("none", "psf")
                    HifredStep.call(str(path), save_report=report, **kept)
                    name = f"fault_{fault}_hifred"
            finally:
                logging.disable(logging.NOTSET)
            product = folder / f"{name}.fits"
            cases[fault] = Pair(folder, product, folder / f"{name}_report.html")
        return cases[fault]

    return get


def cut(source, target, channels, *, factor=1.0):
    """Write some channels of a fused cube as a fused cube of its own."""
    with fits.open(source, memmap=False) as hdus:
        for name in ("SCI", "ERR", "DQ", "WMAP"):
            hdus[name].data = hdus[name].data[channels]
        for name in ("SCI", "ERR"):
            hdus[name].data = hdus[name].data * factor
        hdus["FUSCHANNELS"].data = hdus["FUSCHANNELS"].data[channels]
        for name in ("FUSBASIS", "FUSRESPONSES"):
            hdus[name].data = as_table(plain(hdus[name].data)[:, channels])
        hdus["SCI"].header["CRPIX3"] -= channels.start or 0
        hdus[0].header["GRATING"] = "G395H" if channels.start else "G140H"
        del hdus["ASDF"]
        hdus.writeto(target)


@pytest.fixture(scope="session")
def whole(fused, tmp_path_factory):
    """Join two parts of fused cubes; the red one is of another fusion, or brighter."""
    from jwst_fusion.datamodels import FusedCubeModel
    from jwst_fusion.steps.fusion import FusionStep

    cases = {}

    def get(red="none", factor=1.0):
        if (red, factor) not in cases:
            folder = tmp_path_factory.mktemp("joined")
            names = [folder / f"x_{number:02d}_fused_s3d.fits" for number in (1, 2)]
            cut(fused("none").product, names[0], slice(None, 450))
            cut(fused(red).product, names[1], slice(390, None), factor=factor)
            models = [FusedCubeModel(str(name)) for name in names]
            for model, name in zip(models, names, strict=True):
                model.meta.filename = name.name
            step = FusionStep()
            step.output_dir, step.save_report = str(folder), True
            (product,) = step.join(models, "x")
            product.save(str(folder / "x_fused_s3d.fits"))
            for model in models:
                model.close()
            path = folder / "x_fused_s3d.fits"
            cases[red, factor] = Pair(folder, path, folder / "x_fused_report.html")
        return cases[red, factor]

    return get
