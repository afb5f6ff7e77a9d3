from setuptools import setup


# Everything but the place of CMakeLists.txt is in pyproject.toml.
setup(cmake_source_dir=".")
