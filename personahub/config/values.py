"""What the blocks of the configuration are made of: their base class, and types of values that several of them have."""

import os
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from personahub.errors import ConfigError
from personahub.text import language_code

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Price = Annotated[float, Field(ge=0)]


def expanded(path: str) -> str:
    """With the home folder for ~ and the values of $VARIABLES of the environment; one that is not set stays as it is.

    Raises ConfigError where there is no home folder, as in a container of any user.
    """
    try:
        return _expanded(path)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def _expanded(path: str) -> str:
    # a ValueError, to which the settings add their key
    found = os.path.expanduser(os.path.expandvars(path))
    if re.match(r"~[^/]*(/|$)", found) and not os.path.exists(found):
        raise ValueError(f"there is no home folder for {found.partition('/')[0]}: set HOME, or name the whole path")
    return found


Place = Annotated[str, AfterValidator(_expanded)]
Language = Annotated[str, AfterValidator(language_code)]


class Settings(BaseModel):
    """A level of the configuration."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)
