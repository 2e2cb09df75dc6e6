"""Codecs as people write and read them: ``bounded:bound=rel:1e-3,base=jp2k(ratio=20)``.

::

    codec     NAME, NAME:SETTINGS or NAME(SETTINGS)
    settings  NAME=VALUE, separated by commas
    value     a number, true, false, null, text; a codec (then with parentheses, where
              it has more than one setting); several names joined by +
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from frazil.errors import ConfigurationError

PREFIX = "frazil."
WORDS = {"true": True, "false": False, "null": None}


def parse(text: str) -> dict[str, Any]:
    """Read a codec as a flat dict with an ``id``; codecs inside it are such dicts too.

    Raises
    ------
    ConfigurationError
        If a parenthesis has no partner, or a setting no value.

    Examples
    --------
    >>> parse("jp2k:ratio=32,coder=ht")
    {'id': 'jp2k', 'ratio': 32, 'coder': 'ht'}
    >>> parse("bounded:bound=rel:1e-3,base=jp2k(ratio=20,coder=ht)")["base"]
    {'id': 'jp2k', 'ratio': 20, 'coder': 'ht'}
    >>> parse("bounded:bound=local_std(window=15,fraction=0.1),preserve=sign+range")["bound"]
    'local_std:window=15,fraction=0.1'
    """
    name, inside = _name_and_inside(text)
    config: dict[str, Any] = {"id": name}
    for part in split(inside) if inside else []:
        key, value = pair(part, f"codec {name}")
        config[key] = _value_of(key, value)
    return config


def pair(text: str, where: str) -> tuple[str, str]:
    """Read ``NAME=VALUE``; ``where`` is what the message begins with."""
    name, equals, value = text.partition("=")
    if not (equals and name.strip() and value.strip()):
        raise ConfigurationError(f"{where} wants NAME=VALUE, got {text!r}")
    return name.strip(), value.strip()


def split(text: str) -> list[str]:
    """Split at the commas that are not in parentheses.

    Examples
    --------
    >>> split("bound=0.1,base=jp2k(ratio=20,coder=ht)")
    ['bound=0.1', 'base=jp2k(ratio=20,coder=ht)']
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            break
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    if depth:
        raise ConfigurationError(f"a parenthesis of {text!r} has no partner")
    return parts


def _name_and_inside(text: str) -> tuple[str, str]:
    name, opened, inside = text.strip().partition("(")
    if opened and ":" not in name:
        if not inside.endswith(")"):
            raise ConfigurationError(f"{text!r} should end with the parenthesis that it opens")
        return name.strip(), inside[:-1]
    name, _, inside = text.partition(":")
    return name.strip(), inside


def _value_of(key: str, text: str) -> Any:
    if key == "bound":
        name, inside = _name_and_inside(text) if "(" in text else (text, "")
        return f"{name}:{inside}" if inside else _scalar(text)
    if "(" in text or (key == "base" and ":" in text):
        return parse(text)
    return text.split("+") if key == "preserve" else _scalar(text)


def _scalar(text: str) -> Any:
    """Read numbers first: to YAML 1.1, 1e-3 is a text."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return WORDS.get(text.lower(), text.strip("'\""))


def codec_text(config: dict[str, Any]) -> str:
    """Name a codec and those of its settings that are not the defaults.

    Examples
    --------
    >>> codec_text({"id": "frazil.unknown", "ratio": 32, "per": "chunk"})
    'unknown ratio=32 per=chunk'
    >>> codec_text({"id": "frazil.bounded", "bound": "rel:1e-3", "base": {"id": "frazil.jp2k", "ratio": 20}})
    'bounded bound=rel:1e-3 base=jp2k(ratio=20)'
    """
    shown = [f"{name}={_value(name, value)}" for name, value in _settings(config).items()]
    return " ".join([str(config["id"]).removeprefix(PREFIX), *shown])


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """Those that are not the defaults; of codecs of other packages, whose defaults we do not know, all."""
    from dataclasses import fields, is_dataclass

    from numcodecs.registry import get_codec

    settings = {k: v for k, v in config.items() if k != "id" and v is not None}
    try:
        codec = get_codec(dict(config))
    except (ValueError, TypeError, ImportError):  # of a newer frazil, or not installed: all that it says
        return settings
    defaults = {f.name: f.default for f in fields(codec)} if is_dataclass(codec) else {}
    return {k: v for k, v in settings.items() if k not in defaults or defaults[k] != v}


def _value(name: str, value: Any) -> str:
    """Write a setting as the command line takes it, long numbers shortened."""
    if isinstance(value, dict) and "id" in value:
        inside = ",".join(f"{k}={_value(k, v)}" for k, v in _settings(value).items())
        return f"{str(value['id']).removeprefix(PREFIX)}({inside})"
    if isinstance(value, dict) and "digest" in value:  # a model: its name, for people
        return str(value.get("name") or value["digest"])
    if isinstance(value, list | tuple):
        return "+".join(map(str, value))
    if name == "bound" and isinstance(value, str) and "," in value:
        kind, _, rest = value.partition(":")
        return f"{kind}({rest})"
    return f"{value:.6g}" if isinstance(value, float) and len(repr(value)) > 9 else str(value)
