"""Every name that the package offered before its folders were put in order can still be imported."""

import importlib
import warnings

import pytest


# By package, the names in its `__all__`.
OFFERED = {
    "optimum_dynexec": """
        DynExecConfig
        DynExecDiffusionConfig
        DynExecDiffusionPipeline
        DynExecModelForAudioClassification
        DynExecModelForCausalLM
        DynExecModelForFeatureExtraction
        DynExecModelForImageClassification
        DynExecModelForQuestionAnswering
        DynExecModelForSequenceClassification
        DynExecModelForTokenClassification
        DynExecPipelineForImage2Image
        DynExecPipelineForInpainting
        DynExecPipelineForText2Image
        EarlyExitConfig
        GenerationStats
        __version__
        attach_heads
        export_dynexec
        quantize_dynexec
        train_heads
    """,
    "optimum_dynexec.benchmark": """
        BenchmarkArguments
        BenchmarkError
        run_benchmark
    """,
    "optimum_dynexec.calibration": """
        Calibration
        CalibrationError
        EncoderRecordingArguments
        ExitRecords
        NoThresholdError
        RecordingArguments
        StaleCalibrationError
        calibrate
        calibrate_budget
        calibrate_decoder
        calibrate_encoder
        check_fresh
        conformal_risk_control
        learn_then_test
        load_calibration
        record_decoder
        record_encoder
    """,
    "optimum_dynexec.diffusion": """
        AdaptiveGuidanceConfig
        ConvergenceConfig
        DiffusionStats
        DynExecDiffusionConfig
        DynExecDiffusionPipeline
        DynExecPipelineForImage2Image
        DynExecPipelineForInpainting
        DynExecPipelineForText2Image
        NonFiniteOutputError
        StepReuseConfig
        UnsupportedSchedulerError
    """,
    "optimum_dynexec.diffusion.step_saver": """
        LABEL_RULES
        StepPredictor
        StepSaverConfig
        train_steps
    """,
    "optimum_dynexec.early_exit": """
        Criterion
        EarlyExitConfig
        ExitStatistics
        criterion_names
        load_criterion
    """,
    "optimum_dynexec.exporters": """
        ExportError
        NotPageableError
        NotSegmentableError
        annotate_export
        export_dynexec
        export_single_ir
        find_encoder_boundaries
        find_layer_boundaries
        mark_boundaries
        read_boundaries
    """,
    "optimum_dynexec.heads": """
        ContinuationArguments
        HeadConfig
        TrainedHead
        TrainingArguments
        attach_heads
        load_head
        save_head
        train_heads
    """,
    "optimum_dynexec.heads.encoders": """
        Columns
        EncoderTrainingArguments
        Samples
        TrainedExit
        read_samples
        train_encoder_heads
    """,
    "optimum_dynexec.heads.modules": """
        Batch
        DraftHead
        Head
        MODULES
        make_head
    """,
    "optimum_dynexec.modeling": """
        DynExecGenerateOutput
        DynExecModelForAudioClassification
        DynExecModelForCausalLM
        DynExecModelForFeatureExtraction
        DynExecModelForImageClassification
        DynExecModelForQuestionAnswering
        DynExecModelForSequenceClassification
        DynExecModelForTokenClassification
    """,
    "optimum_dynexec.optimize": """
        OptimizeArguments
        OptimizeError
        Optimized
        optimize
    """,
    "optimum_dynexec.optimize.kinds": """
        KINDS
        Kind
        kind_for
    """,
    "optimum_dynexec.quantization": """
        AccuracyControl
        CalibrationData
        QuantizationError
        quantize_dynexec
    """,
    "optimum_dynexec.report": """
        ReportError
        write_report
    """,
    "optimum_dynexec.runtime": """
        FLOAT32_OV_CONFIG
        Engine
        _C
    """,
    "optimum_dynexec.speculative": """
        GenerationStats
        ProposerStats
        SpeculationConfig
    """,
    "optimum_dynexec.torch_backend": """
        TorchDynExecModelForAudioClassification
        TorchDynExecModelForCausalLM
        TorchDynExecModelForImageClassification
        TorchDynExecModelForQuestionAnswering
        TorchDynExecModelForSequenceClassification
        TorchDynExecModelForTokenClassification
    """,
    "optimum_dynexec.torch_backend.proposers": """
        Draft
        PROPOSERS
        Proposer
    """,
    "optimum_dynexec.tuning": """
        Tuning
        TuningArguments
        TuningError
        load_tuning
        tune
    """,
}
# Not documented, and named anew.
RENAMED = {("optimum_dynexec.heads.modules", "Head"): "HeadModule"}


@pytest.mark.parametrize("package", sorted(OFFERED))
def test_names_offered_earlier_are_still_importable(package):
    module = importlib.import_module(package)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        missing = [
            name for name in OFFERED[package].split() if not hasattr(module, RENAMED.get((package, name), name))
        ]
    assert missing == []


def test_a_name_that_moved_says_where_it_is_now():
    from optimum_dynexec import heads

    with pytest.warns(FutureWarning, match="`optimum_dynexec.heads.attach_heads` has moved: import it from"):
        moved = heads.attach_heads
    assert moved is importlib.import_module("optimum_dynexec").attach_heads
