"""Scenarios in files: a function `scenario` whose parameters have defaults, which others can
replace.

Whatever a file does wrong becomes one line with the file and the line number.
"""

import inspect
import runpy
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cosim.settings
from cosim.errors import InputError, StramashError, suggest
from launch import build, scenarios
from launch.scenario import Scenario

FUNCTION = "scenario"
KINDS = (bool, int, float, str)


@dataclass(frozen=True)
class Declaration:
    """A function that makes a Scenario.

    name: for folders.  file: where it is.  parameters: name -> default.
    """

    name: str
    file: str
    function: Callable[..., Scenario]
    parameters: Mapping[str, Any]

    @property
    def question(self) -> str:
        """The first line of its description."""
        module = getattr(self.function, "__globals__", {}).get("__doc__")
        text = module or self.function.__doc__ or ""
        return text.strip().split("\n")[0]

    def declare(self, given: Mapping[str, Any]) -> Scenario:
        """The scenario with these values of parameters and settings, over the defaults.

        Values are text, or of the parameter's type.  InputError for unknown names, values that
        are none, and for whatever the function raises.
        """
        own = {name: value for name, value in given.items() if name in self.parameters}
        settings = {name: value for name, value in given.items() if name not in own}
        values = {name: parsed(name, self.parameters[name], value) for name, value in own.items()}
        made = guarded(self.file, lambda: self.function(**values))
        if not isinstance(made, Scenario):
            kind = type(made).__name__
            raise InputError(f"{self.file}: {FUNCTION}() must return a Scenario, not a {kind}")
        if not made.jobs:
            raise InputError(f"{self.file}: the scenario starts no program; use start()")
        known = cosim.settings.names(made.node_names)
        for name in settings:
            if name not in known:
                hint = suggest(name, [*self.parameters, *known])
                listed = ", ".join(self.parameters) or "none"
                raise InputError(
                    f"--set {name}: neither a parameter of {self.file} ({listed}) nor a setting"
                    f"{hint}"
                )
        if settings:
            made.override(settings)
            made.machine()
        return made

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every parameter's value, and the settings that were given."""
        own = {
            name: parsed(name, default, given[name]) if name in given else default
            for name, default in self.parameters.items()
        }
        return {**own, **{name: value for name, value in given.items() if name not in own}}


def find(name: str | Path) -> Path | None:
    """The file of a scenario given by path (*.py) or by the name of a bundled one, else None."""
    if str(name).endswith(".py"):
        return Path(name)
    return scenarios.bundled().get(str(name))


def is_scenario(name: str | Path) -> bool:
    """Does `stramash run` take it for one?  A bundled program of the same name goes first."""
    return find(name) is not None and str(name) not in build.bundled()


def load(name: str | Path) -> Declaration:
    """The scenario of a file, or a bundled one.  InputError, one line, when there is none."""
    path = find(name)
    if path is None or not path.is_file():
        known = scenarios.bundled()
        hint = suggest(str(name), known) or f"; bundled scenarios: {', '.join(known)}"
        raise InputError(f"{name}: no such scenario{hint}")
    file = str(path)
    names = guarded(file, lambda: runpy.run_path(file, run_name=path.stem))
    function = names.get(FUNCTION)
    if not callable(function):
        raise InputError(f"{file}: has no function {FUNCTION}(); it makes and returns a Scenario")
    return of_function(function, path.stem, file)


def of_function(function: Callable[..., Scenario], name: str = "", file: str = "") -> Declaration:
    """The declaration that a function is.  InputError for a parameter that --set could not give."""
    place = file or inspect.getfile(function)
    parameters = {}
    for parameter in inspect.signature(function).parameters.values():
        default = parameter.default
        if default is parameter.empty or not (default is None or isinstance(default, KINDS)):
            raise InputError(
                f"{place}: parameter {parameter.name!r} of {FUNCTION}() needs a default that is a"
                " number, text, a flag or None"
            )
        parameters[parameter.name] = default
    return Declaration(name or function.__name__, place, function, parameters)


def parsed(name: str, default: object, value: object) -> Any:
    """A parameter's value, of the type of its default.  InputError when it is none."""
    if not isinstance(value, str) or default is None or isinstance(default, str):
        return value
    if isinstance(default, bool):
        flag = cosim.settings.FLAGS.get(value.lower())
        if flag is None:
            raise InputError(f"--set {name}={value}: a flag is true or false")
        return flag
    kind = int if isinstance(default, int) else float
    try:
        return kind(value)
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise InputError(f"--set {name}={value}: {what} is needed, as {default}") from error


def guarded(file: str, call: Callable[[], Any]) -> Any:
    """What the call returns; whatever it raises becomes an InputError with file and line."""
    try:
        return call()
    except SyntaxError as error:
        raise InputError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except Exception as error:  # a user's file: anything can come out of it
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
        place = f"{file}:{frames[-1].lineno}" if frames else file
        kind = "" if isinstance(error, StramashError) else f"{type(error).__name__}: "
        raise InputError(f"{place}: {kind}{error}") from error


def sweep(texts: Sequence[str]) -> dict[str, list[str]]:
    """`name=value,value` texts as lists of values.  InputError for text of another form."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        listed = [value.strip() for value in values.split(",")]
        if not equals or not name or not all(listed):
            raise InputError(f"--set {text}: write name=value or name=value,value,...")
        if name in found:
            raise InputError(f"--set {name}: given twice; write all values in one, with commas")
        if len(set(listed)) < len(listed):
            raise InputError(f"--set {text}: a value is there twice; --repeat makes runs again")
        found[name.strip()] = listed
    return found
