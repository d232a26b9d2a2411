"""The cases: what is run to make products of every part of the package."""

import contextlib
import io
import os
import shlex
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path

import numpy as np

from product_comparison import inputs
from product_comparison.package import command_line, fusion_fuse, hifred_fuse
from product_comparison.running import SkippedError

__all__ = ["CASES"]

CASES = {}
_QUICK = "--psf_source=aperture --psf_size=1.0 --margin=0.3"


def _case(function):
    CASES[function.__name__.strip("_")] = function
    return function


def _data(*parts):
    path = Path(os.environ.get("JWST_FUSION_TEST_DATA", "/work/shared/data"), *parts)
    if not path.exists():
        msg = f"{path} does not exist; set JWST_FUSION_TEST_DATA"
        raise SkippedError(msg)
    return path


def _config(name):
    """Path of a parameter file of the package."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        command_line("configs", name)
    return printed.getvalue().strip()


def _strun(config, *words, statuses=("COMPLETE",)):
    """Run a parameter file as ``strun`` does; products are written to the current folder."""
    from jwst.stpipe import Step

    words = [word for part in words for word in shlex.split(str(part))]
    Step.from_cmdline([_config(config), *words, "--output_dir=.", "--save_results=true"])
    found = {value for path in Path().glob("*.fits") for value in _statuses(path)}
    if not found <= set(statuses) or not found:
        msg = f"statuses of the products are {sorted(found)}"
        raise RuntimeError(msg)


def _statuses(path):
    """Statuses of the steps of this package in a product."""
    from astropy.io import fits

    header = fits.getheader(path)
    return [header[key] for key in ("S_FUSION", "S_HIFRED", "S_TRCMOD") if key in header]


# ---- what is simulated ----


@_case
def simulate_exposures(folder):
    words = "--scene star --grating G235M --exposures 2 --filters F182M F210M"
    command_line("simulate", ".", *words.split())


@_case
def simulate_cube(folder):
    command_line("simulate", ".", "--cube", "--scene", "crowded", "--filters", "F187N", "F212N")
    command_line("associate", ".", "--output", "found", "--verbose")


@_case
def inputs_fusion(folder):
    inputs.small_fusion(folder)


@_case
def inputs_stars(folder):
    inputs.star_exposures(folder)


@_case
def inputs_gratings(folder):
    inputs.gratings(folder)


@_case
def inputs_miri(folder):
    inputs.mrs_observation(folder)


@_case
def inputs_xray(folder):
    inputs.xray_files(folder)


@_case
def inputs_s3d(folder):
    inputs.s3d_pair(folder)
    from jwst_fusion.simulation.faulty_pairs import simulate_pair_fault

    simulate_pair_fault(
        folder,
        "offset",
        fine=120,
        coarse=12,
        shape=(18, 15),
        counts=(4e5, 4e5),
        energies=(0.7, 0.9),
    )


# ---- trace model ----

_EXPOSURES = "../simulate_exposures/jw09999001001_02101_0000{}_nrs1_cal.fits"
_TRACE = {
    "trace_nirspec_1": (1, "--save_report=true --save_intermediate_results=true"),
    "trace_nirspec_3": (2, "--oversample=3 --slope_limit=0.05"),
    "trace_nirspec_optimal": (1, "--oversample=2 --psf_optimal=true --maximum_cores=none"),
}


def _trace(number, words, folder):
    _strun("fusion_adaptive_trace_model", _EXPOSURES.format(number), words)


CASES.update({name: partial(_trace, *given) for name, given in _TRACE.items()})


def _trace_models(models, **parameters):
    """Run the step on models in memory, and write what it returns."""
    from jwst_fusion.step import AdaptiveTraceModelStep

    for name, model in models.items():
        result = AdaptiveTraceModelStep.call(model, save_results=False, **parameters)
        if result.meta.cal_step.adaptive_trace_model != "COMPLETE":
            msg = f"{name}: {result.meta.cal_step.adaptive_trace_model}"
            raise RuntimeError(msg)
        model.save(f"{name}_cal.fits")
        result.save(f"{name}_adaptive_trace_model.fits")


@_case
def trace_window(folder):
    """The published method, on two slices of an exposure with the real geometry."""
    from jwst_fusion.simulation.exposures import Noise, paint
    from jwst_fusion.simulation.psfs import pixel_psf
    from jwst_fusion.simulation.reference_geometry import nirspec_exposure
    from jwst_fusion.simulation.scenes import single_star

    star = single_star(pixel_scale=0.04, field=4.0)
    model = nirspec_exposure(_data("nirspec_ifu_refs"), ra=star.ra, dec=star.dec, roll=30.0)
    model.regions = np.where(np.isin(model.regions, (8, 9)), model.regions, 0)
    psf = pixel_psf(star, roll=30.0, source="aperture", nodes=3, width=2.0)
    paint(model, star.observe(psf), noise=Noise(), seed=1)
    _trace_models({"nirspec": model}, profile_model="window", oversample=1.5)


@_case
def trace_mrs(folder):
    model = inputs.mrs_star(_data("miri_mrs_refs"))
    _trace_models({"mrs": model}, oversample=2.0)


def _slit_scenes():
    from jwst_fusion.simulation.slit_scene import SlitScene, SlitSource

    lines = ((1.75, 0.0025, -0.6), (1.86, 0.003, 1.5))
    star = SlitScene((SlitSource(0.03, 1000.0, lines=lines),))
    pair = SlitScene((SlitSource(-0.1, 1000.0, lines=lines), SlitSource(0.125, 600.0, slope=2.0)))
    lrs = SlitScene((SlitSource(-0.6, 2000.0, lines=((7.7, 0.12, 0.6),)),), background=5.0)
    return star, pair, lrs


@_case
def trace_slits(folder):
    from jwst_fusion.simulation.slits import fixed_slit_exposure, mos_exposure

    star, pair, _ = _slit_scenes()
    names = ("S200A1", "S1600A1")
    models = {"fixed": fixed_slit_exposure(names=names, scenes=[star, pair], columns=260)}
    models["mos"] = mos_exposure(shutters=(3, 5), scenes=[star, star], columns=260)
    _trace_models(models, oversample=2.0)


@_case
def trace_lrs(folder):
    from jwst_fusion.simulation.slits import lrs_exposure

    lrs = _slit_scenes()[2]
    _trace_models({"slit": lrs_exposure(kind="slit", scene=lrs)}, oversample=2.0)
    _trace_models({"slitless": lrs_exposure(kind="slitless", scene=lrs)}, oversample=1.0)


@_case
def trace_series(folder):
    from jwst_fusion.simulation.slits import bright_object_exposure, fixed_slit_exposure

    models = {"series": bright_object_exposure(light_curve=(1.0, 0.98, 1.0), columns=300)}
    _trace_models(models, oversample=1.0)
    prism = {"grating": "PRISM", "filter_name": "CLEAR", "columns": 300}
    models = {"prism": fixed_slit_exposure(single=True, names=("S200A1",), **prism)}
    _trace_models(models, oversample=3.0, profile_model="window")


# ---- fusion ----

_CUBE = "../inputs_fusion/nebula_asn.json"
_FIELD = "--field_ra=83.8187 --field_dec=-5.4083 --field_width=0.8 --field_height=0.9"
#: Parameter file, input, and what is changed.
_FUSIONS = {
    "fusion": ("fusion", _CUBE, "--save_report=true --save_reobserved=true"),
    "fusion_fixed_target": ("fusion_fixed_target", _CUBE, "--filters=F182M,F210M"),
    "fusion_hand_tuned": ("fusion_hand_tuned", _CUBE, ""),
    "fusion_validation": (
        "fusion_validation",
        _CUBE,
        "--save_report=true --rank=4 --filters=F182M,F210M,F212N",
    ),
    "fusion_moving_target": ("fusion_moving_target", "../inputs_fusion/moving_asn.json", ""),
    "fusion_moving_by_default": ("fusion", "../inputs_fusion/moving_asn.json", ""),
    "fusion_misplaced": (
        "fusion",
        "../inputs_fusion/misplaced_asn.json",
        "--alignment=measured --save_report=true",
    ),
    "fusion_edge_weighted": ("fusion", _CUBE, "--regularisation=edge_weighted --crosscal=eroded"),
    "fusion_wavelet": ("fusion", _CUBE, "--regularisation=wavelet --crosscal=mean --rank=3"),
    "fusion_none": (
        "fusion",
        _CUBE,
        "--regularisation=none --crosscal=off --rank=3 --tuning=manual",
    ),
    "fusion_syfu": ("fusion", _CUBE, "--tuning=syfu --crosscal=off"),
    "fusion_manual": (
        "fusion",
        _CUBE,
        "--tuning=manual --mu=1e-3,1e-2,1e-2 --gamma=0.7 --rank=3 --noise_scales=false",
    ),
    "fusion_nonnegative": ("fusion", _CUBE, "--nonnegative=true --rank=3"),
    "fusion_deconvolved": (
        "fusion",
        _CUBE,
        "--exponent=2 --rank=0.999 --max_rank=5 --resolution=deconvolved --outlier_sigma=0 "
        "--noise_scales=false",
    ),
    "fusion_part": (
        "fusion",
        _CUBE,
        f"{_FIELD} --factor=2 --wave_min=1.7 --wave_max=2.26 --exclude_wave=1.87-1.88 "
        "--exclude_channels=3,10-12 --offsets=F182M:0.01:-0.02 --psf_broadening=0.05x0.04 "
        "--psf_broadening_image=0.02 --psf_jitter=5 --psf_nodes=4 --trace_oversample=2 "
        "--roll_cube=31 --roll_image=76 --min_coverage=0.9",
    ),
    "fusion_psf_file": (
        "fusion",
        _CUBE,
        "--psf_source=file --psf_image=../inputs_stars/psf_image.fits "
        "--psf_cube=../inputs_stars/psf_cube.fits --tuning=manual --mu=1e-3 --rank=3",
    ),
    "fusion_psf_data": (
        "fusion",
        _CUBE,
        "--psf_source=data --psf_cube=../inputs_stars/star_s3d.fits --rank=3 "
        "--psf_image=../inputs_stars/jw09999-o001_t001_nircam_clear-f182m_i2d.fits,"
        "../inputs_stars/jw09999-o001_t001_nircam_clear-f210m_i2d.fits",
    ),
    "fusion_miri": ("fusion", "../inputs_miri/miri_asn.json", "--psf_size=2 --save_report=true"),
    "gratings_joined": (
        "fusion",
        "../inputs_gratings/gratings_asn.json",
        "--min_coverage=0.85 --rank=2 --save_report=true --save_reobserved=true",
    ),
    "gratings_separate": (
        "fusion",
        "../inputs_gratings/gratings_asn.json",
        "--min_coverage=0.85 --rank=2 --gratings=separate --crosscal=off",
    ),
    "gratings_shared": (
        "fusion",
        "../inputs_gratings/gratings_asn.json",
        "--min_coverage=0.85 --gratings=shared --save_report=true",
    ),
}


def _fuse(config, association, words, folder):
    _strun(config, association, _QUICK, words)


CASES.update({name: partial(_fuse, *given) for name, given in _FUSIONS.items()})


@_case
def fusion_webbpsf(folder):
    os.environ["STPSF_PATH"] = str(_data("stpsf-data"))
    curve = _data("throughputs", "nircam_measured", "F182M_mean_system_throughput.txt")
    _strun(
        "fusion",
        _CUBE,
        _QUICK.replace("aperture", "webbpsf"),
        f"--psf_nodes=3 --rank=3 --tuning=manual --mu=1e-3 --throughputs=F182M={curve}",
    )


@_case
def fusion_skipped(folder):
    """An image that no cube covers: the cube comes back as it was."""
    words = [_CUBE, _QUICK, "--wave_min=1.9 --wave_max=1.95"]
    _strun("fusion", *words, statuses=("SKIPPED", "FAILED"))


@_case
def psf_files(folder):
    make = "psf make {} --pixel-scale 0.0333 --field 1.5 --nodes {} --source {} --cores none"
    runs = {
        "nircam_nodes": ("nircam --filter F182M F210M", "auto", "aperture"),
        "nircam": ("nircam --filter F187N --angle 20 --broadening 0.01 --jitter 3", 3, "aperture"),
        "nirspec": ("nirspec --wavelength 1.7 2.3", 3, "aperture"),
        "miri": ("miri --filter F1000W", 3, "aperture"),
        "miri_mrs": ("miri_mrs --wavelength 8.0 8.5", 3, "aperture"),
    }
    for name, given in runs.items():
        command_line(*make.format(*given).split(), "--output", f"{name}.fits")
    os.environ["STPSF_PATH"] = str(_data("stpsf-data"))
    words = make.format("nircam --filter F210M --opd none", 2, "webbpsf")
    command_line(*words.split(), "--output", "webbpsf.fits")


# ---- pipelines ----


def _narrow(folder, words=""):
    cubepar = "../simulate_exposures/cubepar.fits"
    return (
        f"--steps.cube_build.override_cubepar={cubepar} --steps.cube_build.wavemin=1.975 "
        f"--steps.cube_build.wavemax=2.22 --steps.cube_build.scalew=0.01 {words}"
    )


@_case
def pipeline(folder):
    """From exposures to the fused cube."""
    field = " ".join(f"--steps.fusion.{one[2:]}" for one in _FIELD.split())
    _strun(
        "fusion_pipeline",
        "../simulate_exposures/fusion_asn.json",
        _narrow(folder, field),
        "--steps.fusion.rank=3 --steps.fusion.psf_source=aperture --steps.fusion.psf_size=1.0 "
        "--steps.outlier_detection.skip=true --steps.fusion.save_report=true",
    )


#: Other parameter files of the pipeline, on a cube.
_PIPELINES = {
    "pipeline_nebula": ("fusion_pipeline_nebula", _CUBE),
    "pipeline_star": ("fusion_pipeline_star", _CUBE),
    "pipeline_crowded_field": ("fusion_pipeline_crowded_field", _CUBE),
    "pipeline_moving_target": ("fusion_pipeline_moving_target", "../inputs_fusion/moving_asn.json"),
    "pipeline_gratings": ("fusion_pipeline", "../inputs_gratings/gratings_asn.json"),
}


def _pipeline_on_cubes(config, association, folder):
    quick = " ".join(f"--steps.fusion.{one[2:]}" for one in _QUICK.split())
    more = "--steps.fusion.rank=3 --steps.fusion.min_coverage=0.85"
    _strun(config, association, quick, more)


CASES.update({name: partial(_pipeline_on_cubes, *given) for name, given in _PIPELINES.items()})


def _only(pipeline, *names):
    """Words that skip all steps of a pipeline but some."""
    skipped = [name for name in pipeline.step_defs if name not in names]
    return " ".join(f"--steps.{name}.skip=true" for name in skipped)


@_case
def pipeline_spec2(folder):
    from jwst.assign_wcs import AssignWcsStep
    from jwst.pipeline import Spec2Pipeline

    def keep(self, model):
        model.meta.cal_step.assign_wcs = "COMPLETE"
        return model

    before = AssignWcsStep.process, AssignWcsStep.reference_file_types
    AssignWcsStep.process, AssignWcsStep.reference_file_types = keep, ()
    try:
        _strun(
            "fusion_spec2",
            _EXPOSURES.format(1),
            _only(Spec2Pipeline, "assign_wcs", "adaptive_trace_model", "cube_build"),
            _narrow(folder, "--steps.adaptive_trace_model.oversample=2"),
        )
    finally:
        AssignWcsStep.process, AssignWcsStep.reference_file_types = before


@_case
def pipeline_spec3(folder):
    from jwst.pipeline import Spec3Pipeline

    from jwst_fusion.simulation.observation import write_spec3_association

    path = folder.parent / "simulate_exposures" / "spec3_asn.json"
    exposure = folder / _EXPOSURES.format(2)
    write_spec3_association(path, [exposure], product="jw09999-o001_t001_spec3")
    try:
        _strun(
            "fusion_spec3",
            f"../simulate_exposures/{path.name}",
            _only(Spec3Pipeline, "adaptive_trace_model", "cube_build"),
            _narrow(folder, "--steps.adaptive_trace_model.oversample=2"),
        )
    finally:
        path.unlink()


# ---- HIFReD ----

_XRAY = "../inputs_xray/remnant_asn.json"
_PAIR = "../inputs_s3d/sharp_s3d.fits,../inputs_s3d/fine_s3d.fits"
_WIDTH = 1.5 * 2.3548 * 0.05
_HIFREDS = {
    "hifred": ("hifred", _XRAY, "--save_report=true"),
    "hifred_xray": ("hifred_xray", _XRAY, ""),
    "hifred_low_rank_wavelet": ("hifred", _XRAY, "--regularisation=low_rank_wavelet --rank=3"),
    "hifred_low_rank": (
        "hifred",
        _XRAY,
        "--regularisation=low_rank --rank=2 --energy_min=0.72 --energy_max=0.88 --seed=4",
    ),
    "hifred_absolute": ("hifred", _XRAY, "--prior=absolute --mu=0.02 --rank=3 --errors=false"),
    "hifred_none": (
        "hifred",
        _XRAY,
        "--regularisation=none --maximum_iterations=40 --nonnegative=false --errors=false",
    ),
    "hifred_wavelet": (
        "hifred",
        _XRAY,
        "--regularisation=wavelet_2d1d --kappa=1.0 --scales_space=1 --scales_energy=2 "
        "--maximum_iterations=200 --error_samples=4 --prior=absolute",
    ),
    "hifred_faulty": ("hifred", "../inputs_s3d/fault_offset_asn.json", "--save_report=true"),
}


def _hifred(config, source, words, folder):
    _strun(config, source, words)


CASES.update({name: partial(_hifred, *given) for name, given in _HIFREDS.items()})


def _hifred_pair(words, folder):
    from jwst_fusion.step import HifredStep

    result = HifredStep.call(_PAIR.split(","), save_results=True, output_dir=".", **words)
    if result.meta.cal_step.hifred != "COMPLETE":
        raise RuntimeError(result.meta.cal_step.hifred)


CASES["hifred_s3d"] = partial(_hifred_pair, {"psf_fwhm": _WIDTH, "save_report": True})
CASES["hifred_s3d_part"] = partial(
    _hifred_pair,
    {"psf_fwhm": 0.2, "lsf_fwhm": 0.01, "wave_min": 2.01, "wave_max": 2.08, "margin": 0.1}
    | {"regularisation": "low_rank_wavelet", "rank": 3, "mu": 0.5, "psf_angle": 20.0},
)


@_case
def hifred_continued(folder):
    words = f"{_XRAY} --rank=3 --mu=0.02 --errors=false"
    _strun("hifred", words, "--maximum_iterations=3 --checkpoint=state.npz")
    Path("remnant_hifred.fits").rename("first_hifred.fits")
    _strun("hifred", words, "--start=state.npz")


# ---- reports on products that were saved ----


@_case
def reports(folder):
    runs = (
        ("fusion", "nebula_fused_s3d.fits", "inputs_fusion", "--position 12,14 --line 2.1218"),
        ("gratings_joined", "x_fused_s3d.fits", "gratings_joined", "--position 10.5,12"),
        ("hifred", "remnant_hifred.fits", "inputs_xray", "--line 0.8"),
        ("hifred_s3d", "sharp_hifred.fits", "inputs_s3d", "--position 8,9"),
        (
            "trace_nirspec_3",
            "jw09999001001_02101_00002_nrs1_adaptive_trace_model.fits",
            "simulate_exposures",
            "",
        ),
    )
    for number, (case, name, source, words) in enumerate(runs):
        product = folder.parent / case / name
        given = ["--input", str(folder.parent / source)] if source else []
        output = f"{number}_{case}.html"
        command_line("report", str(product), "--output", output, *given, *words.split())


# ---- from arrays to arrays ----


def _flatten(value, name, into):
    """Put everything within a result into a flat dictionary of arrays."""
    if is_dataclass(value):
        for one in fields(value):
            _flatten(getattr(value, one.name), f"{name}.{one.name}", into)
    elif isinstance(value, dict):
        for key, one in value.items():
            _flatten(one, f"{name}.{key}", into)
    elif isinstance(value, (list, tuple)) and any(
        is_dataclass(one) or isinstance(one, (dict, list, tuple, np.ndarray)) for one in value
    ):
        for number, one in enumerate(value):
            _flatten(one, f"{name}.{number}", into)
    elif value is None:
        into[name] = np.array("None")
    else:
        array = np.asarray(value)
        into[name] = array if array.dtype != object else np.array(repr(value))


def _save(name, result):
    found = {}
    _flatten(result, "result", found)
    np.savez(f"{name}.npz", **found)


_ARRAYS = {
    "default": {},
    "edge_weighted": {"regularisation": "edge_weighted", "rank": 4},
    "wavelet": {"regularisation": "wavelet", "rank": 3},
    "none": {"regularisation": "none", "rank": 3, "tuning": "evidence"},
    "fitted": {"gains": "fitted", "gain_prior": 0.05, "outlier_sigma": 5.0, "rank": 4},
    "manual": {"tuning": "manual", "mu": 1e-3, "gamma": 0.5, "rank": 3, "refine": False},
    "syfu": {"tuning": "syfu", "rank": 4},
    "nonnegative": {"nonnegative": True, "rank": 3},
    "deconvolved": {"resolution": "deconvolved", "exponent": 2.0, "uncertainty": False, "rank": 3},
}


@_case
def arrays_fusion(folder):
    data = inputs.fusion_arrays()
    for name, options in _ARRAYS.items():
        _save(name, fusion_fuse(data, **options))
    complete = inputs.fusion_arrays(complete=True)
    _save("mirror", fusion_fuse(complete, boundary="mirror", outlier_sigma=None, rank=4))
    _save("free", fusion_fuse(complete, outlier_sigma=None, rank=4, noise_scales=False))


_COUNTS = {
    "default": {},
    "low_rank_wavelet": {"regularisation": "low_rank_wavelet", "rank": 3, "mu": 0.5},
    "low_rank": {"regularisation": "low_rank", "rank": 2, "seed": 5},
    "wavelet_2d1d": {"regularisation": "wavelet_2d1d", "kappa": 2.0, "maximum_iterations": 200},
    "none": {"regularisation": "none", "maximum_iterations": 30, "errors": False},
    "absolute": {"prior": "absolute", "rank": 3, "thinning": 0.7, "error_samples": 4},
}


@_case
def arrays_hifred(folder):
    data = inputs.hifred_arrays()
    results = {}
    for name, options in _COUNTS.items():
        results[name] = hifred_fuse(*data.positional, **options)
        _save(name, results[name])
    again = hifred_fuse(*data.positional, start=results["default"], tolerance=1e-7)
    _save("again", again)

    def denoiser(cube):
        return np.maximum(cube - 0.01 * cube.mean(), 0)

    options = {"regularisation": "plug_and_play", "denoiser": denoiser, "maximum_iterations": 20}
    _save("plug_and_play", hifred_fuse(*data.positional, errors=False, **options))
    normal = inputs.hifred_arrays(gaussian=True)
    _save("gaussian", hifred_fuse(*normal.positional, **normal.more, rank=3, mu=0.05))


@_case
def arrays_metrics(folder):
    """Figures of merit of one fusion against its input."""
    import inspect

    from jwst_fusion import metrics

    rng = np.random.default_rng(2)
    truth = rng.uniform(1, 2, (6, 20, 22))
    estimate = truth + 0.05 * rng.standard_normal(truth.shape)
    found = {}
    for name in sorted(metrics.__all__):
        function = getattr(metrics, name)
        required = [
            one.name
            for one in inspect.signature(function).parameters.values()
            if one.default is one.empty and one.kind is not one.VAR_KEYWORD
        ]
        if len(required) == 2:
            try:
                _flatten(function(truth, estimate), name, found)
            except (TypeError, ValueError):
                continue
    if len(found) < 4:
        msg = f"only {sorted(found)} could be computed"
        raise RuntimeError(msg)
    np.savez("metrics.npz", **found)


# ---- the demo, which takes as long as all the rest ----


@_case
def demo(folder):
    command_line("demo", "--output", ".")
