"""What a notebook shows of products: complete, incomplete and hostile ones."""

import base64
import io
import re

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from jwst_fusion.datamodels import FusedCubeModel
from jwst_fusion.datamodels.hifred_cube import HifredCubeModel
from jwst_fusion.datamodels.notebook_view import view_html
from jwst_fusion.products.fits_product import FitsProduct

HOSTILE = '<script>alert("x")</script>'


@pytest.fixture
def product():
    model = FusedCubeModel((130, 6, 8))
    y, x = np.indices((6, 8))
    model.data = np.broadcast_to(np.exp(-((x - 6) ** 2 + (y - 1) ** 2)), (130, 6, 8)).astype("f4")
    model.data[:, 0, 0] = np.nan
    model.meta.filename = "a_fused_s3d.fits"
    table = np.zeros(2, model.get_dtype("filter_table"))
    table["filter"], table["calibration"], table["psnr"] = ["F182M", "F212N"], 1.0123, 52.34
    table["offset_x"], table["chi2"] = 0.0042, np.nan
    model.filter_table = table
    return model


def picture_of(text):
    (data,) = re.findall(r'base64,([^"]+)"', text)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"), float)


def test_verdict_picture_filters_and_report(product, tmp_path):
    report = tmp_path / "a_fused_report.html"
    assert "jwst-fusion report" in product._repr_html_()  # how to get a verdict
    product.note_verdict("caution", "Usable with care: look at 2 points below.", report)
    assert str(report) not in product._repr_html_()  # there is no such file yet
    report.write_text("page")
    text = product._repr_html_()
    assert "! Usable with care" in text
    assert report.as_uri() in text
    assert "<td>F212N</td><td>1.0123 ± 0.0000</td><td>4.2, 0.0</td><td>52.3</td>" in text
    image = picture_of(text)
    # north up: the first row of the picture is the last one of the array
    assert np.unravel_index(image.argmax(), image.shape) == (4, 6)


def test_a_file_knows_the_verdict(product, tmp_path):
    product.note_verdict("fault", "Do not trust this cube – as it is.", tmp_path / "r.html")
    path = str(tmp_path / "a_fused_s3d.fits")
    product.save(path)
    assert fits.getheader(path)["FUSLEVEL"] == "fault"
    with FusedCubeModel(path) as again:
        text = again._repr_html_()
    assert "✗ Do not trust this cube ? as it is." in text
    assert "<code>r.html</code>, beside the product" in text


def test_texts_are_escaped(product):
    product.meta.filename = HOSTILE
    product.meta.fusion.verdict = product.meta.fusion.verdict_level = HOSTILE
    product.meta.fusion.report = HOSTILE
    product.filter_table["filter"][0] = HOSTILE[:16]
    text = product._repr_html_()
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 3  # the report: its name alone


@pytest.mark.parametrize("kind", [FusedCubeModel, HifredCubeModel])
def test_incomplete_products_are_shown(kind):
    assert "Not judged" in kind()._repr_html_()
    assert "Not judged" in kind((0, 3, 3))._repr_html_()
    empty = kind((2, 3, 4))
    empty.data[:] = np.nan
    assert "<img" not in empty._repr_html_()
    assert "<img" in kind((2, 3, 4))._repr_html_()  # all the same brightness
    odd = view_html("x", data=np.zeros(3), table=np.zeros(2, [("filter", "S3")]), level=3)
    assert "<img" not in odd
    assert "<table" not in odd


def test_fused_counts_are_shown(tmp_path):
    product = FitsProduct(fits.HDUList([fits.PrimaryHDU()]), "fused_hifred.fits")
    assert "Not judged" in product._repr_html_()
    product.note_verdict("good", "X and Y agree.", tmp_path / "r.html")
    assert "✓ X and Y agree." in product._repr_html_()
    assert product.header["HIFREPRT"] == "r.html"
