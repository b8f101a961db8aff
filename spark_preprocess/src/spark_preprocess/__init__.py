"""Pull requests in MongoDB to a feature table and a fitted preprocessor, published as one run."""

from importlib.metadata import version

__version__ = version("spark-preprocess")
