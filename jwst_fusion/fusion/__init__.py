"""Symmetric fusion of imager and integral-field-spectrometer observations of one scene."""
