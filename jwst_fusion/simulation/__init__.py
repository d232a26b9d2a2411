"""Scenes and instruments with known truth: what the demo, the tests and the benchmarks observe."""

from jwst_fusion.simulation.crds import crds_environment, crds_offline

__all__ = ["crds_environment", "crds_offline"]
