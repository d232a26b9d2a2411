"""Adaptive trace model: oversampling of undersampled spectral traces without ringing."""
