"""Cube and images that differ in more than their instruments, fused with what is not right."""
