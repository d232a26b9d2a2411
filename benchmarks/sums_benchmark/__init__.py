"""Parts of the benchmark of errors of sums."""
