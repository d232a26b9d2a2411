"""Schemas of the data models."""
