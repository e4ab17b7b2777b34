import re
import shutil
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from personahub import __version__

HOUSE = Path(__file__).resolve().parents[1]


def pins() -> dict[str, str]:
    """Package -> version, as they hold for this Python."""
    lines = [line for line in (HOUSE / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    wanted = [Requirement(line) for line in lines]
    assert all(re.fullmatch(r"==[^,*]+", str(one.specifier)) and one.url is None for one in wanted)
    return {one.name: str(one.specifier)[2:] for one in wanted if one.marker is None or one.marker.evaluate()}


def test_spark_and_delta_are_the_pair_whose_jars_exist():
    assert (pins()["pyspark"], pins()["delta-spark"]) == ("4.2.0", "4.4.0")


def test_a_cluster_installs_all_dependencies_but_its_own_pyspark_and_the_embedded_engine():
    needs = [one for one in map(Requirement, metadata.requires("personahub")) if "extra ==" not in str(one.marker)]
    left = {str(one) for one in needs if one.name not in ("pysail", "pyspark-client")}
    lines = (HOUSE / "conf" / "cluster-requirements.txt").read_text().splitlines()
    listed = [str(Requirement(line)) for line in lines if not line.startswith("#")]
    assert len(left) == len(needs) - 2
    assert sorted(listed) == sorted(left)


def test_every_dependency_is_pinned_within_its_range():
    for line in metadata.requires("personahub"):
        one = Requirement(line)
        if one.name != "personahub":  # an extra that takes others in
            assert pins()[one.name.lower()] in one.specifier, line


def test_what_is_installed_needs_nothing_that_is_not_pinned():
    def normal(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    known = pins()
    for name in known:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                assert normal(need.name) in known, f"{name} needs {need.name}"


def test_the_installed_version_is_that_of_the_code():
    assert metadata.version("personahub") == __version__


def test_data_files_are_part_of_the_package():
    package = resources.files("personahub")
    assert package.joinpath("prompts/text_to_persona.yaml").is_file()
    assert package.joinpath("demo/texts.jsonl").is_file()


def test_the_licence_is_whole():
    text = (HOUSE / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_entry_points_are_thin():
    for path in (HOUSE / "jobs").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 30, path.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["java", "JAVA_HOME=/nowhere"], "local-mode Spark needs Java 17 or 21: apt-get install openjdk-17-jre-headless"),
        (["setup", "PYTHON=false", "-W", "pyproject.toml"], "personahub needs Python 3.10 or newer"),
    ],
)
def test_make_says_what_a_machine_lacks(arguments, message):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    made = subprocess.run(["make", "-C", str(HOUSE), *arguments], capture_output=True, text=True)
    assert made.returncode != 0
    assert made.stderr.splitlines()[0].startswith(message)


def test_the_command_is_installed():
    command = Path(sys.executable).with_name("personahub")
    assert subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout.strip() == __version__
