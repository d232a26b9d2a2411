"""Which steps this package offers to stpipe; imports nothing, so that listing them is quick."""

__all__ = ["get_steps"]


def get_steps():
    """
    Return the steps of this package for the entry point ``stpipe.steps``.

    Returns
    -------
    list of tuple
        Class path (str), alias for ``strun`` (str), and whether it is a pipeline (bool).
    """
    return [
        ("jwst_fusion.step.AdaptiveTraceModelStep", "fusion_adaptive_trace_model", False),
        ("jwst_fusion.step.FusionStep", "fusion", False),
        ("jwst_fusion.step.HifredStep", "hifred", False),
        ("jwst_fusion.step.FusionPipeline", "fusion_pipeline", True),
        ("jwst_fusion.step.FusionSpec2Pipeline", "fusion_spec2", True),
        ("jwst_fusion.step.FusionSpec3Pipeline", "fusion_spec3", True),
        ("jwst_fusion.step.FusionTso3Pipeline", "fusion_tso3", True),
    ]
