"""Products of all parts of the package, made with fixed seeds, and their comparison."""
