"""What an observer measures on a fused cube, against the truth: scenes, measures, sections."""
