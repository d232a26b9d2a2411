"""The report on a fused cube."""
