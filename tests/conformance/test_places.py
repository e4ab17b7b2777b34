"""One code path for all engines: the same fixtures give the same tables, and a hub that one engine began is carried on by another."""

import os
import sys

import places
import pytest

from personahub import mockserver, schemas
from personahub.demo import corpus
from personahub.engines import archive

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.xdist_group("places")]
TASKS = ["math", "logic", "instruction", "conversation", "knowledge", "npc", "tool"]


@pytest.fixture(scope="module")
def endpoint():
    with mockserver.start(port=0, median=0.02, duplicates=0.3) as server:
        yield server


@pytest.fixture(scope="module")
def values_of(tmp_path_factory, endpoint):
    folder = tmp_path_factory.mktemp("hubs")
    documents = corpus.lay_out(folder / "corpus")

    def make(place):
        return [
            f"root={folder / place}", f"documents.path={documents}", "documents.max_documents=12", "persona_to_persona.hops=2",
            "persona_to_persona.max_frontier=6", f"synthesis.tasks={TASKS}", "synthesis.max_personas=12", "synthesis.conversation.turns=2",
            f"models.default.base_url={endpoint.base_url}", "models.default.api_key_env=null",
            f"models.vectors.base_url={endpoint.base_url}", "models.vectors.model=mock-embeddings", "models.vectors.api_key_env=null",
            "dedup.semantic.enabled=true", "dedup.semantic.model=vectors", "dedup.semantic.threshold=0.6",
        ]  # fmt: skip

    make.folder = folder
    return make


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    return folder, places.elsewhere(folder)


@pytest.fixture(scope="module")
def bought(endpoint):
    """A function: how many requests were sent since it was asked last."""
    seen = [endpoint.stats()["requests"]]

    def since():
        seen.append(endpoint.stats()["requests"])
        return seen[-1] - seen[-2]

    return since


@pytest.fixture(scope="module")
def embedded(values_of, bought):
    """The tables, and what they cost, on the embedded engine."""
    places.on_engine("embedded", values_of("embedded"), values_of.folder)
    return places.tables(values_of.folder / "embedded"), bought()


def same(found, expected):
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name] == expected[name], name


def test_the_journey_fills_every_table(embedded):
    tables, requests = embedded
    assert requests > 100
    empty = {name for name in schemas.TABLES if not tables.get(name)}
    assert empty <= {
        "reviews",
        "hop_novelty",
        "hop_forecasts",
        "rejects",
        "vector_index",
        "few_shot_pool",
        "batches",  # the journey buys call by call, and has no solvers
        "batch_requests",
        "solutions",
        "verdicts",
    }  # `forget` has emptied the last
    assert {"semantic", "exact"} <= {
        method for row in tables["duplicates"] for method in ("semantic", "exact") if f"'{method}'" in row
    }


def test_local_mode_spark(embedded, values_of, bought):
    tables, requests = embedded
    places.on_engine("spark", values_of("local"), values_of.folder)
    assert bought() == requests
    same(places.tables(values_of.folder / "local"), tables)


def test_spark_submit_on_a_cluster_that_has_not_the_package(embedded, values_of, bought, elsewhere, tmp_path):
    tables, requests = embedded
    folder, environment = elsewhere
    package = archive.write_zip(tmp_path / "personahub.zip")
    cluster = {"spark.executor.instances": "2", "spark.executor.cores": "4"}
    command = places.submit(
        environment,
        "--master",
        "local-cluster[2,4,1024]",
        "--py-files",
        package,
        places.JOURNEY,
        *values_of("cluster"),
        **cluster,
    )
    places.told(command, environment, folder)
    assert bought() == requests
    same(places.tables(values_of.folder / "cluster"), tables)


def test_spark_connect_to_a_server_that_has_not_the_package(embedded, values_of, bought, elsewhere, tmp_path):
    tables, requests = embedded
    folder, environment = elsewhere
    with places.connect_server(environment, folder, tmp_path / "server.log") as remote:
        here = {name: value for name, value in os.environ.items() if name != "PERSONAHUB_ENGINE"}
        places.told([sys.executable, places.JOURNEY, *values_of("connect")], {**here, "SPARK_REMOTE": remote}, folder)
    assert bought() == requests
    same(places.tables(values_of.folder / "connect"), tables)


def test_a_hub_is_carried_on_by_the_other_engine_stage_by_stage(values_of, bought):
    values, folder = values_of("across"), values_of.folder
    places.on_engine("embedded", [*values_of("alone"), "documents,text-to-persona,dedup,persona-to-persona,synthesize"], folder)
    alone = bought()
    turns = [
        ("embedded", "documents,text-to-persona"),
        ("spark", "dedup"),
        ("embedded", "persona-to-persona"),
        ("spark", "synthesize"),
    ]
    for engine, stages in turns:
        places.on_engine(engine, [*values, stages], folder)
    assert bought() == alone
    everything = "documents,text-to-persona,dedup,persona-to-persona,synthesize"
    for engine in ("embedded", "spark"):
        places.on_engine(engine, [*values, everything], folder)
        assert bought() == 0
    found, expected = (places.tables(folder / name) for name in ("across", "alone"))
    for tables in (found, expected):
        del tables["runs"]  # one started them all, the others each
    same(found, expected)
