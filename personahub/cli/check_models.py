"""`personahub check-models`: a look at the real endpoints."""

from personahub.cli.options import Files, Sets, settings_of
from personahub.errors import AuthenticationError, EndpointError, ErrorKind
from personahub.render.terminal import new_console


def check_models(config: Files = None, sets: Sets = None) -> None:
    """Ask each configured endpoint for tiny answers to what the stages would ask: does it answer, and how does it want to be asked?"""
    from personahub import pipeline
    from personahub.render import views

    checked = pipeline.check_endpoints(settings_of(config, sets))
    console = new_console()
    views.models(
        console, [(one.alias, one.model.model, one.model.base_url, "\n".join([one.says, *one.notes])) for one in checked]
    )
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
