"""The whole road in real geometry: exposures, trace model, cube, fusion, against the truth."""

import numpy as np
import pytest
from astropy.io import fits

from jwst_fusion.associations import make_association, write_association
from jwst_fusion.command.demo_results import interpolate_cube
from jwst_fusion.metrics import psnr
from jwst_fusion.simulation import crds_offline
from jwst_fusion.simulation.observation import (
    DITHERS,
    FILTERS,
    simulate_exposures,
    simulate_images,
)
from jwst_fusion.simulation.psfs import imager_psf, pixel_psf
from jwst_fusion.simulation.scenes import orion_bar, with_stars
from jwst_fusion.simulation.truth import truth_cube
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep
from jwst_fusion.steps.fusion import FusionStep

pytestmark = pytest.mark.slow

ROLL, IMAGE_ROLL, OVERSAMPLE = 30.0, 77.0, 2.0
PITCH = 0.1076  # arcsec, of the pixels along the slices in this geometry
FIELD = 2.6  # arcsec: with both stars, and half of the time of the whole
BLUE, RED = 1.66, 2.30  # micrometre, Marquis et al. 2026, Table 3


def build_cube(exposures, folder, parameters):
    """Run the trace model on each exposure and cube_build on all, as Spec2 and Spec3 would."""
    from jwst.cube_build import CubeBuildStep

    traced = [
        AdaptiveTraceModelStep.call(path, oversample=OVERSAMPLE, save_results=False)
        for path in exposures
    ]
    with crds_offline():
        cube = CubeBuildStep.call(
            traced,
            override_cubepar=str(parameters),
            wavemin=BLUE,
            wavemax=RED,
            save_results=False,
        )[0]
    cube.save(str(folder / "orion_s3d.fits"))


def mean_of_spaxels(fused, header, coarse):
    """The fused cube averaged over the pixels of each spaxel; NaN where it has none."""
    d = round(coarse["CDELT1"] / header["CDELT1"])
    # Pixel edges of the fused cube are those of spaxels.
    x, y = (coarse[f"CRPIX{axis}"] - 0.5 - (header[f"CRPIX{axis}"] - 0.5) / d for axis in (1, 2))
    assert abs(x - round(x)) + abs(y - round(y)) < 1e-3
    depth, ny, nx = fused.shape
    blocks = fused.reshape(depth, ny // d, d, nx // d, d).mean((2, 4))
    out = np.full((depth, coarse["NAXIS2"], coarse["NAXIS1"]), np.nan)
    out[:, round(y) : round(y) + ny // d, round(x) : round(x) + nx // d] = blocks
    return out


@pytest.fixture(scope="module")
def job(data_dir, stpsf_path, quiet_logs, tmp_path_factory):
    """Fused cube, s3d cube, truth and image files of one observation of the Orion Bar."""
    patch = pytest.MonkeyPatch()
    patch.setenv("STPSF_PATH", str(stpsf_path))
    folder = tmp_path_factory.mktemp("orion")
    scene = with_stars(
        orion_bar(data_dir / "orion_bar_scene" / "scene_a.npz", column=180),
        [(0.45, 0.62, 1.2), (-0.58, -0.37, 0.6)],
    )
    # other nodes than the step's, so that the PSF in the data is not the interpolated one
    psf = {"source": "webbpsf", "nodes": 7, "maximum_cores": "half"}
    exposures = simulate_exposures(
        folder,
        scene,
        roll=ROLL,
        reference_files=data_dir / "nirspec_ifu_refs",
        dithers=DITHERS[::2],
        psf=pixel_psf(scene, roll=ROLL, pitch=PITCH, **psf),
    )
    sharp = imager_psf(scene, roll=IMAGE_ROLL, **psf)
    measured = data_dir / "throughputs" / "nircam_measured"
    throughputs = {name: measured / f"{name}_mean_system_throughput.txt" for name in FILTERS}
    images = simulate_images(folder, scene, roll=IMAGE_ROLL, psf=sharp, throughputs=throughputs)
    build_cube(exposures, folder, data_dir / "nirspec_ifu_refs" / "generated_nirspec_cubepar.fits")
    association = write_association(
        make_association(
            str(folder / "orion_s3d.fits"), list(images), product_name="orion", folder=folder
        ),
        folder / "orion_asn.json",
    )
    FusionStep.call(
        association,
        psf_source="webbpsf",
        trace_oversample=OVERSAMPLE,
        field_ra=scene.ra,
        field_dec=scene.dec,
        field_width=FIELD,
        field_height=FIELD,
        throughputs=[f"{name}={path}" for name, path in throughputs.items()],
        output_dir=str(folder),
        save_results=True,
    )
    with fits.open(folder / "orion_s3d.fits") as hdus:
        coarse, coarse_header = hdus["SCI"].data.astype(float), hdus["SCI"].header
    with fits.open(folder / "orion_fused_s3d.fits") as hdus:
        assert hdus[0].header["S_FUSION"] == "COMPLETE"
        fused, header = hdus["SCI"].data.astype(float), hdus["SCI"].header
        error, table = hdus["ERR"].data.astype(float), np.array(hdus["FUSFILTERS"].data)
        measured = (hdus["WMAP"].data.astype(int) & 1).astype(float)
    wavelength = header["CRVAL3"] + header["CDELT3"] * (
        np.arange(header["NAXIS3"]) + 1 - header["CRPIX3"]
    )
    truth = truth_cube(scene, sharp, header, wavelength)
    yield {
        "fused": fused,
        "error": error,
        "truth": truth,
        "coarse": coarse,
        "blocks": mean_of_spaxels(fused, header, coarse_header),
        "measured": mean_of_spaxels(measured, header, coarse_header) == 1,
        "cubic": interpolate_cube(coarse, coarse_header, header),
        "table": table,
    }
    patch.undo()


def test_fused_beats_interpolation_by_eight_decibel(job):
    seen = np.all(np.isfinite(job["fused"]) & np.isfinite(job["cubic"]), axis=0)
    assert seen.sum() > 5000
    fused = psnr(job["truth"], job["fused"], seen)
    cubic = psnr(job["truth"], job["cubic"], seen)
    print(f"PSNR fused {fused:.2f} dB, cubic interpolation {cubic:.2f} dB")
    assert fused >= cubic + 8


def test_every_filter_is_seen_again(job):
    for row in job["table"]:
        print(row["filter"], row["psnr"], row["ssim"], row["calibration"])
    assert {str(name).strip() for name in job["table"]["filter"].astype(str)} == set(FILTERS)
    assert np.all(job["table"]["psnr"] >= 35)


def test_mean_spectrum_agrees(job):
    # Voxels that the cube has lost to cosmic rays, and the fusion has found, say nothing.
    both = job["measured"] & np.isfinite(job["blocks"]) & np.isfinite(job["coarse"])
    sums = [np.where(both, job[name], 0.0).sum((1, 2)) for name in ("blocks", "coarse")]
    channel = np.abs(sums[0] / sums[1] - 1)
    print(
        f"mean spectrum against the cube: 95 % of the channels within {np.percentile(channel, 95)}"
    )
    assert np.percentile(channel, 95) < 0.01
    seen = np.all(np.isfinite(job["fused"]), axis=0)
    spectra = {name: job[name][:, seen].mean(axis=1) for name in ("fused", "truth")}
    # building the cube smooths lines: the truth is compared in bins of 40 channels
    edges = np.arange(0, len(channel) - 39, 40)
    ratio = np.add.reduceat(spectra["fused"], edges) / np.add.reduceat(spectra["truth"], edges)
    print(f"mean spectrum against the truth: bins between {ratio.min():.4f} and {ratio.max():.4f}")
    assert np.abs(np.median(ratio) - 1) < 0.01
    assert np.percentile(np.abs(ratio - 1), 90) < 0.01


def test_errors_are_of_the_right_size(job):
    seen = np.all(np.isfinite(job["fused"]), axis=0)
    pulls = np.abs(job["fused"] - job["truth"])[:, seen] / job["error"][:, seen]
    print(f"68 % of the pulls below {np.percentile(pulls, 68):.2f}")
    assert 0.5 < np.percentile(pulls, 68) < 2
