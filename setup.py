"""Builds the compiled transport where that can be done; setup.cfg has all else.

An install never fails because it can't: it says so in one sentence and leaves the reason in the package, in `NOTE`,
since pip hides what a build says. The environment variable `VARIABLE` decides otherwise: "pure" builds without it,
"compiled" makes its absence an error. The compiler and its flags are the user's (CC, CFLAGS, LDFLAGS).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError, SetupError

VARIABLE = "PRODUCER_BUILD"
CHOICES = ("pure", "compiled")
NOTE = "_not_built.txt"
SOURCES = Path("producer")
EXTENSION = Extension(
    "producer._librdkafka",
    [str(SOURCES / "_librdkafka.pyx")],
    include_dirs=[str(SOURCES)],
    depends=[str(header) for header in sorted(SOURCES.glob("*.h"))],
)
SEE_MORE = f"to see why, install again with {VARIABLE}=compiled"


class NotBuilt(Exception):
    """The compiled transport can't be built here; why, and what to do, as the second half of a sentence."""


class BuildIfPossible(build_ext):
    """`build_ext` for one extension that may be missing in the end: then the package is one of Python alone."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.cython_c_in_temp = True

    def finalize_options(self) -> None:
        super().finalize_options()
        # Whoever installs again may have changed what times of files don't show: the compiler, flags, Cython.
        self.force = True

    def run(self) -> None:
        module = Path(self.get_ext_fullpath(EXTENSION.name))
        note = module.with_name(NOTE)
        # What an earlier build left here would be taken for this one's.
        module.unlink(missing_ok=True)
        note.unlink(missing_ok=True)
        try:
            self._build()
        except NotBuilt as reason:
            self._do_without(reason, note)

    def build_extensions(self) -> None:
        if (
            self.compiler.compiler_type == "unix"
            and shutil.which(command := self.compiler.compiler_so[0]) is None
        ):
            raise NotBuilt(
                f"no C compiler ({command}) was found; install gcc and Python's headers "
                "(Debian: apt-get install gcc libc6-dev python3-dev)"
            )
        if self.compiler.compiler_type == "unix" and "CFLAGS" not in os.environ:
            EXTENSION.extra_compile_args = ["-O3", "-g0"]
        super().build_extensions()

    def _build(self) -> None:
        match os.environ.get(VARIABLE, ""):
            case "pure":
                raise NotBuilt(f"{VARIABLE}=pure was set when it was installed")
            case "" | "compiled":
                pass
            case other:
                raise SetupError(f"{VARIABLE} is {other!r}; it can be {' or '.join(CHOICES)}, or unset.")
        if importlib.util.find_spec("Cython") is None:
            raise NotBuilt("Cython was not found; install it, or leave out --no-build-isolation")
        from Cython.Compiler.Errors import CompileError as CythonError

        try:
            super().run()
        except CythonError as error:
            version = importlib.metadata.version("cython")
            raise NotBuilt(f"Cython {version} could not translate it; {SEE_MORE}") from error
        except (BaseError, CCompilerError) as error:
            if not any(Path(place, "Python.h").exists() for place in self.include_dirs):
                raise NotBuilt(
                    "Python's headers (Python.h) were not found; install them (Debian: apt-get install python3-dev)"
                ) from error
            raise NotBuilt(f"the C compiler failed; {SEE_MORE}") from error

    def _do_without(self, reason: NotBuilt, note: Path) -> None:
        sentence = f"The compiled transport was not built: {reason}."
        if os.environ.get(VARIABLE) == "compiled":
            raise SetupError(sentence)
        self.extensions = []
        self.distribution.ext_modules = []
        # It took the package for one of this platform before anything was built.
        if (wheel := self.distribution.get_command_obj("bdist_wheel", create=False)) is not None:
            wheel.root_is_pure = True
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{sentence}\n", "utf-8")
        print(f"{sentence} The pure one will be used.", file=sys.stderr)


setup(ext_modules=[EXTENSION], cmdclass={"build_ext": BuildIfPossible})
