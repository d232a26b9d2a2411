"""Poisson fusion of two cubes: low-rank and full-cube solves, tuning, errors."""
