"""
Exit heads of encoders, vision and audio models. A recipe is a file here, and a line in `train.py` and in
`arguments.py`.
"""
