import os
import subprocess
import sys
import zipfile
from pathlib import Path

import personahub
from personahub.engines import archive

USED = """
import numpy as np
from personahub import prompts
from personahub.engines import archive
from personahub.demo import corpus
from personahub.dedup.kernels import vectors
assert ".zip" in archive.__file__
assert prompts.load("text_to_persona").schema
assert len(corpus.texts()) == 40
assert vectors.squared_lengths(np.ones((1, 3), np.float32)).tolist() == [3.0]
archive.write_zip("again.zip")
"""


def test_the_package_works_from_the_zip(tmp_path):
    package = archive.write_zip(tmp_path / "dist" / "personahub.zip")
    subprocess.run([sys.executable, "-c", USED], env={**os.environ, "PYTHONPATH": str(package)}, cwd=tmp_path, check=True)
    assert (tmp_path / "again.zip").read_bytes() == package.read_bytes()


def test_the_zip_holds_each_file_of_the_package_and_nothing_else(tmp_path):
    home = Path(personahub.__file__).parent
    files = {str(path.relative_to(home.parent)) for path in home.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert set(zipfile.ZipFile(archive.write_zip(tmp_path / "p.zip")).namelist()) == files
