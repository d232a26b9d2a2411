"""Cubes of two gratings in one association: joined, or fused as one; used again."""

import logging

import numpy as np
import pytest

from jwst_fusion.associations import make_association, write_association
from jwst_fusion.datamodels import FusedCubeModel
from jwst_fusion.step import FusionPipeline

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gratings(tmp_path_factory):
    """Association of two cubes and two images, and parameters of a quick fusion."""
    from jwst_fusion.simulation.cubes import simulate_s3d
    from jwst_fusion.simulation.observation import simulate_images
    from jwst_fusion.simulation.scenes import single_star

    folder = tmp_path_factory.mktemp("gratings")
    scene = single_star()
    files = []
    for name, grating, low, high in (
        ("x_blue_s3d.fits", "G140H", 1.68, 2.02),
        ("x_red_s3d.fits", "G235H", 1.96, 2.31),
    ):
        cube = simulate_s3d(
            scene, np.arange(low, high, 0.02), shape=(13, 14), grating=grating, filter_name="F100LP"
        )
        cube.save(str(folder / name))
        cube.close()
        files.append(str(folder / name))
    images = simulate_images(folder, scene, filters=("F182M", "F210M"))
    table = make_association(files, images, product_name="x", folder=folder)
    path = write_association(table, folder / "gratings_asn.json")
    fusion = {"psf_source": "aperture", "psf_size": 1.0, "min_coverage": 0.85, "rank": "2"}
    return str(path), {"fusion": {**fusion, "crosscal": "eroded", "margin": 0.3}}


def run(gratings, folder, /, **fusion):
    path, steps = gratings
    steps = {"fusion": {**steps["fusion"], **fusion}}
    return FusionPipeline.call(path, steps=steps, save_results=True, output_dir=str(folder))


def test_joined_and_used_again(gratings, tmp_path, offline_crds, caplog):
    caplog.set_level(logging.INFO, "jwst_fusion")
    results = run(gratings, tmp_path, save_report=True)
    names = ["x_blue_fused_s3d.fits", "x_red_fused_s3d.fits", "x_fused_s3d.fits"]
    assert [model.meta.filename for model in results] == names
    spectra = {"x_blue_sources_x1d.fits", "x_red_sources_x1d.fits"}
    assert {path.name for path in tmp_path.glob("*.fits")} == set(names) | spectra
    with FusedCubeModel(str(tmp_path / "x_fused_s3d.fits")) as joined:
        assert joined.meta.fusion.joined == 2
        assert joined.cube_table["filename"].tolist() == names[:2]
        data = joined.data.copy()
    text = (tmp_path / "x_fused_report.html").read_text(encoding="utf-8")
    for part in ("x_blue_fused_report.html", "x_red_fused_report.html"):
        assert (tmp_path / part).is_file()
        assert f'href="{part}"' in text
    caplog.clear()
    again = run(gratings, tmp_path, save_report=True)
    assert "Joined cube: used again: x_fused_s3d.fits" in caplog.text
    assert np.array_equal(again[2].data, data, equal_nan=True)
    for model in (*results, *again):
        model.close()


def test_fused_as_one(gratings, tmp_path, offline_crds):
    fused = run(gratings, tmp_path, gratings="shared")
    assert fused.meta.filename == "x_fused_s3d.fits"
    written = {path.name for path in tmp_path.glob("*.fits")}
    assert written == {"x_fused_s3d.fits", "x_sources_x1d.fits"}
    assert fused.data.shape[0] == 36
    fused.close()


def test_report_beside_the_product(gratings, tmp_path, offline_crds, caplog):
    caplog.set_level(logging.INFO, "jwst_fusion")
    run(gratings, tmp_path, gratings="shared").close()
    page = tmp_path / "x_fused_report.html"
    assert not page.exists()
    run(gratings, tmp_path, gratings="shared", save_report=True).close()
    assert page.is_file()
    caplog.clear()
    run(gratings, tmp_path, gratings="shared", save_report=True).close()
    assert "Fusion of 2 cubes: used again: x_fused_s3d.fits" in caplog.text
