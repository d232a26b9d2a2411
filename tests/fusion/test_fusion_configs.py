"""The shipped parameter files, each run as by strun on the small scene."""

from pathlib import Path

import numpy as np
import pytest
from stpipe import Step

from jwst_fusion.associations import make_association, write_association
from jwst_fusion.datamodels import FusedCubeModel
from jwst_fusion.metrics import psnr
from jwst_fusion.products.observations import read_cube

CONFIGS = Path(__file__).resolve().parents[2] / "step_configs"
WAVE = np.linspace(1.66, 2.30, 33)


@pytest.fixture
def observe(tmp_path, products, scene):
    """Write cube, images and their association; a moving target is elsewhere in every image."""

    def write(*, moving):
        cube = products.cube(scene, WAVE, shape=(13, 14))
        cube.meta.wcsinfo.mt_ra, cube.meta.wcsinfo.mt_dec = scene.ra, scene.dec
        members = [cube]
        for name, ra in (("F182M", scene.ra + 0.02), ("F210M", scene.ra + 0.3)):
            there = products.scene(ra=ra) if moving else scene
            image = products.image(there, name, shape=(150, 154))
            # The ephemeris is a second of arc off.
            image.meta.wcsinfo.mt_avra, image.meta.wcsinfo.mt_avdec = ra, there.dec + 1 / 3600
            members.append(image)
        for model in members:
            model.meta.target.type = "MOVING" if moving else "FIXED"
            model.save(str(tmp_path / model.meta.filename))
        names = [model.meta.filename for model in members]
        write_association(
            make_association(names[0], names[1:], product_name="jw03"), tmp_path / "a_asn.json"
        )

    return write


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "moving", "expected"),
    [
        ("fusion", False, {"registration": "wcs", "tuning": "evidence"}),
        ("fusion", True, {"registration": "measured", "tuning": "evidence"}),
        ("fusion_fixed_target", False, {"registration": "wcs", "tuning": "evidence"}),
        ("fusion_moving_target", True, {"registration": "measured", "tuning": "evidence"}),
        (
            "fusion_hand_tuned",
            False,
            {"tuning": "manual", "components": 4, "cross_calibration": "off"},
        ),
    ],
)
def test_strun(
    tmp_path, products, scene, gaussian_psfs, observe, monkeypatch, name, moving, expected
):
    observe(moving=moving)
    psfs = [f"--{key}={value}" for key, value in gaussian_psfs.items()]
    config = str(CONFIGS / f"{name}.asdf")
    # as strun does, in this process
    monkeypatch.chdir(tmp_path)
    Step.from_cmdline([config, "a_asn.json", *psfs, "--psf_size=1"])
    with FusedCubeModel(tmp_path / "jw03_fused_s3d.fits") as result:
        assert result.meta.cal_step.fusion == "COMPLETE"
        for key, value in expected.items():
            assert getattr(result.meta.fusion, key) == value
        assert result.meta.fusion.images == 2
        grid = read_cube(result).grid
        truth = scene.cube(grid.wcs, grid.shape, WAVE, products.imager_sigma)
        assert psnr(truth, result.data, result.dq == 0) > 44


def test_all_files_are_run():
    run = {"fusion", "fusion_fixed_target", "fusion_moving_target", "fusion_hand_tuned"}
    elsewhere = {"fusion_validation", "fusion_adaptive_trace_model"}
    pipelines = {path.stem for path in CONFIGS.glob("fusion_pipeline*.asdf")}
    pipelines |= {"fusion_spec2", "fusion_spec3", "fusion_tso3"}
    assert {path.stem for path in CONFIGS.glob("fusion*.asdf")} <= run | elsewhere | pipelines
