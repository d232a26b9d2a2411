"""Spectra of point sources in the fused cube, as a product of their own, and in the report."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from specutils import SpectrumList
from stdatamodels.jwst import datamodels

from jwst_fusion.datamodels import FusedCubeModel, SourceSpectraModel
from jwst_fusion.fusion.sources.source_list import SourceList
from jwst_fusion.fusion.sources.source_spectra import SourceSpectra
from jwst_fusion.steps import fusion
from jwst_fusion.steps.fusion import FusionStep

WAVE = np.linspace(1.66, 2.30, 33)
EAST, NORTH = np.array([-0.35, 0.42, 8.0]), np.array([0.30, -0.25, 8.0])


def made_up(observation, sky):
    """Three sources, of which the last lies beside the field."""
    x, y = observation.grid.fine.pixels(sky)
    rng = np.random.default_rng(4)
    count, depth = len(x), len(observation.cube)
    factor = rng.standard_normal((count, depth, 2))
    error = np.sqrt(np.sum(factor**2, 2) + 1)
    flux = 1000 + rng.standard_normal((count, depth))
    flux[:, 3] = np.nan
    unknown = np.full(count, 0.02)
    names = ["first", "s\u00e9cond", "beside"]
    positions = SourceList(
        x, y, unknown, 2 * unknown, np.full(count, 30.0), names, [True, False, 0]
    )
    return SourceSpectra(positions, flux, error, factor)


@pytest.fixture
def run(products, gaussian_psfs, monkeypatch, tmp_path):
    """Fuse a small observation, and give the result sources."""

    def go(*, with_sources=True, mirrored=False, **options):
        scene = products.scene()
        centre = SkyCoord(scene.ra, scene.dec, unit="deg")
        sky = centre.spherical_offsets_by(EAST * units.arcsec, NORTH * units.arcsec)
        fuse, kept = fusion.fuse_observations, {}

        def fused(*given):
            observation = fuse(*given)
            sources = made_up(observation, sky) if with_sources else None
            kept["sources"], kept["sky"] = sources, sky
            kept["area"] = observation.grid.product.scale**2 * np.deg2rad(1 / 3600) ** 2
            return replace(observation, result=replace(observation.result, sources=sources))

        monkeypatch.setattr(fusion, "fuse_observations", fused)
        cube = products.cube(scene, WAVE, shape=(13, 14), mirrored=mirrored, pa=20.0)
        image = products.image(scene, "F210M", shape=(80, 84))
        quick = {"tuning": "manual", "mu": 1e-3, "rank": 4, "psf_size": 1.0, "margin": 0.3}
        options = {"output_dir": str(tmp_path), **quick, **gaussian_psfs, **options}
        return FusionStep.call([cube, image], **options), kept

    return go


@pytest.mark.parametrize("mirrored", [False, True])
def test_spectra_are_written_as_the_pipeline_writes_them(run, tmp_path, mirrored):
    product, kept = run(mirrored=mirrored, output_file="mine.fits")
    path = tmp_path / "mine_sources_x1d.fits"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["mine_fused_s3d.fits", path.name]
    spectra, sky = kept["sources"], kept["sky"]
    to_jansky = kept["area"] * 1e6
    with datamodels.open(path) as model:
        assert type(model) is datamodels.MultiSpecModel
        assert model.meta.exposure.type == product.meta.exposure.type
        assert len(model.spec) == 2  # one lies beside the field
        for j, spec in enumerate(model.spec):
            assert spec.source_id == j + 1
            assert spec.source_type == "POINT"
            found = SkyCoord(spec.source_ra, spec.source_dec, unit="deg")
            assert found.separation(sky[j]).arcsec < 1e-6
            table = spec.spec_table
            assert np.allclose(table["WAVELENGTH"], WAVE)
            assert np.allclose(table["FLUX"], spectra.flux[j] * to_jansky, equal_nan=True)
            assert np.array_equal(table["DQ"] > 0, np.isnan(spectra.flux[j]))
            known = table["DQ"] == 0
            assert np.allclose(table["FLUX_ERROR"][known], (spectra.error[j] * to_jansky)[known])
            # the position in the pixels of the fused cube is the same place on the sky
            ra, dec, _ = product.meta.wcs(spec.extraction_x, spec.extraction_y, 0)
            assert SkyCoord(ra, dec, unit="deg").separation(sky[j]).arcsec < 1e-4
    with SourceSpectraModel(path) as model:
        assert list(model.source_table["name"]) == ["first", "s?cond"]
        assert list(model.source_table["given"]) == [1, 0]
        assert model.source_table.columns["x_error"].unit == "pixel"
        factor = spectra.covariance_factor[:2] * to_jansky
        assert np.allclose(model.covariance_factor, factor, rtol=1e-5)
    with FusedCubeModel(tmp_path / "mine_fused_s3d.fits") as model:
        assert np.allclose(model.source_flux, spectra.flux[:2] * to_jansky, equal_nan=True)


def test_specutils_reads_the_spectra(run, tmp_path):
    _, kept = run(output_file="mine.fits")
    with warnings.catch_warnings():
        # units of the pipeline's own columns, such as Jy^2
        warnings.simplefilter("ignore")
        found = SpectrumList.read(tmp_path / "mine_sources_x1d.fits", format="JWST x1d multi")
    assert len(found) == 2
    assert found[0].flux.unit == "Jy"
    assert found[0].spectral_axis.unit == "um"
    ratio = found[1].uncertainty.array / (kept["sources"].error[1] * kept["area"] * 1e6)
    assert np.allclose(ratio[np.isfinite(ratio)], 1)


def test_nothing_is_written_without_sources_or_without_results(run, tmp_path):
    product, _ = run(with_sources=False, output_file="mine.fits")
    assert not product.hasattr("source_table")
    assert [one.name for one in tmp_path.iterdir()] == ["mine_fused_s3d.fits"]
    product, _ = run()
    assert len(product.source_table) == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_the_report_shows_the_sources(run, tmp_path):
    run(output_file="mine.fits", save_report=True)
    text = (tmp_path / "mine_fused_report.html").read_text()
    assert "Point sources" in text
    assert "first" in text
    with fits.open(tmp_path / "mine_fused_s3d.fits") as hdus:
        assert "FUSSOURCES" in hdus
