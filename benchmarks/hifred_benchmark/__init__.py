"""Benchmark of HIFReD: set-ups of known truth, fused with each regularisation."""
