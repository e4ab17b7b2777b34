"""The stage `dedup` with vectors: the mock server counts the texts that it sold vectors of, which is the money."""

import pytest
from pyspark.sql import functions as F

from personahub import ids, mockserver, pipeline
from personahub.config import load
from personahub.errors import BudgetExceeded, ConfigError, TransientFailures

PROBE = 1  # text


@pytest.fixture
def endpoint():
    with mockserver.start(port=0, capacity=32, median=0.01, sigma=0.3) as server:
        yield server


@pytest.fixture
def hub_of(tmp_path, spark):
    """Settings of a hub under tmp_path that buys vectors from a server."""

    def make(server, *overrides):
        base = [
            f"root={tmp_path / 'hub'}",
            f"models.vectors.base_url={server.base_url}",
            "models.vectors.model=mock-embeddings",
            "models.vectors.api_key_env=null",
            "dedup.semantic.enabled=true",
            "dedup.semantic.model=vectors",
            "dedup.semantic.threshold=0.8",
            "dedup.semantic.texts_per_request=4",
        ]
        return load(overrides=[*base, *overrides])

    return make


def text(n, last="river"):
    """Ten words of its own, so that one other word leaves a cosine of about 0.9 and a Jaccard similarity of 0.82."""
    return " ".join([*(f"{name}{n}" for name in ("a", "b", "c", "d", "e", "f", "g", "h", "i")), last])


def add(config, texts):
    rows = sorted({ids.persona_id(text): text for text in texts}.items())
    with pipeline.open_hub(config, spend=True) as hub:
        frame = hub.spark.createDataFrame(
            [(name, text, 0, "en") for name, text in rows], "persona_id string, persona string, hop int, language string"
        )
        hub.store.insert_new(frame, "personas")


def dedup(config, rebuild=False):
    with pipeline.open_hub(config, spend=True) as hub:
        return next(iter(pipeline.run(hub, pipeline.check(config, ["dedup"]), rebuild=rebuild)))


def table(config, name):
    with pipeline.open_hub(config) as hub:
        return hub.store.table(name)


def removed(config):
    rows = table(config, "duplicates").collect()
    # also of words that vectors removed in an earlier batch
    assert not {row.id for row in rows} & {row.representative for row in rows}
    return {row.id: (row.duplicate_of, row.method) for row in rows}


def test_each_vector_is_bought_once_over_all_batches_and_runs(endpoint, hub_of):
    config = hub_of(endpoint, "models.vectors.in_mtok_cost=1.0")
    first = [text(n) for n in range(12)] + [text(n, "mountain") for n in range(4)]
    add(config, [*first, "River " + text(11).removesuffix(" river")])  # the same words: no vector is bought for it
    with pipeline.open_hub(config) as hub:
        [estimate] = pipeline.estimates(hub, ["dedup"])
    assert (estimate.texts, estimate.calls, estimate.reused) == (16, 4, 0)
    assert endpoint.stats()["requests"] == 0
    result = dedup(config)
    assert result.counts == {
        "compared": 17, "identical": 1, "lexical": 0, "semantic": 4, "kept": 12, "rejects": 0, "vectors": 16,
    }  # fmt: skip
    pairs = [{ids.persona_id(text(n)), ids.persona_id(text(n, "mountain"))} for n in range(4)]
    semantic = [{one, by} for one, (by, method) in removed(config).items() if method == "semantic"]
    assert sorted(map(sorted, semantic)) == sorted(map(sorted, pairs))
    ledger = table(config, "embeddings")
    assert ledger.where("final and dimensions = 64 and size(vector) = 64 and model = 'mock-embeddings'").count() == 16
    billed = ledger.agg(F.sum("prompt_tokens"), F.sum("cost_usd")).collect()[0]
    stats = endpoint.stats()
    probe = table(config, "completions").where("stage = 'probe'").collect()[0]
    assert billed[0] + probe.prompt_tokens == stats["prompt_tokens"]
    assert result.prompt_tokens == billed[0] + probe.prompt_tokens
    assert billed[1] == pytest.approx(billed[0] / 1e6)
    assert result.cost_usd == pytest.approx(billed[1] + probe.cost_usd)
    assert (stats["texts_sold"], stats["texts_sold_twice"]) == (16 + PROBE, 0)
    with pipeline.open_hub(config) as hub:
        stage = next(stage for stage in pipeline.status(hub).stages if stage.stage == "dedup")
    vectors = stage.purposes["vectors"]
    assert (vectors.answered, vectors.missing, vectors.prompt_tokens, stage.status) == (16, 0, billed[0], "done")

    assert set(dedup(config).counts.values()) == {0}
    assert endpoint.stats()["requests"] == stats["requests"]

    # the second batch: new ones, one near a standing one, and one of the very words of each that the first batch removed by its vector
    before = removed(config)
    again = [" ".join(reversed(each.split())) for n in range(4) for each in (text(n), text(n, "mountain"))]
    add(config, [text(n) for n in range(20, 23)] + [text(5, "valley"), *again])
    counts = dedup(config).counts
    assert (counts["identical"], counts["semantic"], counts["kept"], counts["vectors"]) == (8, 1, 3, 4)
    assert removed(config)[ids.persona_id(text(5, "valley"))] == (ids.persona_id(text(5)), "semantic")
    assert removed(config).items() >= before.items()
    stats = endpoint.stats()
    assert (stats["texts_sold"], stats["texts_sold_twice"]) == (20 + PROBE, 0)
    assert table(config, "vector_centroids").select("trained_on").distinct().count() == 1

    # other settings stop, before anything is bought; all over again buys no vector twice, only those of whom the words keep now
    loose = hub_of(endpoint, "dedup.semantic.threshold=0.99")
    for other in (loose, hub_of(endpoint, "dedup.semantic.enabled=false"), hub_of(endpoint, "models.vectors.model=other")):
        with pytest.raises(ConfigError, match="--rebuild"):
            dedup(other)
    counts = dedup(loose, rebuild=True).counts
    assert (counts["compared"], counts["identical"], counts["semantic"]) == (29, 9, 0)
    more = endpoint.stats()
    assert (more["texts_sold"], more["texts_sold_twice"]) == (stats["texts_sold"] + counts["vectors"], 0)
    assert counts["vectors"] <= 9


def test_a_text_that_is_refused_is_a_reject_and_stops_no_other(endpoint, hub_of):
    config = hub_of(endpoint, "dedup.semantic.max_text_tokens=30000")
    long, longer = "bees " * 8_000 + "hum", "wasps " * 11_000 + "hum"  # above the endpoint's limit; and above that of the config
    add(config, [*[text(n) for n in range(10)], long, longer])
    counts = dedup(config).counts
    assert (counts["kept"], counts["rejects"], counts["vectors"]) == (10, 2, 11)
    rejects = {row.source_id: (row.reason, row.detail) for row in table(config, "rejects").collect()}
    assert rejects[ids.persona_id(longer)] == ("too_long_to_embed", None)
    reason, detail = rejects[ids.persona_id(long)]
    assert reason == "no_embedding"
    assert "10001 tokens" in detail
    refused = table(config, "embeddings").where("vector is null").collect()
    assert [(row.text_id, row.final, row.error_kind) for row in refused] == [(ids.persona_id(long), True, "bad_request")]
    stats = endpoint.stats()
    assert (stats["texts_sold"], stats["texts_sold_twice"]) == (10 + PROBE, 0)
    assert set(dedup(config).counts.values()) == {0}
    assert endpoint.stats()["requests"] == stats["requests"]
    assert sum(len(row.persona_ids) for row in table(config, "lexical_index").collect()) == 10


def test_nothing_is_decided_while_vectors_are_missing(hub_of):
    with mockserver.start(port=0, median=0.01, fault_rate=0.5, faults=("500",), seed=1) as server:
        hasty = hub_of(server, "models.vectors.max_retries=0")
        add(hasty, [text(n) for n in range(40)])
        with pytest.raises(TransientFailures, match="run again"):
            dedup(hasty)
        ledger = table(hasty, "embeddings")
        there = ledger.where("final").count()
        assert 0 < there < 40
        assert there + ledger.where("not final and error_kind = 'server'").count() == 40
        assert table(hasty, "lexical_index").count() == table(hasty, "duplicates").count() == 0
        assert dedup(hub_of(server)).counts["vectors"] == 40 - there
        assert server.stats()["texts_sold_twice"] == 0
    assert table(hasty, "embeddings").where("final").count() == 40


def test_the_budget_counts_vectors_and_needs_their_price(endpoint, hub_of):
    priced = ["models.default.in_mtok_cost=1.0", "models.default.out_mtok_cost=1.0"]
    with pytest.raises(ConfigError, match=r"dedup asks models.vectors, .*: set models.vectors.in_mtok_cost \("):
        dedup(hub_of(endpoint, *priced, "inference.budget_usd=1.0"))
    priced = ["models.default.in_mtok_cost=1.0", "models.default.out_mtok_cost=1.0", "models.vectors.in_mtok_cost=100"]
    small = hub_of(endpoint, *priced, "inference.budget_usd=0.02")
    add(small, [text(n) for n in range(40)])  # 9 tokens each, and 18 at most: 0.0072 a request at most
    with pytest.raises(BudgetExceeded, match="Raise it"):
        dedup(small)
    stats = endpoint.stats()
    spent = stats["prompt_tokens"] * 100 / 1e6
    bought = table(small, "embeddings").where("final").count()
    assert 0 < spent <= 0.02
    assert 0 < bought < 40
    assert table(small, "duplicates").count() == 0
    assert dedup(hub_of(endpoint, *priced, "inference.budget_usd=1")).counts["vectors"] == 40 - bought
    assert endpoint.stats()["texts_sold_twice"] == 0
