"""Policies that save denoising work, one per file. A new policy also needs a field in `DynExecDiffusionConfig`."""
