"""Low-rank fusion on whitened arrays: operators, hyperparameters, solution."""
