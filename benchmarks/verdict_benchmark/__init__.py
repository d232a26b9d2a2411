"""Simulated good and faulty fusions, and what the report says of them."""
