"""The commands of ``jwst-fusion`` beside ``psf``: simulate, associate, configs, doctor, demo."""

import pytest

from jwst_fusion.command import doctor
from jwst_fusion.command import main as cli
from jwst_fusion.command.configs import config_path, installed_configs


def test_simulate_associate_and_fuse(tmp_path, capsys, monkeypatch):
    from jwst_fusion.associations import collect_members

    folder = tmp_path / "sim"
    assert cli.main(["simulate", str(folder), "--cube", "--filters", "F212N", "F182M"]) == 0
    said = capsys.readouterr()
    assert "fusion_asn.json written: strun fusion " in said.out
    members = collect_members(folder / "fusion_asn.json")
    assert (len(members.cubes), len(members.images)) == (1, 2)

    out = tmp_path / "asn"
    assert cli.main(["associate", str(folder), "--output", str(out), "--dry-run"]) == 0
    assert not out.exists()
    assert cli.main(["associate", str(folder), "--output", str(out)]) == 0
    said = capsys.readouterr().out
    assert "1 cube, 2 images (F182M, F212N)" in said
    (path,) = out.glob("*_fusion_asn.json")
    members = collect_members(path)
    assert (len(members.cubes), len(members.images)) == (1, 2)
    assert members.product_name == "jw09999-o001_t001_nirspec_g235h-f170lp"


@pytest.mark.parametrize(
    "words",
    [
        ["simulate", "x", "--exposures", "9"],
        ["simulate", "x", "--cube", "--filters", "F999W"],
        ["associate", "no_such_folder"],
        ["associate", ".", "--min-coverage", "2"],
        ["configs", "no_such_file"],
        ["demo", "--psf-source", "none"],
    ],
)
def test_bad_input_is_one_line_and_status_2(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.main(words)
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert "error:" in capsys.readouterr().err.strip().splitlines()[-1]


def test_nothing_to_associate(tmp_path, capsys):
    (tmp_path / "a.fits").write_bytes(b"junk")
    assert cli.main(["associate", str(tmp_path), "--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "Nothing can be fused." in said
    assert "is truncated or not FITS" in said


def test_configs_are_found_by_name(capsys):
    assert cli.main(["configs"]) == 0
    said = capsys.readouterr().out
    for name, path in installed_configs().items():
        assert f"\n{name}\n" in f"\n{said}"
        assert cli.main(["configs", name]) == 0
        assert capsys.readouterr().out.strip() == str(path)
    assert config_path("fusion.asdf") == config_path("fusion")


def test_doctor_says_what_is_missing(capsys, monkeypatch, tmp_path):
    assert cli.main(["doctor"]) == 0
    assert "Steps can run." in capsys.readouterr().out
    for name in ("CRDS_PATH", "CRDS_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STPSF_PATH", str(tmp_path))
    states = {what: state for state, what, _ in doctor.examine()}
    assert states["CRDS"] == states["data of STPSF"] == "note"
    assert cli.main(["doctor"]) == 0


def test_doctor_fails_where_a_package_is_missing_or_old(capsys, monkeypatch):
    class Distribution:
        requires = ("no-such-package>=1", "numpy>=999", "pytest>=1; extra == 'test'")

    monkeypatch.setattr(doctor, "distribution", lambda name: Distribution)
    assert cli.main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "pip install 'no-such-package>=1'" in said
    assert "but >=999 is needed" in said
    assert "pytest>=1" not in said
    assert "Steps cannot run." in said


def test_demo_runs_what_it_is_told(monkeypatch, tmp_path):
    from jwst_fusion.command import demo_results
    from jwst_fusion.command import demo_run as demo

    calls = []
    monkeypatch.setattr(demo, "run_demo", lambda *args, **options: calls.append((args, options)))
    monkeypatch.setattr(demo_results, "print_table", lambda result: None)
    assert cli.main(["demo", "--output", str(tmp_path), "--oversample", "3"]) == 0
    assert calls == [((str(tmp_path),), {"oversample": 3.0, "psf_source": "aperture"})]


@pytest.fixture
def mirror(tmp_path):
    """An archive as that of STPSF's data files, with next to nothing in it."""
    import tarfile

    inside = tmp_path / "made" / "stpsf-data"
    inside.mkdir(parents=True)
    (inside / "version.txt").write_text("2.1.0\n")
    with tarfile.open(tmp_path / "mirror.tar.gz", "w:gz") as packed:
        packed.add(inside, "stpsf-data")
    return tmp_path / "mirror.tar.gz"


def test_psf_fetch_gets_the_data_from_a_mirror(mirror, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STPSF_PATH", "elsewhere")
    folder = tmp_path / "data" / "stpsf"
    words = ["psf", "fetch", "--output", str(folder), "--source"]
    assert cli.main([*words, mirror.as_uri()]) == 0
    said = capsys.readouterr().out
    assert (folder / "version.txt").read_text() == "2.1.0\n"
    assert f"export STPSF_PATH={folder}" in said
    assert [one.name for one in folder.parent.iterdir()] == ["stpsf"]
    # Nothing is overwritten, and what is no such archive leaves nothing behind.
    assert cli.main([*words, str(mirror)]) == 2
    assert "has files already" in capsys.readouterr().err
    words[3] = str(tmp_path / "other")
    for bad, text in ((tmp_path / "made" / "stpsf-data" / "version.txt", "not an archive"),):
        assert cli.main([*words, str(bad)]) == 2
        assert text in capsys.readouterr().err
    assert cli.main([*words, "no-such-file"]) == 2
    assert "neither an address nor a file" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_doctor_asks_and_tries_to_write(monkeypatch, tmp_path):
    monkeypatch.setenv("CRDS_PATH", str(tmp_path))
    monkeypatch.setenv("CRDS_SERVER_URL", "http://127.0.0.1:9")
    (state, _, text), *_ = doctor._crds()
    assert state == "note"
    assert "does not answer" in text
    monkeypatch.setenv("CRDS_SERVER_URL", "https://crds-serverless-mode.stsci.edu")
    assert next(doctor._crds())[0] == "ok"
    monkeypatch.setattr(doctor, "_can_write", lambda folder: False)
    assert "cannot be written" in next(doctor._crds())[2]
    found = {what: text for _, what, text in doctor.examine()}
    assert "cannot be written" in found["PSF cache"]
    assert "cannot be written" in found["working folder"]


def test_doctor_says_how_to_get_stpsf(monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    found = {what: text for _, what, text in doctor._psf_data()}
    assert "pip install 'jwst_fusion[psf]'" in found["stpsf"]
