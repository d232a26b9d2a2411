"""Parameters of steps that a fusion of exposures leaves out."""

from jwst_fusion.steps.fusion_pipeline import FusionPipeline
from jwst_fusion.steps.idle import warn_of_idle_steps


def test_only_what_somebody_has_asked_for_is_named(caplog):
    pipeline = FusionPipeline()
    # What steps have anyway, or what concerns their files, asks for nothing.
    pipeline.cube_build.skip = pipeline.outlier_detection.save_results = True
    warn_of_idle_steps(pipeline, {})
    assert not caplog.records
    pipeline.cube_build.scalexy = 0.05
    pipeline.adaptive_trace_model.oversample = 3.0
    pipeline.outlier_detection.kernel_size = "3 3"
    warn_of_idle_steps(pipeline, {"outlier_detection": {"kernel_size": "3 3"}})
    (record,) = caplog.records
    text = record.getMessage()
    assert "adaptive_trace_model.oversample, cube_build.scalexy means nothing" in text
    assert "outlier_detection" not in text
