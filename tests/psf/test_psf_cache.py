import json
import logging
import multiprocessing
import os
import shutil
import signal
import time

import numpy as np
import pytest
from astropy.io import fits

from jwst_fusion.psf import cache, make_psf
from jwst_fusion.psf import native as native_module
from jwst_fusion.psf.native import Native

KEY = {"source": "test", "wavelength": [2.0]}


def arrays():
    return {"psf_0": np.arange(20.0).reshape(4, 5), "scale": np.array([0.03])}


def test_round_trip_and_one_computation():
    calls = []

    def compute():
        calls.append(1)
        return arrays()

    first, found = cache.remember(KEY, compute)
    second, found_again = cache.remember(KEY, compute)
    assert (found, found_again, len(calls)) == (False, True, 1)
    np.testing.assert_array_equal(first["psf_0"], second["psf_0"])
    assert cache.load({**KEY, "wavelength": [2.1]}) is None


@pytest.mark.parametrize("damage", ["truncated", "flipped", "junk", "empty", "other content"])
def test_damaged_entry_is_reported_and_made_again(damage, caplog):
    cache.store(KEY, arrays())
    path = cache.entry_path(KEY)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        middle = bytes(content).index(np.array(7.0, ">f8").tobytes())
        content[middle + 1] ^= 1
        path.write_bytes(content)
    elif damage == "junk":
        path.write_bytes(b"not an archive at all" * 20)
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        fits.PrimaryHDU(np.zeros((3, 3))).writeto(path, overwrite=True)
    with caplog.at_level(logging.WARNING):
        out, found = cache.remember(KEY, arrays)
    assert not found
    assert "damaged" in caplog.text
    np.testing.assert_array_equal(out["psf_0"], arrays()["psf_0"])
    assert cache.load(KEY) is not None


def test_entry_is_a_fits_file_that_others_can_read():
    cache.store(KEY, arrays())
    with fits.open(cache.entry_path(KEY)) as hdus:
        np.testing.assert_array_equal(hdus["PSF_0"].data, arrays()["psf_0"])
        assert json.loads(hdus["KEY"].data.tobytes()) == {"format": cache.FORMAT, **KEY}
        assert len(hdus[0].header["SHA256"]) == 64


def test_folder_that_cannot_be_written_is_no_error(tmp_path, monkeypatch, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("JWST_FUSION_CACHE", str(blocked / "cache"))
    with caplog.at_level(logging.WARNING):
        out, found = cache.remember(KEY, arrays)
    assert not found
    assert "could not be kept" in caplog.text
    assert out["scale"] == 0.03


def test_remains_of_a_killed_process_are_neither_used_nor_kept(psf_cache):
    psf_cache.mkdir()
    old, new = psf_cache / "part_1_a.fits", psf_cache / "part_2_b.npz"
    for path in (old, new):
        path.write_bytes(b"half an entry")
    os.utime(old, (time.time() - 2e5,) * 2)
    assert cache.load(KEY) is None
    cache.store(KEY, arrays())
    assert cache.load(KEY) is not None
    assert not old.exists()
    assert new.exists()


def _fill(barrier, results):
    barrier.wait()
    for seed in range(20):
        key = {"seed": seed}
        content = {"psf_0": np.full((40, 40), float(seed))}
        out, _ = cache.remember(key, lambda content=content: content)
        results.put(bool(np.all(out["psf_0"] == seed)))


def test_two_processes_fill_the_same_cache(psf_cache):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_fill, args=(barrier, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    outcomes = [results.get(timeout=30) for _ in range(40)]
    for worker in workers:
        worker.join(30)
    assert all(outcomes)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(list(psf_cache.glob("psf_*.fits"))) == 20
    assert not list(psf_cache.glob("part_*"))


def test_make_psf_uses_the_cache_for_every_grid(psf_cache):
    common = {"wavelength": [2.0, 2.1], "pixel_scale": 0.03, "npix": 21, "source": "aperture"}
    first = make_psf("NIRCAM", **common)
    again = make_psf("NIRCAM", **common)
    turned = make_psf("NIRCAM", **common, angle=40.0)
    assert [p.meta["from_cache"] for p in (first, again, turned)] == [False, True, True]
    np.testing.assert_array_equal(first.data, again.data)
    assert len(list(psf_cache.iterdir())) == 1
    other = make_psf("NIRCAM", **{**common, "wavelength": [2.0, 2.2]})
    assert not other.meta["from_cache"]


def test_any_flipped_byte_is_noticed_or_harmless():
    cache.store(KEY, arrays())
    path = cache.entry_path(KEY)
    sound = path.read_bytes()
    rng = np.random.default_rng(2)
    noticed = 0
    for position in rng.integers(0, len(sound), 300):
        content = bytearray(sound)
        content[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        out = cache.load(KEY)
        noticed += out is None
        if out is not None:
            np.testing.assert_array_equal(out["psf_0"], arrays()["psf_0"])
    assert noticed == 300


def test_entry_of_another_configuration_under_the_same_name_is_not_used(caplog):
    other = {**KEY, "wavelength": [2.1]}
    cache.store(other, arrays())
    shutil.copy(cache.entry_path(other), cache.entry_path(KEY))
    with caplog.at_level(logging.WARNING):
        assert cache.load(KEY) is None
    assert "another configuration" in caplog.text


def test_entries_say_what_they_hold_and_can_be_removed():
    assert cache.entries() == []
    cache.store(KEY, arrays())
    cache.store({**KEY, "source": "other"}, arrays())
    junk = cache.cache_folder() / "psf_junk.fits"
    junk.write_bytes(b"junk")
    old = cache.cache_folder() / "psf_old.npz"
    np.savez(old, psf_0=np.zeros(3))
    found = {entry.path.name: entry for entry in cache.entries()}
    assert len(found) == 4
    own = found[cache.entry_path(KEY).name]
    assert own.key == {"format": cache.FORMAT, **KEY}
    assert own.fault == ""
    assert own.size == own.path.stat().st_size
    assert "damaged" in found["psf_junk.fits"].fault
    assert "another version" in found["psf_old.npz"].fault
    cache.remove([own, found["psf_junk.fits"]])
    assert {entry.path.name for entry in cache.entries()} == set(found) - {
        own.path.name,
        "psf_junk.fits",
    }
    cache.remove([own])


def _killed_while_writing(key):
    def kill(_descriptor):
        os.kill(os.getpid(), signal.SIGKILL)

    # written, but not yet under the name of an entry
    cache.os.fsync = kill
    cache.remember(key, arrays)


def test_process_killed_while_writing_leaves_no_entry_and_no_lock(psf_cache):
    worker = multiprocessing.get_context("fork").Process(target=_killed_while_writing, args=(KEY,))
    worker.start()
    worker.join(30)
    assert worker.exitcode == -signal.SIGKILL
    assert [path.name.startswith("part_") for path in psf_cache.iterdir()] == [True]
    out, found = cache.remember(KEY, arrays)
    assert not found
    np.testing.assert_array_equal(out["psf_0"], arrays()["psf_0"])
    assert cache.remember(KEY, arrays)[1]
    # the next one to write has taken away what was left
    assert list(psf_cache.iterdir()) == [cache.entry_path(KEY)]


def _fill_same(barrier, results):
    barrier.wait()
    psf = make_psf("NIRCAM", wavelength=[2.0], pixel_scale=0.05, npix=11, source="aperture")
    results.put((float(psf.data.max()), psf.meta["from_cache"]))


def test_two_processes_make_the_same_psf(psf_cache):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_fill_same, args=(barrier, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    peaks = {results.get(timeout=60)[0] for _ in range(2)}
    for worker in workers:
        worker.join(30)
    assert len(peaks) == 1
    assert len(cache.entries()) == 1
    assert cache.entries()[0].fault == ""
    _fill_same(context.Barrier(1), results)
    assert results.get(timeout=30)[1]


def aperture_key(**change):
    given = {
        "source": "aperture",
        "channel": "NIRCAM_SW",
        "detector": "NRCB1",
        "filter_name": None,
        "position": None,
        "opd": None,
        "nodes": np.array([1.8, 2.0]),
        "side": 2.0,
    }
    return Native(**{**given, **change}).key()


@pytest.mark.parametrize(
    "change",
    [
        {"channel": "NIRSPEC"},
        {"channel": "MIRI_MRS"},
        {"nodes": np.array([1.8, 2.0001])},
        {"nodes": np.array([1.8, 1.9, 2.0])},
        {"side": 2.5},
    ],
)
def test_what_shapes_the_aperture_model_changes_its_entry(change):
    assert cache.entry_path(aperture_key(**change)) != cache.entry_path(aperture_key())


def test_versions_change_the_entry(monkeypatch):
    first = cache.entry_path(aperture_key())
    with monkeypatch.context() as patch:
        patch.setattr(native_module.aperture, "MODEL_VERSION", -1)
        assert cache.entry_path(aperture_key()) != first
    with monkeypatch.context() as patch:
        patch.setattr(native_module.importlib.metadata, "version", lambda _name: "0.0")
        assert cache.entry_path(aperture_key()) != first
    assert cache.entry_path(aperture_key()) == first


@pytest.fixture
def webbpsf_data(tmp_path, monkeypatch):
    """Files with the names of STPSF's, enough for keys."""
    folder = tmp_path / "stpsf-data"
    names = [
        "JWST_OTE_OPD_example.fits",
        "si_zernikes_isim_cv3.fits",
        "jwst_pupil_RevW_npix1024.fits.gz",
        "NIRCam/OPD/field_dep_table_nircam.fits",
        "NIRCam/optics/nircam_defocus_vs_wavelength.fits",
        "NIRCam/filters.tsv",
        "NIRSpec/OPD/field_dep_table_nirspec.fits",
        "NIRSpec/filters.tsv",
    ]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (folder / "version.txt").write_text("2.1.0")
    monkeypatch.setenv("STPSF_PATH", str(folder))
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"source": "aperture"},
        {"detector": "NRCA3"},
        {"filter_name": "F212N"},
        {"position": (100, 900)},
        {"opd": "none"},
        {"nodes": np.array([1.8, 2.1])},
        {"side": 3.0},
        {"channel": "NIRSPEC", "detector": "NRS1"},
    ],
)
def test_what_shapes_stpsf_psfs_changes_their_entry(change, webbpsf_data):
    plain = aperture_key(source="webbpsf")
    changed = aperture_key(**{"source": "webbpsf", **change})
    assert cache.entry_path(changed) != cache.entry_path(plain)
    assert aperture_key(source="webbpsf", filter_name="F200W") == plain
    json.dumps(plain)


@pytest.mark.parametrize(
    "name",
    [
        "version.txt",
        "JWST_OTE_OPD_example.fits",
        "si_zernikes_isim_cv3.fits",
        "jwst_pupil_RevW_npix1024.fits.gz",
        "NIRCam/OPD/field_dep_table_nircam.fits",
        "NIRCam/optics/nircam_defocus_vs_wavelength.fits",
    ],
)
def test_content_of_the_data_files_changes_the_entry(name, webbpsf_data):
    plain = aperture_key(source="webbpsf")
    (webbpsf_data / name).write_text("2.2.0 other")
    assert cache.entry_path(aperture_key(source="webbpsf")) != cache.entry_path(plain)


def test_content_of_a_wavefront_map_changes_the_entry(webbpsf_data, tmp_path):
    opd = tmp_path / "map.fits"
    opd.write_bytes(b"one")
    first = aperture_key(source="webbpsf", opd=opd)
    opd.write_bytes(b"another")
    assert cache.entry_path(aperture_key(source="webbpsf", opd=opd)) != cache.entry_path(first)


def test_version_of_stpsf_changes_the_entry(webbpsf_data, monkeypatch):
    plain = aperture_key(source="webbpsf")
    known = native_module.importlib.metadata.version
    for package in ("stpsf", "poppy", "pysiaf"):
        monkeypatch.setattr(
            native_module.importlib.metadata,
            "version",
            lambda name, package=package: "0" if name == package else known(name),
        )
        changed = aperture_key(source="webbpsf")
        assert cache.entry_path(changed) != cache.entry_path(plain), package


@pytest.mark.parametrize(
    "change",
    [
        {"angle": 40.0},
        {"pixel_scale": 0.035},
        {"npix": 19},
        {"broadening": 0.03},
        {"jitter": 20.0},
        {"pixel_kernels": [(0.05, 0.03, 10.0)]},
    ],
)
def test_output_grid_and_widening_are_right_from_a_warm_cache(change):
    common = {"wavelength": [2.0], "pixel_scale": 0.03, "npix": 21, "source": "aperture"}
    plain = make_psf("NIRCAM", **common)
    make_psf("NIRCAM", **{**common, **change})
    warm = make_psf("NIRCAM", **{**common, **change})
    direct = make_psf("NIRCAM", **{**common, **change}, use_cache=False)
    assert warm.meta["from_cache"]
    np.testing.assert_allclose(warm.data, direct.data, atol=1e-6 * direct.data.max())
    if warm.data.shape == plain.data.shape:
        assert np.abs(warm.data - plain.data).max() > 1e-3 * plain.data.max()
