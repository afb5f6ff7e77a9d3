"""What saves work while denoising: one policy a file. A new one is also a field of `DynExecDiffusionConfig`."""
