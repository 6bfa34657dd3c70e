"""Names of a package that are imported on first use, so that importing the package is quick."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def lazily(
    package: str, exported: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """What a package defines as its `__getattr__`, `__dir__` and `__all__` (PEP 562).

    Args:
        package: The package's `__name__`.
        exported: The names that each module offers, by the module's full name.

    Raises:
        AttributeError: (`__getattr__`) The package has no such name.

    Example:
        >>> __getattr__, __dir__, __all__ = lazily("curate", {"airrep.errors": ["CurateError"]})
        >>> __getattr__("CurateError").__name__
        'CurateError'
    """
    homes = {name: module for module, names in exported.items() for name in names}
    everything = sorted(homes)

    def find(name: str) -> object:
        if name in homes:
            return getattr(import_module(homes[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find, lambda: list(everything), everything
