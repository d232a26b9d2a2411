"""Observations on one grid of the sky: registration, photometry, offsets."""
