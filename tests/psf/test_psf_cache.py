import logging
import multiprocessing
import os
import time

import numpy as np
import pytest

from jwst_fusion.psf import cache, make_psf

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
        middle = bytes(content).index(np.float64(7.0).tobytes())
        content[middle + 6] ^= 1
        path.write_bytes(content)
    elif damage == "junk":
        path.write_bytes(b"not an archive at all" * 20)
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        np.savez(path, psf_0=np.zeros(3), checksum=np.array("0"))
    with caplog.at_level(logging.WARNING):
        out, found = cache.remember(KEY, arrays)
    assert not found
    assert "damaged" in caplog.text
    np.testing.assert_array_equal(out["psf_0"], arrays()["psf_0"])
    assert cache.load(KEY) is not None


def test_pickles_are_refused(caplog):
    path = cache.entry_path(KEY)
    path.parent.mkdir(parents=True)
    np.savez(path, psf_0=np.array([{"a": 1}], dtype=object), checksum=np.array("0"))
    with caplog.at_level(logging.WARNING):
        assert cache.load(KEY) is None
    assert "damaged" in caplog.text


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
    old, new = psf_cache / "part_1_a.npz", psf_cache / "part_2_b.npz"
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
    assert len(list(psf_cache.glob("psf_*.npz"))) == 20
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
