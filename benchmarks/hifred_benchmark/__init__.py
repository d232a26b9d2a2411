"""Parts of the benchmark of HIFReD."""
