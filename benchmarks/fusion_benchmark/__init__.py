"""Parts of the benchmark of the fusion."""
