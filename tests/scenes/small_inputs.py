"""The smallest inputs of each step, as files, and runs of the step on them."""

import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from stdatamodels.jwst import datamodels

from jwst_fusion.psf import PsfCube, write_psf

WAVE = np.arange(1.69, 1.98, 0.03)


@dataclass(frozen=True)
class Case:
    """Files that a step reads together, and how it is run on them."""

    name: str
    folder: Path
    files: tuple
    run: object

    def copied(self, folder):
        """Names of the files as they would be in another folder."""
        return [Path(folder) / file for file in self.files]


def leave_slices_out(path):
    """Keep the half of the slices of an exposure that sees 1.4" around the middle of the field."""
    with datamodels.open(path) as model:
        model.regions = np.where((model.regions > 7) & (model.regions < 24), model.regions, 0)
        model.save(str(path))


def write_wide_psf(path, sigma):
    """Gaussian PSFs of 1" in a file, sigma arcsec."""
    y, x = np.indices((41, 41)) - 20
    one = np.exp(-0.5 * (x**2 + y**2) * (0.025 / sigma) ** 2)
    nodes = np.array([1.65, 2.05])
    psf = PsfCube(
        data=np.array([one, one]) / one.sum(),
        wavelength=nodes,
        pixel_scale=0.025,
        source="Gaussian",
        meta={},
    )
    write_psf(psf, path)


def fusion_case(folder):
    """A cube of 11 x 12 spaxels, an image, PSF files and their association."""
    from jwst_fusion.associations import make_association, write_association
    from jwst_fusion.simulation.cubes import simulate_s3d
    from jwst_fusion.simulation.observation import simulate_images
    from jwst_fusion.simulation.scenes import single_star

    scene = single_star()
    cube = simulate_s3d(scene, WAVE, shape=(11, 12), grating="G140H", filter_name="F100LP")
    cube.save(str(folder / "a_s3d.fits"))
    cube.close()
    (image,) = simulate_images(folder, scene, filters=("F182M",))
    image = Path(image).rename(folder / "b_i2d.fits")
    with fits.open(image, memmap=False) as hdus:
        window = _cut(hdus, 70)
        window.writeto(image, overwrite=True)
    for name, sigma in (("psf_image", 0.03), ("psf_cube", 0.07)):
        write_wide_psf(folder / f"{name}.fits", sigma)
    association = make_association(
        folder / "a_s3d.fits", image, product_name="small", folder=folder
    )
    write_association(association, folder / "fusion_asn.json")
    files = ("a_s3d.fits", "b_i2d.fits", "psf_image.fits", "psf_cube.fits", "fusion_asn.json")
    return Case("fusion", folder, files, run_fusion)


def _cut(hdus, size):
    """The middle of an image, with its coordinates."""
    height, width = hdus["SCI"].data.shape
    rows, columns = ((side - size) // 2 for side in (height, width))
    for hdu in hdus[1:]:
        if hdu.is_image and hdu.data is not None and hdu.data.shape == (height, width):
            hdu.data = hdu.data[rows : rows + size, columns : columns + size].copy()
            hdu.header["CRPIX1"] = hdus["SCI"].header["CRPIX1"] - columns * (hdu.name != "SCI")
    hdus["SCI"].header["CRPIX1"] -= columns
    hdus["SCI"].header["CRPIX2"] -= rows
    return hdus


def run_fusion(folder, output, **options):
    """Fuse what is in a folder; the product and the place of its status."""
    from jwst_fusion.steps.fusion import FusionStep

    parameters = {"psf_size": 0.8, "margin": 0.2, "min_coverage": 0.5, "tuning": "manual"}
    parameters |= {"mu": [1e-3], "gamma": 1.0, "rank": "2", "crosscal": "off", "sources": "none"}
    parameters |= {name: str(folder / f"{name}.fits") for name in ("psf_image", "psf_cube")}
    step = FusionStep(output_dir=str(output), save_results=True, **{**parameters, **options})
    return step.run(str(folder / "fusion_asn.json")), "fusion"


def pipeline_case(folder):
    """The same for the pipeline."""
    case = fusion_case(folder)
    return Case("pipeline", folder, case.files, run_pipeline)


def run_pipeline(folder, output, **options):
    """Run the pipeline on what is in a folder."""
    from jwst_fusion.step import FusionPipeline

    parameters = {"psf_size": 0.8, "margin": 0.2, "min_coverage": 0.5, "tuning": "manual"}
    parameters |= {"mu": [1e-3], "gamma": 1.0, "rank": "2", "crosscal": "off", "sources": "none"}
    parameters |= {name: str(folder / f"{name}.fits") for name in ("psf_image", "psf_cube")}
    found = FusionPipeline.call(
        str(folder / "fusion_asn.json"),
        output_dir=str(output),
        save_results=True,
        steps={"fusion": {**parameters, **options}},
        configure_log=False,
    )
    return found, "fusion"


def trace_case(folder):
    """An exposure of one fixed slit."""
    from jwst_fusion.simulation.slits import fixed_slit_exposure

    model = fixed_slit_exposure(single=True, columns=40)
    model.meta.filename = "slit_cal.fits"
    model.save(str(folder / "slit_cal.fits"))
    return Case("trace", folder, ("slit_cal.fits",), run_trace)


def run_trace(folder, output, **options):
    """Model the trace of what is in a folder."""
    from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep

    step = AdaptiveTraceModelStep(
        oversample=2.0, output_dir=str(output), save_results=True, maximum_cores="none", **options
    )
    return step.run(str(folder / "slit_cal.fits")), "adaptive_trace_model"


def jwst_pair_case(folder):
    """A pair of JWST cubes with their association."""
    from s3d_pairs import make_s3d_pair

    from jwst_fusion.associations.hifred import make_hifred_association

    _, _, models = make_s3d_pair(seed=1, shape=(12, 9), channels=12)
    names = ("sharp_s3d.fits", "fine_s3d.fits")
    for model, name in zip(models, names, strict=True):
        model.meta.filename = name
        model.save(str(folder / name))
    association = make_hifred_association([folder / n for n in names], folder=folder)
    (folder / "pair_asn.json").write_text(association.dump()[1])
    return Case("hifred", folder, (*names, "pair_asn.json"), run_jwst_pair)


def run_jwst_pair(folder, output, **options):
    """Fuse a pair of JWST cubes."""
    from jwst_fusion.steps.hifred import HifredStep

    parameters = {"psf_fwhm": 0.18, "rank": "2", "mu": "0.02", "errors": False}
    step = HifredStep(output_dir=str(output), save_results=True, **{**parameters, **options})
    return step.run(str(folder / "pair_asn.json")), "hifred"


def count_pair_case(folder):
    """A pair of cubes of counts with the responses of their telescopes."""
    from jwst_fusion.simulation.xray import xray_pair
    from jwst_fusion.simulation.xray_files import write_xray_pair

    pair = xray_pair("small", shape=(12, 9), fine=60, coarse=12, counts=(2e5, 2e5))
    association = Path(write_xray_pair(pair, folder))
    association.rename(folder / "counts_asn.json")
    files = tuple(sorted(path.name for path in folder.iterdir()))
    return Case("counts", folder, files, run_count_pair)


def run_count_pair(folder, output, **options):
    """Fuse a pair of cubes of counts."""
    from jwst_fusion.steps.hifred import HifredStep

    parameters = {"rank": "2", "mu": "0.02", "errors": False, "max_iterations": 50}
    step = HifredStep(output_dir=str(output), save_results=True, **{**parameters, **options})
    return step.run(str(folder / "counts_asn.json")), "hifred"


def exposures_case(folder):
    """Two exposures, of their arrays those that a fusion needs, an image and their association."""
    from jwst_fusion.associations import make_association, write_association
    from jwst_fusion.simulation.observation import DITHERS, simulate_exposures, simulate_images
    from jwst_fusion.simulation.scenes import nebula

    scene = nebula()
    exposures = simulate_exposures(folder, scene, grating="G235M", dithers=DITHERS[:2])
    for path in exposures:
        with datamodels.open(path) as model:
            kept = {name: np.array(model[name]) for name in ("data", "err", "dq")}
            short = datamodels.IFUImageModel(**kept)
            short.update(model)
            short.meta.wcs = model.meta.wcs
            short.save(str(path))
            short.close()
    images = simulate_images(folder, scene, filters=("F212N",))
    association = make_association(exposures, images, product_name="small", folder=folder)
    write_association(association, folder / "exposures_asn.json")
    names = (*(Path(path).name for path in (*exposures, *images)), "exposures_asn.json")
    return Case("exposures", folder, names, run_exposures)


def run_exposures(folder, output, **options):
    """Fuse exposures, a few channels and spaxels."""
    from jwst_fusion.simulation.scenes import nebula
    from jwst_fusion.steps.fusion import FusionStep

    scene = nebula()
    parameters = {"field_ra": scene.ra, "field_dec": scene.dec, "field_width": 0.8}
    parameters |= {"field_height": 0.6, "wave_min": 2.10, "wave_max": 2.145, "rank": "2"}
    parameters |= {"psf_source": "aperture", "psf_size": 1.0, "crosscal": "off", "sources": "none"}
    step = FusionStep(output_dir=str(output), save_results=True, **{**parameters, **options})
    return step.run(str(folder / "exposures_asn.json")), "fusion"


CASES = {
    "fusion": fusion_case,
    "pipeline": pipeline_case,
    "trace": trace_case,
    "hifred": jwst_pair_case,
    "counts": count_pair_case,
}
#: One whose files and times are larger: 150 MB, 5 s.
LARGE_CASES = {"exposures": exposures_case}


def quiet(function, *arguments, **options):
    """Call a function without logs and warnings."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*arguments, **options)
    finally:
        logging.disable(logging.NOTSET)


def edited_association(path, change):
    """Change an association file by a function of its content."""
    table = json.loads(Path(path).read_text())
    change(table)
    Path(path).write_text(json.dumps(table))
