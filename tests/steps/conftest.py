"""A small observation, as files: two exposures, two images, cube parameters, association."""

from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def observed(tmp_path_factory):
    """The observation in a folder of its own that tests must not write to."""
    from jwst_fusion.associations import make_association, write_association
    from jwst_fusion.simulation.cube_parameters import write_nirspec_cube_parameters
    from jwst_fusion.simulation.observation import DITHERS, simulate_exposures, simulate_images
    from jwst_fusion.simulation.scenes import nebula

    folder = tmp_path_factory.mktemp("observed")
    scene = nebula()
    exposures = simulate_exposures(folder, scene, grating="G235M", dithers=DITHERS[:2])
    images = simulate_images(folder, scene, filters=("F210M", "F212N"))
    association = write_association(
        make_association(exposures, images, product_name="jw09999-o001_t001", folder=folder),
        folder / "pipeline_asn.json",
    )
    cubepar = str(write_nirspec_cube_parameters(folder / "cubepar.fits"))
    steps = {
        # takes two thirds of the time and has a test of its own
        "outlier_detection": {"skip": True},
        "cube_build": {"override_cubepar": cubepar, "wavemin": 2.09, "wavemax": 2.15},
        "fusion": {
            "input": "cube",
            "psf_source": "aperture",
            "psf_size": 1.0,
            "field_ra": scene.ra,
            "field_dec": scene.dec,
            "field_width": 1.0,
            "field_height": 1.0,
            "rank": "3",
        },
    }
    return SimpleNamespace(
        folder=folder,
        exposures=exposures,
        images=images,
        association=str(association),
        cubepar=cubepar,
        steps=steps,
        product="jw09999-o001_t001",
    )
