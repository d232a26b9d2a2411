"""Stand-ins for PSFs and filter curves in the verdict of a report."""

from types import SimpleNamespace

import pytest

from jwst_fusion.report.page import Finding
from jwst_fusion.report.stand_ins import with_stand_ins

FAULT = Finding("offset", "fault", "an offset", "large")


@pytest.mark.parametrize(
    ("source", "curve", "words"),
    [
        ("webbpsf", "STPSF data 2.1", ()),
        ("aperture", "STPSF data 2.1", ("aperture model",)),
        ("webbpsf", "nominal half-power wavelengths", ("nominal (F200W)",)),
        ("aperture", "nominal half-power wavelengths", ("aperture model", "nominal (F200W)")),
    ],
)
def test_stand_ins_turn_a_good_verdict_into_a_caution(source, curve, words):
    rows = [{"filter": "F200W", "throughput": curve}]
    product = SimpleNamespace(header={"FUSPSF": source}, tables={"filters": rows})
    (level, sentence), found = with_stand_ins(("good", "All agrees."), [], product)
    assert level == ("caution" if words else "good")
    assert len(found) == bool(words)
    assert all(word in sentence for word in words)
    # What is worse stays first, and is what the verdict says.
    (level, sentence), found = with_stand_ins(("fault", "No."), [FAULT], product)
    assert (level, sentence, found[0]) == ("fault", "No.", FAULT)
