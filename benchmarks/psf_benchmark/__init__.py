"""Parts of the benchmark of the PSFs."""
