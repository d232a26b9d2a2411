"""The parts of the benchmark of the adaptive trace model."""
