"""personahub: web text -> personas -> a deduplicated hub -> synthetic data, on PySpark and Delta Lake (arXiv 2406.20094)."""

__version__ = "0.1.0"
