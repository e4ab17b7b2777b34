"""`personahub check-models`: a look at the real endpoints."""

from personahub.cli.options import Files, Sets, opened, settings_of
from personahub.errors import AuthenticationError, EndpointError, ErrorKind, RootInUse
from personahub.render.terminal import new_console


def check_models(config: Files = None, sets: Sets = None) -> None:
    """Ask each configured endpoint for tiny answers to what the stages would ask: does it answer, and how does it want to be asked?

    A hub that exists remembers what was found: runs go by it. It costs a few thousand tokens at most.
    """
    from personahub import pipeline
    from personahub.render import endpoints, views

    settings = settings_of(config, sets)
    checked = pipeline.check_endpoints(settings)
    endpoints.view(new_console(), checked)
    if pipeline.is_there(settings):
        try:
            with opened(settings, spend=True) as (hub, _):
                pipeline.keep_findings(hub, checked)
        except RootInUse as error:
            views.plain(new_console(), f"nothing of it is remembered: {error}")
    refused = [one for one in checked if one.kind is not None]
    if refused:
        by_key = any(one.kind is ErrorKind.AUTHENTICATION for one in refused)
        problems = [
            f"models.{one.alias}: {one.says}"  # what is wrong with a key names the endpoint
            if one.kind is ErrorKind.AUTHENTICATION
            else f"{one.alias} ({one.model.base_url}): {one.says}"
            for one in refused
        ]
        raise (AuthenticationError if by_key else EndpointError)("\n".join(problems))
