"""Which endpoints of a pool a purchase asks."""

from types import SimpleNamespace

import pytest

from personahub.config import Model
from personahub.config.models import Endpoint
from personahub.errors import EndpointError
from personahub.inference.pool import pool_of

MODEL = Model(
    endpoints=tuple(
        Endpoint(base_url=f"http://{name}/v1", weight=weight) for name, weight in zip("abc", (1.0, 2.0, 3.0), strict=True)
    )
)


def asked(model, down):
    """The model and how its endpoints are asked, where those in `down` do not answer; and what was said."""

    def work_at(one):
        if one.base_url in down:
            raise EndpointError(f"{one.base_url} does not answer")
        return f"as {one.base_url} honours it"

    said = []
    return *pool_of(SimpleNamespace(ui=SimpleNamespace(say=said.append)), model, work_at), said


def test_each_endpoint_is_asked_as_it_honours_it():
    model, members, said = asked(MODEL, ())
    assert (model, said) == (MODEL, [])
    assert [(each.model.base_url, each.work) for each in members] == [
        (f"http://{name}/v1", f"as http://{name}/v1 honours it") for name in "abc"
    ]


def test_one_that_does_not_answer_is_left_out_and_said():
    model, members, said = asked(MODEL, ("http://b/v1",))
    assert (model.weights, [each.model for each in members]) == ((1.0, 3.0), [*model.pool])
    assert said == ["an endpoint of the pool is left out: http://b/v1 does not answer"]


@pytest.mark.parametrize("model", [MODEL, Model(base_url="http://a/v1")])
def test_none_that_answers_ends_it(model):
    with pytest.raises(EndpointError, match="http://a/v1 does not answer"):
        asked(model, [f"http://{name}/v1" for name in "abc"])


def test_a_model_without_a_pool_stays_as_it_is():
    model = Model(base_url="http://a/v1")
    assert asked(model, ())[0] == model
