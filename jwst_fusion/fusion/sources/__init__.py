"""Point sources of the scene: where they are, and what their spectra are."""
