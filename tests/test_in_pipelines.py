"""The two ways into jwst's own pipelines that the documentation gives."""

import pytest
from stpipe._hooks import get_hook_objects

from jwst_fusion.step import AdaptiveTraceModelStep

HOOK = "jwst_fusion.step.AdaptiveTraceModelStep"


def test_subclass_of_spec2_holds_our_step():
    from jwst.pipeline import Spec2Pipeline

    class FusionSpec2(Spec2Pipeline):
        step_defs = {**Spec2Pipeline.step_defs, "adaptive_trace_model": AdaptiveTraceModelStep}  # noqa: RUF012

    pipeline = FusionSpec2(steps={"adaptive_trace_model": {"oversample": 2.0}})
    assert type(pipeline.adaptive_trace_model) is AdaptiveTraceModelStep
    assert pipeline.adaptive_trace_model.oversample == 2.0
    assert not pipeline.adaptive_trace_model.skip
    assert Spec2Pipeline.step_defs["adaptive_trace_model"] is not AdaptiveTraceModelStep


# a decimal point would make stpipe take the text for a shell command
@pytest.mark.parametrize(("text", "oversample"), [(HOOK, 1.0), (f"{HOOK}(oversample=2)", 2.0)])
def test_hook_is_found_and_takes_parameters(text, oversample):
    from jwst.stpipe import Step

    class Parent(Step):
        spec = "post_hooks = list(default=list())"

    parent = Parent()
    parent.post_hooks = [text]
    (hook,) = get_hook_objects(parent, "post", parent.post_hooks)
    assert isinstance(hook, AdaptiveTraceModelStep)
    assert hook.oversample == oversample
    assert not hook.skip
