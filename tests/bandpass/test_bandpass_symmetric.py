import pytest

from jwst_fusion.bandpass import NIRCAM_FILTERS, SYMMETRIC_RANGES, fusable_filters

BEYOND_THE_TABLE = {1.49: {"F187N"}, 4.35: {"F480M"}}


@pytest.mark.parametrize("entry", SYMMETRIC_RANGES, ids=lambda e: f"{e.low}-{e.high}")
def test_ranges_of_the_paper(entry):
    usable, reasons = fusable_filters(entry.low, entry.high)
    assert set(usable) - BEYOND_THE_TABLE.get(entry.low, set()) == set(entry.filters)
    assert set(usable) | set(reasons) == set(NIRCAM_FILTERS)


def test_reasons_tell_outside_beyond_and_gap_apart():
    _, reasons = fusable_filters(1.66, 3.17)
    assert "lies outside" in reasons["F115W"]
    assert "reaches beyond" in reasons["F356W"]
    assert "gap" in reasons["F250M"]
    usable, _ = fusable_filters(1.66, 3.17, gaps=())
    assert "F250M" in usable
    assert fusable_filters(1.66, 2.3, filters=["f182m"])[0] == ("F182M",)


@pytest.mark.parametrize(
    "arguments", [{"low": 2.0, "high": 1.0}, {"low": 1.0, "high": 2.0, "minimum": 2.0}]
)
def test_bad_ranges(arguments):
    with pytest.raises(ValueError, match="must"):
        fusable_filters(**arguments)
