"""The report on an exposure with a trace model."""
