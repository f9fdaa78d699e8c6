"""Java's properties files, as Kafka reads its settings from. Pure."""

from __future__ import annotations

from collections.abc import Mapping


def render_properties(properties: Mapping[str, str]) -> str:
    """The text of such a file, sorted by key and of ASCII alone. Raises ValueError on a line break in a value.

    Java reads these files as ISO 8859-1, so a path with other letters is written by their numbers.
    """
    for key, value in properties.items():
        if "\n" in key + value or "\r" in key + value:
            raise ValueError(f"{key} holds a line break")
    return "".join(_escaped(f"{key}={value}\n") for key, value in sorted(properties.items()))


def _escaped(line: str) -> str:
    units = line.replace("\\", "\\\\").encode("utf-16-be")
    numbers = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "".join(chr(number) if number < 128 else f"\\u{number:04x}" for number in numbers)
