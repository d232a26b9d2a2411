"""JWST products in and out: files opened, cubes, images and exposures read, products written."""
