"""Pipelines: the stock ones with our trace model, and one from exposures to the fused cube."""
