import pytest

from jwst_fusion.bandpass import NIRCAM_FILTERS, NIRSPEC_GAPS, SYMMETRIC_RANGES, fusable_filters

# Table 3 of Marquis et al. (2026), typed in a second time.
TABLE_3 = """
0.97 1.27  G140H/F070LP F115W
0.97 1.355 G140H/F100LP F115W
1.49 1.89  G140H/F100LP F162M F164N
1.66 2.3   G235H/F170LP F182M F187N F200W F210M F212N
2.87 3.98  G395H/F290LP F300M F323N F335M F356W F360M
4.35 5.1   G395H/F290LP F460M F466N F470N
"""
ROWS = [line.split() for line in TABLE_3.strip().splitlines()]
# Where a threshold on the coverage of the nominal band decides otherwise than the table.
BY_COVERAGE = {
    "1.27": {"F115W": False},
    "1.89": {"F187N": True},
    "3.98": {"F300M": False},
    "5.1": {"F480M": True},
}


def test_ranges_are_those_of_the_table():
    found = [
        [f"{one.low:g}", f"{one.high:g}", f"{one.grating}/{one.blocking_filter}", *one.filters]
        for one in SYMMETRIC_RANGES
    ]
    assert found == ROWS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_filters_in_each_range_are_those_of_the_table(row):
    low, high, _, *expected = row
    usable, reasons = fusable_filters(float(low), float(high))
    assert list(usable) == expected
    assert set(usable) | set(reasons) == set(NIRCAM_FILTERS)
    assert not set(usable) & set(reasons)
    # What the wavelength axis of a cube gives is not the rounded number of the table.
    assert fusable_filters(float(low) + 0.003, float(high) - 0.003)[0] == usable


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_coverage_alone_agrees_with_the_table_but_for_four_filters(row):
    low, high, _, *listed = row
    expected = set(listed)
    for name, usable in BY_COVERAGE.get(high, {}).items():
        (expected.add if usable else expected.remove)(name)
    assert set(fusable_filters(float(low), float(high), minimum=0.98)[0]) == expected


def test_reasons_say_why_not():
    _, reasons = fusable_filters(1.66, 3.17)
    assert "lies outside" in reasons["F115W"]
    assert "reaches beyond" in reasons["F356W"]
    assert "gap" in reasons["F250M"]
    _, reasons = fusable_filters(4.35, 5.1)
    assert "do not list it there" in reasons["F480M"]
    assert "reaches beyond" in reasons["F444W"]


def test_other_ranges_ask_for_the_whole_band():
    usable, _ = fusable_filters(1.66, 3.17)
    assert usable == ("F182M", "F187N", "F200W", "F210M", "F212N", "F300M")
    # F277W and F250M lie across the gap that only the high-resolution gratings have.
    whole, _ = fusable_filters(1.66, 3.17, gaps=())
    assert set(whole) - set(usable) == {"F250M", "F277W"}
    assert fusable_filters(0.6, 5.3, gaps=())[0] == tuple(NIRCAM_FILTERS)
    assert fusable_filters(4.35, 5.1, gaps=())[0][-1] == "F480M"
    assert fusable_filters(1.66, 2.3, gaps=[list(gap) for gap in NIRSPEC_GAPS])[0] == usable[:5]


def test_only_the_filters_asked_for_are_judged():
    usable, reasons = fusable_filters(1.66, 2.3, filters=["f182m", "F115W", "F182M"])
    assert usable == ("F182M",)
    assert list(reasons) == ["F115W"]
    assert fusable_filters(1.66, 2.3, filters="F210M") == (("F210M",), {})
    assert fusable_filters(1.66, 2.3, filters=["F115W"], minimum=0.0)[0] == ()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"low": 2.0, "high": 1.0}, "low and high must"),
        ({"low": float("nan"), "high": 1.0}, "low and high must"),
        ({"low": 1.0, "high": 2.0, "minimum": 2.0}, "minimum must"),
        ({"low": 1.0, "high": 2.0, "filters": ["F18M"]}, "filters: 'F18M'.* did you mean F182M"),
        ({"low": 1.0, "high": 2.0, "filters": ["F770W"]}, "filters: 'F770W' is not .* of NIRCAM"),
    ],
)
def test_bad_arguments_are_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        fusable_filters(**arguments)
