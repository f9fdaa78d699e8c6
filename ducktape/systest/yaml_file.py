"""YAML that a user wrote: read, or refused in a sentence that says where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


class NotYaml(ValueError):
    """The file can't be read, or is no YAML; `str` is one sentence without an end, which begins with the file."""


def read_yaml(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """What a file holds. Raises NotYaml."""
    try:
        return yaml.load(path.read_text("utf-8"), loader)
    except yaml.MarkedYAMLError as error:
        where = "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
        raise NotYaml(f"{path} is not YAML{where}: {error.problem}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise NotYaml(f"{path} can't be read: {error}") from error
    except (TypeError, ValueError) as error:
        # It is YAML, and yet no value: a sequence as a key, the 30th of February.
        raise NotYaml(f"{path} holds what is no value: {error}") from error
