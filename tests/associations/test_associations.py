import json
import subprocess
import sys

import numpy as np
import pytest
from jwst.associations import load_asn
from jwst.associations.exceptions import AssociationNotValidError
from jwst.datamodels import ModelContainer, ModelLibrary
from stdatamodels.jwst import datamodels

from jwst_fusion.associations import collect_members, make_association, write_association
from jwst_fusion.associations import rule as rule_module
from jwst_fusion.associations.rule import exptype_of_file

CUBE, IMAGES = "a_g235h_s3d.fits", ("a_f182m_i2d.fits", "a_f210m_i2d.fits")


@pytest.fixture
def folder(tmp_path):
    cube = datamodels.IFUCubeModel(data=np.ones((3, 4, 5), "f4"))
    cube.save(str(tmp_path / CUBE))
    for name in IMAGES:
        datamodels.ImageModel(data=np.ones((6, 7), "f4")).save(str(tmp_path / name))
    return tmp_path


@pytest.fixture
def association(folder):
    images = [folder / name for name in IMAGES]
    table = make_association(folder / CUBE, images, product_name="jw01", folder=folder)
    return write_association(table, folder / "fusion_asn.json")


def test_association_is_valid_for_jwst(association):
    with association.open() as stream:
        table = load_asn(stream)
    assert table["asn_rule"] == "Asn_Fusion"
    members = table["products"][0]["members"]
    assert [m["exptype"] for m in members] == ["science", "direct_image", "direct_image"]
    assert [m["expname"] for m in members] == [CUBE, *IMAGES]


@pytest.mark.parametrize("kind", ["NRC_IMAGE", "NIS_IMAGE", "MIR_IMAGE"])
def test_exposures_of_cameras_are_images_in_every_form(folder, kind):
    path = folder / "jw01_nrcb1_cal.fits"
    with datamodels.ImageModel(data=np.ones((6, 7), "f4")) as model:
        model.meta.exposure.type = kind
        model.save(str(path))
    files = [str(folder / CUBE), str(path)]
    members = [{"expname": file, "exptype": "science"} for file in files]
    table = {"products": [{"name": "jw01", "members": members}]}
    for form in (files, table):
        found = collect_members(form)
        assert (len(found.cubes), len(found.images), len(found.exposures)) == (1, 1, 0)


def test_all_forms_of_input_give_the_same_members(folder, association):
    files = [str(folder / name) for name in (CUBE, *IMAGES)]
    table = json.loads(association.read_text())
    absolute = json.loads(association.read_text())
    for member in absolute["products"][0]["members"]:
        member["expname"] = str(folder / member["expname"])
    container, library = ModelContainer(str(association)), ModelLibrary(str(association))
    models = [datamodels.open(file) for file in files]
    for form in (str(association), association, absolute, container, library, files, models):
        members = collect_members(form)
        assert len(members.cubes) == 1
        assert len(members.images) == 2
    assert collect_members(association).product_name == "jw01"
    assert collect_members(container).product_name == "jw01"
    assert collect_members(library).product_name == "jw01"
    assert collect_members(files).product_name == "a_g235h"
    assert table["products"][0]["name"] == "jw01"
    for model in (*container, *models):
        model.close()


def test_other_members_are_left_out(association):
    table = json.loads(association.read_text())
    table["products"][0]["members"].append({"expname": "b_cal.fits", "exptype": "background"})
    association.write_text(json.dumps(table))
    assert len(collect_members(association).images) == 2


def test_files_are_known_by_name_or_by_content(folder):
    assert exptype_of_file("x/jw01_s3d.fits.gz") == "science"
    assert exptype_of_file("jw01-i2d.fits") == "direct_image"
    (folder / CUBE).rename(folder / "mycube.fits")
    members = collect_members([str(folder / "mycube.fits"), str(folder / IMAGES[0])])
    assert (len(members.cubes), len(members.images)) == (1, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not an association"),
        ("{}", "exptype missing"),
        ('{"products": [{"name": "a", "members": [{"expname": "b.fits"}]}]}', "exptype missing"),
        ('{"products": [{"members": []}, {"members": []}]}', "has 2 products"),
    ],
)
def test_damaged_associations(tmp_path, text, message):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        collect_members(path)


def test_missing_files(tmp_path, association):
    with pytest.raises(FileNotFoundError, match=r"none.json"):
        collect_members(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError, match="none_s3d"):
        collect_members([str(tmp_path / "none_s3d.fits")])
    (association.parent / IMAGES[0]).unlink()
    with pytest.raises(FileNotFoundError, match="a_f182m_i2d"):
        collect_members(association)


def test_wrong_kinds_of_input():
    with pytest.raises(TypeError, match="NoneType"):
        collect_members(None)
    with pytest.raises(TypeError, match="ndarray"):
        collect_members([np.zeros(3)])
    with pytest.raises(ValueError, match="empty list"):
        collect_members([])


def test_an_association_needs_both_kinds():
    with pytest.raises(ValueError, match="direct_image is empty"):
        make_association("a_s3d.fits", [])
    with pytest.raises(ValueError, match="science is empty"):
        make_association([], "a_i2d.fits")
    with pytest.raises(AssociationNotValidError, match="at least one image"):
        rule_module.Asn_Fusion()._add_items(["a_s3d.fits"], product_name="a")


def test_the_rule_works_with_jwst_asn_from_list(folder):
    command = [sys.executable, "-m", "jwst.associations.asn_from_list"]
    arguments = ["--ruledefs", rule_module.__file__, "-r", "Asn_Fusion", "--product-name", "jw02"]
    code = "from jwst.associations.asn_from_list import main; main()"
    command = [sys.executable, "-c", code, *arguments, "-o", str(folder / "o.json")]
    names = [str(folder / name) for name in (CUBE, *IMAGES)]
    subprocess.run([*command, *names], check=True, cwd=folder)
    members = collect_members(folder / "o.json")
    assert members.product_name == "jw02"
    assert len(members.images) == 2


def test_the_rule_works_with_jwst_asn_generate(tmp_path):
    from jwst.associations.main import Main

    names = (
        "FILENAME|PROGRAM|OBS_NUM|VISIT|EXP_TYPE|INSTRUME|DETECTOR|TARGETID|PNTGTYPE|FILTER|PUPIL"
        "|GRATING|BAND|CHANNEL|MODULE|SUBARRAY|FXD_SLIT|ASN_CANDIDATE"
    ).split("|")
    rows = [
        ("jw01234001001_02101_00001_nrs1_uncal.fits", "NRS_IFU", "NIRSPEC", "1"),
        ("jw01234001001_02101_00002_nrs1_uncal.fits", "NRS_IFU", "NIRSPEC", "1"),
        ("jw01234002001_02101_00001_nrcb1_uncal.fits", "NRC_IMAGE", "NIRCAM", "1"),
        # neither an image of this target nor a mode of the fusion
        ("jw01234003001_02101_00001_nrs1_uncal.fits", "NRS_IFU", "NIRSPEC", "2"),
        ("jw01234002001_02101_00001_nis_uncal.fits", "NIS_WFSS", "NIRISS", "1"),
    ]
    lines = ["|".join(names)]
    for file, kind, instrument, target in rows:
        values = dict.fromkeys(names, "NULL")
        values |= {"FILENAME": file, "EXP_TYPE": kind, "INSTRUME": instrument, "TARGETID": target}
        values |= {"PROGRAM": "1234", "OBS_NUM": "1", "VISIT": "1", "PNTGTYPE": "SCIENCE"}
        values["ASN_CANDIDATE"] = "[('o001', 'OBSERVATION')]"
        lines.append("|".join(values.values()))
    pool = tmp_path / "pool.csv"
    pool.write_text("\n".join(lines) + "\n")
    out = tmp_path / "asn"
    out.mkdir()
    Main.cli([str(pool), "--ignore-default", "-r", rule_module.__file__, "-p", str(out)])
    (path,) = out.glob("*.json")
    table = json.loads(path.read_text())
    assert table["asn_rule"] == "Asn_Fusion"
    assert table["products"][0]["name"] == "jw01234-o001_t001"
    members = {one["expname"]: one["exptype"] for one in table["products"][0]["members"]}
    assert members == {
        "jw01234001001_02101_00001_nrs1_cal.fits": "science",
        "jw01234001001_02101_00002_nrs1_cal.fits": "science",
        "jw01234002001_02101_00001_nrcb1_i2d.fits": "direct_image",
    }
