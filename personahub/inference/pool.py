"""The endpoints that a purchase asks: a model's own, or the pool that it names, without those that cannot be asked."""

from collections.abc import Callable

from personahub.config import Model
from personahub.errors import EndpointError
from personahub.inference.executor import PoolMember
from personahub.inference.work import Work
from personahub.storage.hub import Hub


def pool_of(hub: Hub, model: Model, work_at: Callable[[Model], Work]) -> tuple[Model, tuple[PoolMember, ...]]:
    """The model with the endpoints that can be asked, and how each is asked.

    work_at: finds out how, of the model at one endpoint; what raises EndpointError there leaves it out of this purchase, which is said.
    Raises that of the first where all do.
    """
    members: list[PoolMember] = []
    errors: list[EndpointError] = []
    for one in model.pool:
        try:
            members.append(PoolMember(one, work_at(one)))
        except EndpointError as error:
            errors.append(error)
    if not members:
        raise errors[0]
    for why in errors:
        hub.ui.say(f"an endpoint of the pool is left out: {why}")
    asked = {member.model.base_url for member in members}
    endpoints = tuple(each for each in model.endpoints if each.base_url in asked)
    return model.model_copy(update={"endpoints": endpoints}), tuple(members)
