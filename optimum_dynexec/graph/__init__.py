"""Graphs of OpenVINO models: facts found by structure, and new graphs made from them."""
