"""``jwst-fusion simulate`` and ``compare``: settings, channels, the truth on disk."""

import numpy as np
import pytest
from astropy.io import fits
from stpipe._cli import strun

from jwst_fusion.bandpass.nominal import MIRI_FILTERS
from jwst_fusion.command import main as cli
from jwst_fusion.command import simulate
from jwst_fusion.command.compare import compare_with_truth
from jwst_fusion.psf.instruments import MRS_BANDS
from jwst_fusion.simulation.scene_file import ObservedTruth, read_truth, write_truth
from jwst_fusion.simulation.scenes import nebula, single_star


def test_channels_have_the_light_of_lines_narrower_than_they_are():
    scene = nebula(pixel_scale=0.1)
    channels = np.linspace(1.66, 2.32, 330)
    step = channels[1] - channels[0]
    recorded = scene.integrated(channels)
    inside = (scene.wavelength > channels[0] - step / 2) & (
        scene.wavelength < channels[-1] + step / 2
    )
    whole = np.trapezoid(scene.spectra[:, inside], scene.wavelength[inside], axis=1)
    np.testing.assert_allclose(recorded.spectra.sum(axis=1) * step, whole, rtol=2e-3)
    sampled = scene.spectrum(channels)
    assert np.max(np.abs(recorded.spectra[4] / sampled[4] - 1)) > 0.3  # lines of hydrogen
    with pytest.raises(ValueError, match="at least two"):
        scene.integrated(channels[:1])


def test_the_truth_is_the_same_after_a_round_trip(tmp_path):
    scene = single_star(field=2.0, pixel_scale=0.05)
    path = write_truth(tmp_path / "truth.fits", ObservedTruth(scene, "SHORT", 77.0))
    with fits.open(path) as hdus:
        found = read_truth(hdus, "truth.fits")
        assert (found.imager, found.roll) == ("SHORT", 77.0)
        assert found.scene.sources == scene.sources
        np.testing.assert_array_equal(found.scene.spectra, scene.spectra)
        del hdus["MAPS"]
        with pytest.raises(ValueError, match=r"truth.fits is not a whole truth file"):
            read_truth(hdus, "truth.fits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cube of a setting beyond the default one, its image and its truth."""
    path = tmp_path_factory.mktemp("sim") / "long"
    words = ["simulate", str(path), "--cube", "--grating", "g395h", "--filters", "F356W"]
    assert cli.main([*words, "--scene", "star"]) == 0
    return path


def test_long_wave_settings_are_labelled_as_they_are(folder):
    (cube,) = folder.glob("*_g395h-f290lp_s3d.fits")
    with fits.open(cube) as hdus:
        assert (hdus[0].header["GRATING"], hdus[0].header["FILTER"]) == ("G395H", "F290LP")
        header = hdus["SCI"].header
        assert 2.87 < header["CRVAL3"] < 3.135
        assert header["CRVAL3"] + header["CDELT3"] * (header["NAXIS3"] - 1) > 3.981
    (image,) = folder.glob("*_clear-f356w_i2d.fits")
    with fits.open(image) as hdus:
        assert hdus[0].header["CHANNEL"] == "LONG"
        assert hdus["SCI"].header["CDELT1"] * 3600 == pytest.approx(0.063)
    assert (folder / "fusion_asn.json").is_file()
    assert cli.main(["associate", str(folder), "--dry-run"]) == 0


def test_compare_prints_and_draws(folder, tmp_path, capsys):
    truth = folder / "jw09999-o001_t001_truth.fits"
    (cube,) = folder.glob("*_s3d.fits")
    with fits.open(cube) as hdus, fits.open(truth) as known:
        header = hdus["SCI"].header.copy()
        wavelength = header["CRVAL3"] + header["CDELT3"] * np.arange(header["NAXIS3"])
        exact = read_truth(known, "truth").cube(header, wavelength)
        noise = 0.01 * np.random.default_rng(1).standard_normal(exact.shape)
        hdus["SCI"].data = (exact + noise).astype("f4")
        hdus["ERR"].data[:] = 0.01
        hdus[0].header["FUSCUBE"] = cube.name
        hdus.writeto(tmp_path / "x_fused_s3d.fits")
    fused = tmp_path / "x_fused_s3d.fits"
    assert cli.main(["compare", str(fused), str(truth), "--cube", str(cube)]) == 0
    said = capsys.readouterr().out
    assert "cube, interpolated" in said
    assert (tmp_path / "x_fused_s3d_compared.png").is_file()
    found = compare_with_truth(fused, truth, cube=cube)
    assert found["quality"]["fused cube"]["PSNR"] > found["quality"]["cube, interpolated"]["PSNR"]
    assert found["within"] == pytest.approx(0.954, abs=0.005)
    assert found["brightest"]["pull"] == pytest.approx(1, abs=0.05)
    # Stars that are a tenth too bright are seen, whatever the mean over all voxels says.
    light = exact.mean(axis=0)
    bright = light >= np.quantile(light, 0.97)
    with fits.open(fused) as hdus:
        hdus["SCI"].data[:, bright] *= 1.1
        hdus.writeto(tmp_path / "y_fused_s3d.fits")
    wrong = compare_with_truth(tmp_path / "y_fused_s3d.fits", truth, cube=cube)["brightest"]
    assert wrong["spectra"] == pytest.approx(0.1, rel=0.1)
    assert not wrong["line"] < 0.05  # NaN without a line
    assert wrong["pull"] > 5 * found["brightest"]["pull"]
    # A true cube serves as well.
    assert compare_with_truth(fused, fused)["quality"]["fused cube"]["SAM"] < 1e-4
    assert cli.main(["compare", str(fused), str(tmp_path / "no.fits")]) == 2
    assert "no.fits does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--filters", "F999W"], "NIRCam has F070W"),
        (["--grating", "G395H", "--filters", "F200W"], "G395H/F290LP 2.87 to 5.27 um"),
        (["--grating", "G999H"], "known are G140M/F070LP"),
        (["--grating", "PRISM"], "give --cube"),
        (["--instrument", "miri", "--filters", "F200W"], "the imager of MIRI has F560W"),
    ],
)
def test_settings_that_do_not_exist(words, said, tmp_path, capsys):
    assert cli.main(["simulate", str(tmp_path / "x"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("span", [(0.6, 5.3), (2.87, 5.27), (11.5, 18.0)])
def test_stars_of_all_bands_are_as_bright(span):
    for name in ("star", "crowded"):
        scene = simulate._scene(name, *span, 0.1)
        source = scene.sources[0]
        spectrum = source.flux * scene.spectra[source.component]
        middle = np.argmin(np.abs(scene.wavelength - np.mean(span)))
        near = spectrum[middle - 5 : middle + 6].max()
        assert near == pytest.approx(4.0 if name == "star" else 1.0, rel=0.05)


@pytest.mark.parametrize("channel", "1234")
def test_scenes_of_miri_reach_no_further_than_its_imager(channel):
    ends = [one[1:] for name, one in MRS_BANDS.items() if name[0] == channel]
    blue, red = min(ends)[0], max(ends)[1]
    names = [name for name, (low, high) in MIRI_FILTERS.items() if low > blue and high < red]
    low, high = simulate._miri_span(names, blue, red)
    assert 4.8 <= low <= blue < red <= high <= 28.8


@pytest.mark.parametrize("word", ["--rank=-3", "--search=abc", "--alignment=abc"])
def test_a_wrong_parameter_ends_strun_without_a_traceback(word, folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["strun", "fusion", str(folder / "fusion_asn.json"), word])
    with pytest.raises(SystemExit) as end:
        strun.main()
    assert end.value.code == 1
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    assert word.split("=")[0][2:] in said.err + said.out


def test_what_is_not_fused_is_not_saved_as_fused(folder, tmp_path, caplog):
    from jwst_fusion.step import FusionStep

    result = FusionStep.call(
        str(folder / "fusion_asn.json"),
        filters=["F444W"],
        save_results=True,
        output_dir=str(tmp_path),
    )
    assert result.meta.cal_step.fusion == "SKIPPED"
    assert list(tmp_path.glob("*.fits")) == []
    assert "NOT FUSED: no image can be used" in caplog.records[-1].getMessage()


def test_compare_fused_counts_with_their_truth(tmp_path, capsys):
    """A cube of photons by energy: the truth itself, and half of it."""
    rng = np.random.default_rng(3)
    truth = rng.uniform(50, 60, (40, 6, 7)).astype("f4")
    truth[20] *= 3
    header = fits.Header({"CTYPE3": "ENER", "CUNIT3": "keV", "CRPIX3": 1.0, "CRVAL3": 0.6})
    header["CDELT3"], header["CDELT1"] = 0.01, -0.001
    fits.PrimaryHDU(truth, header).writeto(tmp_path / "truth.fits")
    error = fits.ImageHDU(np.full_like(truth, 1.0), name="ERR")
    for name, factor in (("same", 1 + 1e-6), ("half", 0.5)):
        cube = fits.ImageHDU(factor * truth, header, name="SCI")
        fits.HDUList([fits.PrimaryHDU(), cube, error]).writeto(tmp_path / f"{name}.fits")
    same = compare_with_truth(tmp_path / "same.fits", tmp_path / "truth.fits")
    assert same["unit"] == "keV"
    assert same["quality"]["fused cube"]["PSNR"] > 100
    assert same["within"] == 1.0
    words = ["compare", str(tmp_path / "half.fits"), str(tmp_path / "truth.fits")]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "Mean spectrum: median error 50.000 %" in said
    assert "strongest line (0.8000 keV) by 50.00 %" in said
    assert (tmp_path / "half_compared.png").is_file()
    fits.PrimaryHDU(truth[1:], header).writeto(tmp_path / "short.fits")
    with pytest.raises(ValueError, match="not that of the fused cube"):
        compare_with_truth(tmp_path / "same.fits", tmp_path / "short.fits")
