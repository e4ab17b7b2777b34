import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections import Counter

import pytest
import yaml

from personahub import errors, mockserver, pipeline
from personahub.cli import app, main
from personahub.config import Config
from personahub.ids import persona_id

KEY = "sk-not-to-be-seen"


@pytest.fixture
def personahub(capsys, monkeypatch):
    """Runs the command line in this process -> (exit code, stdout, stderr)."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def run(*arguments: object):
        capsys.readouterr()
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as ended:
            code = ended.code
        return (code or 0, *capsys.readouterr())

    return run


def test_help_and_the_mock_server_need_no_spark():
    code = "import sys; from personahub.cli import app, endpoints, main; assert 'pyspark' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_names_every_stage():
    command = [sys.executable, "-m", "personahub", "run", "--help"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert all(stage in " ".join(out.replace("│", " ").split()) for stage in pipeline.STAGES)


def test_validate_prints_the_config_as_it_would_hold(personahub, tmp_path):
    (tmp_path / "mine.yaml").write_text("root: mine\n")
    code, out, told = personahub("validate", "-c", tmp_path / "mine.yaml", "--set", "inference.requests_per_commit=7")
    expected = Config().model_dump(mode="json") | {"root": "mine"}
    expected["inference"] = expected["inference"] | {"requests_per_commit": 7}
    assert code == 0
    assert yaml.safe_load(out) == expected
    assert "documents cannot run yet: documents.path is not set" in told


def test_validate_refuses_what_run_refuses(personahub):
    needs_vectors = ("--set", "synthesis.topic_similarity=true")
    code, out, told = personahub("validate", "dedup", "synthesize", *needs_vectors)
    assert (code, out) == (2, "")
    assert "synthesis.topic_similarity" in told
    assert personahub("validate", "dedup", *needs_vectors)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["validate", "--set", "documents.pth=x"], "unknown config key documents.pth; did you mean documents.path?"),
        (["validate", "-c", "nowhere.yaml"], "cannot read the config file nowhere.yaml"),
        (["run", "text-to-persna"], "unknown stage 'text-to-persna'; did you mean text-to-persona?"),
        (["run", "documents", "--set", "documents.path=/nowhere"], "documents.path '/nowhere' does not exist"),
        (["run", "--set", "synthesis.tasks=[maths]"], "documents.path is not set"),
        (["import", "personas", "nowhere.jsonl"], "nowhere.jsonl"),
        (["mock-server", "--faults", "nope"], "unknown fault nope; known: 429, 500"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run", "--frobnicate"], "No such option"),
        (["preview", "synthesize", "-n", "0"], "-n"),
    ],
)
def test_wrong_usage_is_exit_2_and_one_message(personahub, request, arguments, message):
    if arguments[0] == "import":
        request.getfixturevalue("spark")
    code, out, err = personahub(*arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err + out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("why"), 2),
        (errors.InputError("why"), 2),
        (errors.TransientFailures("why"), 3),
        (errors.BudgetExceeded("why"), 4),
        (errors.EndpointError("why"), 5),
        (errors.AuthenticationError("why"), 5),
        (errors.RootInUse("why"), 6),
        (errors.Interrupted("why"), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_is_raised_on_purpose_is_a_message_and_an_exit_code(capsys, error, code):
    def command():
        raise error

    with pytest.raises(SystemExit) as ended:
        app.exit_on_error(command)
    assert ended.value.code == code
    assert capsys.readouterr().err == ("why\n" if str(error) else "interrupted: what was answered is kept; run again to go on\n")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "/hub/x"), "No space left on device: /hub/x: what was done before is kept"),
        (
            RuntimeError("job aborted\n caused by: No space left on device (os error 28)\nmore"),
            "caused by: No space left on device (os error 28): ",
        ),
    ],
)
def test_a_full_disk_is_a_line_and_no_traceback(capsys, error, said):
    def command():
        raise error

    with pytest.raises(SystemExit) as ended:
        app.exit_on_error(command)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize("error", [ValueError("odd"), errors.PersonahubError("odd")])
def test_a_bug_is_a_traceback_and_exit_1(capsys, error):
    def command():
        raise error

    with pytest.raises(SystemExit) as ended:
        app.exit_on_error(command)
    assert ended.value.code == 1
    assert "Traceback" in capsys.readouterr().err


def test_check_models_finds_out_what_an_endpoint_holds(personahub):
    with mockserver.start(port=0, median=0.0, response_formats="json_object") as endpoint:
        code, out, _ = personahub("check-models", "--set", f"models.default.base_url={endpoint.base_url}")
    assert code == 0
    assert "json_object" in out


def test_check_models_with_a_wrong_key(personahub, monkeypatch):
    with mockserver.start(port=0, median=0.0, key="another") as endpoint:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        code, out, err = personahub("check-models", "--set", f"models.default.base_url={endpoint.base_url}")
    assert code == 5
    assert f"models.default: {endpoint.base_url} (model mock) refused the key from $OPENAI_API_KEY: HTTP 401 " in err
    assert KEY not in out + err


def test_check_models_without_a_key_asks_nobody(personahub):
    code, _, err = personahub("check-models", "--set", "models.default.base_url=https://llm.example.com/v1")
    assert code == 5
    assert "set the environment variable OPENAI_API_KEY" in err


def test_check_models_with_a_dead_endpoint(personahub):
    code, _, err = personahub("check-models", "--set", "models.default.base_url=http://127.0.0.1:9/v1")
    assert code == 5
    assert "default (http://127.0.0.1:9/v1): no connection" in err


def test_the_mock_server_until_ctrl_c():
    command = [sys.executable, "-c", "from personahub.cli import main; main()", "mock-server", "--port", "0", "--overflow", "429"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        first = server.stdout.readline()
        base_url = re.search(r"simulated endpoint at (http://127\.0\.0\.1:\d+)/v1", first).group(1)
        with urllib.request.urlopen(f"{base_url}/stats", timeout=10) as stats:
            assert json.load(stats)["requests"] == 0
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=10) == 0


def test_the_port_is_in_use(personahub):
    with mockserver.start(port=0) as endpoint:
        port = endpoint.base_url.split(":")[-1].split("/")[0]
        code, _, err = personahub("mock-server", "--port", port)
    assert code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in err


# -- with Spark ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(spark, tmp_path):
    """A root, three documents and an endpoint -> (the options that name them, the endpoint)."""
    texts = ["The tide tables of the harbour, and how to read them before you sail. ", "How to knead a dough for rye bread. "]
    with (tmp_path / "texts.jsonl").open("w") as file:
        for number, text in enumerate([*texts, texts[0]]):
            file.write(json.dumps({"id": f"d{number}", "text": text * 4}) + "\n")
    with mockserver.start(port=0, median=0.0) as endpoint:
        values = {
            "root": str(tmp_path / "hub"),
            "documents.format": "jsonl",
            "documents.path": str(tmp_path / "texts.jsonl"),
            "documents.languages": [],
            "models.default.base_url": endpoint.base_url,
            "models.default.in_mtok_cost": 1.0,
            "models.default.out_mtok_cost": 2.0,
        }
        yield [part for key, value in values.items() for part in ("--set", f"{key}={json.dumps(value)}")], endpoint


def test_from_documents_to_personas_and_once_more(personahub, hub, spark, tmp_path):
    options, endpoint = hub
    code, out, err = personahub("run", *options)
    assert code == 2  # nobody is there to be asked
    assert "--yes is needed" in err
    assert endpoint.stats()["sold"] <= 1  # the probe

    code, out, err = personahub("estimate", "text-to-persona", *options)
    assert code == 0, err
    assert re.search(r"text-to-persona +2 +0 ", out)  # two texts are one call

    code, out, err = personahub("preview", "text-to-persona", "-n", "1", *options)
    assert code == 0, err
    assert "answer" in out

    code, out, err = personahub("run", "text-to-persona", "--yes", *options)
    assert code == 0, err
    assert re.search(r"^text-to-persona: calls 1, reused 1,.* personas \d+", out, re.MULTILINE)
    bought = endpoint.stats()["sold"]
    parents = Counter(row.parent_id for row in spark.read.format("delta").load(f"{tmp_path}/hub/lineage").collect())
    assert set(parents) == {"d0", "d1", "d2"}
    assert parents["d0"] == parents["d2"]  # one text under two ids: one call and two lineages

    code, out, err = personahub("run", "text-to-persona", *options)  # nothing is bought, so nothing is asked
    assert code == 0, err
    assert endpoint.stats()["sold"] == bought

    code, out, err = personahub("status", *options)
    assert code == 0, err
    assert re.search(r"documents +3", out)
    assert re.search(r"text-to-persona +\d+ s +\$0\.\d+ +\d+%", out)
    assert "run synthesize" in out

    code, out, err = personahub("runs", "-n", "2", *options)
    assert code == 0, err
    assert [line.split()[3:5] for line in out.splitlines()[-2:]] == [["text-to-persona", "0"], ["text-to-persona", "1"]]
    assert re.search(r"text-to-persona +1 +\d+s +\$0\.\d+ +[\d,]+ +\d+% +done", out)


def test_imported_personas_and_bad_lines_as_rejects(personahub, hub, spark, tmp_path):
    lines = [
        '{"persona": "A ferry pilot who knits nets for fishermen"}',
        '{"persona": ',
        '{"persona": "I cannot help with that request"}',
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join([*lines, '{"persona": "x"}', ""]))
    code, out, err = personahub("import", "personas", tmp_path / "mine.jsonl", *hub[0])
    assert code == 0, err
    assert "personas 1," in out
    assert "rejects 3" in out
    assert {row.stage for row in spark.read.format("delta").load(f"{tmp_path}/hub/rejects").collect()} == {"import"}


def test_status_and_runs_of_a_root_that_is_not_there_yet(personahub, hub):
    code, out, err = personahub("status", *hub[0])
    assert code == 0, err
    assert "there is no hub at" in out
    code, out, err = personahub("runs", *hub[0])
    assert code == 0, err
    assert out == "no run has been recorded here yet\n"


def test_forget_asks_nobody_where_there_is_no_terminal(personahub, hub, tmp_path):
    (tmp_path / "mine.jsonl").write_text('{"persona": "A ferry pilot who knits nets for fishermen"}\n')
    personahub("import", "personas", tmp_path / "mine.jsonl", *hub[0])
    code, _, err = personahub("forget", persona_id("A ferry pilot who knits nets for fishermen"), *hub[0])
    assert (code, err) == (2, "nothing was taken down: without a terminal to ask on, --yes is needed\n")


def test_a_root_in_use(personahub, hub, tmp_path):
    from personahub.storage.lease import Lease

    with Lease(tmp_path / "hub", "another-run"):
        code, _, err = personahub("run", "--yes", *hub[0])
    assert code == 6
    assert "another-run" in err


def test_the_demo(demo):
    assert re.search(r"documents +40 +3 refused \(pages and files\)", demo.printed)
    assert len(re.findall(r"^╭─ (?:read|write|like|dislike): ", demo.printed, re.MULTILINE)) == 5
    shown = re.findall(r"^╭─ (math|logic|instruction|conversation|knowledge|npc|tool) ", demo.printed, re.MULTILINE)
    assert sorted(shown) == ["conversation", "instruction", "knowledge", "logic", "math", "npc", "tool"]
    way = re.findall(r"── hop (\d) [a-z_]+: ", demo.printed)  # of one of hop 2, from its text down
    assert way == ["0", "1", "2"]
    assert "nothing is known to be missing" in demo.printed
    assert "The answers are simulated" in demo.printed
    assert str(demo.out / "hub") in demo.printed


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["status"], "kept / produced"),  # the table of hops is below the funnel
        (["runs"], "persona-to-persona"),
        (["estimate", "--set", "persona_to_persona.hops=2"], "synthesize"),  # without a corpus at hand
        (["sample", "examples", "-n", "2", "--out", "{}/sheet.csv"], "written to"),
    ],
)
def test_a_hub_is_looked_at(demo, personahub, tmp_path, arguments, shown):
    given = [part.format(tmp_path) for part in arguments]
    code, out, err = personahub(*given, "--set", f"root={demo.out / 'hub'}", "--set", "models.default.api_key_env=null")
    assert code == 0, err
    assert shown in out
