"""HIFReD: fusion of two hyperspectral cubes of counts by regularised deconvolution."""
