"""Many targets in one run: one after another, or on the workers of a Dask cluster."""
