"""Secrets from files: `<VARIABLE>_FILE` names the file that holds what `<VARIABLE>` would."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsError

SUFFIX = "_FILE"


def secret_variables(settings: type[BaseSettings]) -> list[str]:
    """The variables that may come from files: those whose values are masked."""
    fields = settings.model_fields.items()
    return [str(field.alias or name) for name, field in fields if field.annotation is SecretStr]


class SecretFiles(PydanticBaseSettingsSource):
    """Reads the files of secrets, without the line end that editors leave there.

    Not the library's `secrets_dir`: a secret that is not in that directory is as one that was
    never meant to be there, so that a wrong path would let the API make a key of its own.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value, None where no file is named, and the variable that it stands for."""
        variable = str(field.alias or field_name)
        path = os.environ.get(variable + SUFFIX, "")
        return (_read(variable, path) if path else None), variable, False

    def __call__(self) -> dict[str, Any]:
        """The values by variable.

        Raises:
            SettingsError: a file cannot be read or holds no secret, or both variables are set;
                names the variable, and quotes nothing of the file.
        """
        found: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            if field.annotation is SecretStr:
                value, variable, _ = self.get_field_value(field, name)
                if value is not None:
                    found[variable] = value
        return found


def _read(variable: str, path: str) -> str:
    named = variable + SUFFIX
    if os.environ.get(variable):
        raise SettingsError(f"{variable} and {named} are both set: leave one out")
    try:
        value = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{named}: {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{named}: {path} is not text in UTF-8") from None
    if not value:
        raise SettingsError(f"{named}: {path} is empty")
    return value
