"""Import the packages that only an extra of this distribution installs."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from airrep.errors import ArgumentError


def import_extra(module: str, *, package: str, extra: str, purpose: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        module: The full name of the module.
        package: The distribution that contains it.
        extra: The extra of this distribution that installs a version that works.
        purpose: What needs the package; the first words of the message.

    Raises:
        ArgumentError: The package is not installed, or its version does not work with the others.
    """
    root = module.partition(".")[0]
    try:
        import_module(root)
        return import_module(module)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == root:
            raise ArgumentError(
                f"{purpose} needs {package}, which is not installed; install it with: "
                f"pip install 'airrep-curate[{extra}]'."
            ) from error
        try:
            installed = version(package)
        except PackageNotFoundError:
            installed = "of an unknown version"
        raise ArgumentError(
            f"{purpose} needs {package}, but the one that is installed ({installed}) cannot be "
            f"imported: {error}. Install a version that works with: "
            f"pip install --upgrade 'airrep-curate[{extra}]'."
        ) from error
