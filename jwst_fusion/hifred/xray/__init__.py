"""X-ray data in files: count cubes, OGIP responses, spectra."""
