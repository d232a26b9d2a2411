"""Settings of the process that several threads change together."""

import gc
import threading
import warnings

import pytest

from jwst_fusion.process import without_garbage_collection, without_warnings


@pytest.fixture(params=[without_garbage_collection, without_warnings])
def context(request):
    return request.param


def state():
    return gc.isenabled(), list(warnings.filters)


def test_settings_are_back_after_nested_use_and_errors(context):
    before = state()
    with context():
        changed = state()
        with pytest.raises(ZeroDivisionError), context():
            1 / 0  # noqa: B018
        assert state() == changed
    assert changed != before
    assert state() == before


def test_the_last_of_several_threads_restores(context):
    before = state()
    entered, leave, seen = threading.Event(), threading.Event(), []

    def other():
        with context():
            entered.set()
            leave.wait(10)
            seen.append(state())

    thread = threading.Thread(target=other)
    with context():
        changed = state()
        thread.start()
        assert entered.wait(10)
    # The thread that came first has left, the other is still within.
    assert state() == changed
    leave.set()
    thread.join()
    assert seen == [changed]
    assert state() == before


def test_collection_that_was_off_stays_off():
    gc.disable()
    try:
        with without_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_no_warning_is_shown():
    with without_warnings():
        warnings.warn("of a library", UserWarning, stacklevel=1)
