"""The report on a cube fused from exposures."""
