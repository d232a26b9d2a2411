"""Warnings that go into the log and into products."""

import logging

import pytest

from jwst_fusion import messages
from jwst_fusion.messages import collected_warnings, warn, warn_once

log = logging.getLogger("jwst_fusion.fusion.somewhere")


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    messages.forget_said()


def texts(found):
    return [message.text for message in found]


def test_products_have_what_was_said_while_they_were_made(caplog):
    with collected_warnings() as whole:
        warn(log, "first")
        with collected_warnings() as part:
            warn(log, "%d pixels", 3, kind="pixels")
    warn(log, "last")
    assert texts(whole) == ["first", "3 pixels"]
    assert texts(part) == ["3 pixels"]
    assert (part[0].source, part[0].kind) == ("fusion.somewhere", "pixels")
    assert caplog.messages == ["first", "3 pixels", "last"]


def test_each_product_says_once_what_holds_for_many_calls(caplog):
    for _ in range(2):
        with collected_warnings() as found:
            for number in (1, 2, 1, 1):
                warn_once(log, "curve %d", number)
        assert texts(found) == ["curve 1", "curve 2"]
    assert len(caplog.records) == 4


def test_a_part_says_what_the_whole_has_said_before_it():
    with collected_warnings() as whole:
        warn_once(log, "curve")
        with collected_warnings() as part:
            warn_once(log, "curve")
    assert texts(part) == ["curve"]
    assert texts(whole) == ["curve"]


def test_without_a_product_once(caplog):
    for _ in range(3):
        warn_once(log, "curve")
    assert caplog.messages == ["curve"]
