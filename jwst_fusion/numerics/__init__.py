"""Numerics that the engines share."""
