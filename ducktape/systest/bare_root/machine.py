"""What a machine's configuration says of the registries that packages come from: Debian's, PyPI and Maven Central.

A bare root gets it, since a machine's own way to the registries, such as a mirror, a proxy or an authority to trust, is
no part of what is proven there. Whatever is not of registries stays outside, and so does what holds passwords for them.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from jgo.constants import MAVEN_CENTRAL_URL

_COMMAND_LIMIT_S = 60.0
_PORTS = {"http": 80, "https": 443}
_COMPONENTS = {"debian": ("main",), "ubuntu": ("main", "universe")}  # where Ubuntu has python3-venv
_ITS_MIRROR = re.compile(r"^\s*default_mirror (\S+)$", re.MULTILINE)
_ANY_MIRROR = re.compile(r'^DEF_MIRROR="(.+)"$', re.MULTILINE)
# pip tells its own index nowhere else.
_PIP_S_OWN = "from pip._internal.models.index import PyPI; print(PyPI.simple_url, f'https://{PyPI.file_storage_domain}')"
_PIP_KEYS = (
    *("index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "cert"),
    *("timeout", "default-timeout", "retries"),
)
_VARIABLES = (
    *(
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "ALL_PROXY",
    ),
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
_AUTHORITIES = Path("/usr/local/share/ca-certificates")
_APT_SETTING = re.compile(r'^[\w:./-]+ "(.*)";$')


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where a registry, or a proxy before it, answers."""

    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> Endpoint:
        """Of a URL, or of HOST or HOST:PORT, with https' port. Raises ValueError if it is none."""
        parts = urlsplit(text if "://" in text else f"https://{text}")
        if not parts.hostname:
            raise ValueError(f"{text!r} names no host; write HOST or HOST:PORT")
        return cls(parts.hostname, parts.port or _PORTS.get(parts.scheme, 443))


@dataclass(frozen=True, slots=True)
class System:
    """Which Debian or Ubuntu a root is made of.

    Args:
        suite: its code name, such as `trixie`.
        mirror: where its packages are.
        components: parts of the archive.
        sources: lines of apt's sources.list for it.
    """

    suite: str
    mirror: str
    components: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Registries:
    """The way to them.

    Args:
        endpoints: all that a root may reach.
        apt_settings: lines of apt.conf.
        environment: variables for pip, requests and what else fetches.
        files: that settings and variables name; they lie at the same paths in the root.
    """

    endpoints: tuple[Endpoint, ...]
    apt_settings: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


def system_wanted(suite: str, mirror: str) -> System:
    """That of the machine, unless something else is asked for: "" leaves it open.

    Raises ValueError where it is open and the machine is neither a Debian nor an Ubuntu.
    """
    release = _os_release()
    suite = suite or release.get("VERSION_CODENAME", "")
    if not suite:
        raise ValueError("this machine is no Debian or Ubuntu; choose one by --suite, such as --suite trixie")
    targets = _apt_targets(
        _said("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)")
    )
    return system_of(suite, mirror, targets)


def system_of(suite: str, mirror: str, targets: Iterable[tuple[str, str, str]]) -> System:
    """The system of this suite, given where apt looks: the repository, the release, the component of each."""
    distribution = distribution_of(suite)
    components = _COMPONENTS[distribution]
    ours = [
        (uri, release)
        for uri, release, component in targets
        if release in (suite, f"{suite}-updates", f"{suite}-security")
        and component == "main"
        and urlsplit(uri).scheme in _PORTS  # debootstrap knows no others that apt does
    ]
    main = next((uri for uri, release in ours if release == suite), "")
    if mirror or not main:
        mirror = mirror or mirror_of(suite)
        ours = [(mirror, suite)]
    lines = dict.fromkeys(f"deb {uri} {release} {' '.join(components)}" for uri, release in ours)
    return System(suite, mirror or main, components, tuple(lines))


def distribution_of(suite: str) -> str:
    """Which of the two has it, as debootstrap's script of that name says where there is one."""
    return "ubuntu" if "ubuntu" in _script(suite) else "debian"


def mirror_of(suite: str) -> str:
    """Where debootstrap itself looks for it. Raises ValueError if it does not say."""
    program = Path(shutil.which("debootstrap", path="/usr/sbin:/usr/bin") or os.devnull)
    found = _ITS_MIRROR.search(_script(suite)) or _ANY_MIRROR.search(program.read_text("utf-8", "replace"))
    if found is None:
        raise ValueError(f"neither apt nor debootstrap says where {suite} is; say so by --mirror")
    return found[1]


def _script(suite: str) -> str:
    script = Path("/usr/share/debootstrap/scripts", suite)
    return script.read_text("utf-8", "replace") if script.exists() else ""


def registries(system: System, also: Sequence[Endpoint] = ()) -> Registries:
    """The machine's way to them; `also` may be reached beside them."""
    settings = apt_settings(_said("apt-config", "dump", "Acquire"))
    pip = pip_variables(_said(sys.executable, "-m", "pip", "config", "list"))
    environment = {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)} | pip
    named = [*environment.values(), *(_APT_SETTING.sub(r"\1", line) for line in settings)]
    files = {Path(value) for value in named if value.startswith("/") and Path(value).is_file()}
    files |= set(_AUTHORITIES.glob("*.crt"))  # else an installation of ca-certificates would forget them
    urls = [
        *_said(sys.executable, "-c", _PIP_S_OWN).split(),
        MAVEN_CENTRAL_URL,
        *(line.split()[1] for line in system.sources),
        *_urls(environment, settings),
    ]
    endpoints = {*(Endpoint.of(url) for url in urls), *also}
    return Registries(tuple(sorted(endpoints)), settings, environment, tuple(sorted(files)))


def apt_settings(dump: str) -> tuple[str, ...]:
    """Those of `apt-config dump` that are whole lines with a value."""
    return tuple(line for line in dump.splitlines() if (found := _APT_SETTING.match(line)) and found[1])


def pip_variables(listed: str) -> dict[str, str]:
    """What `pip config list` says, as variables; without folders of this machine, which are no registry."""
    found: dict[str, str] = {}
    of_environment: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section not in ("global", ":env:") or key not in _PIP_KEYS:
            continue
        words = str(ast.literal_eval(value)).split()
        if key in ("find-links", "extra-index-url"):
            words = [word for word in words if "://" in word and not word.startswith("file:")]
        if words:
            variables = of_environment if section == ":env:" else found
            variables[f"PIP_{key.upper().replace('-', '_')}"] = " ".join(words)
    return found | of_environment


def _urls(environment: Mapping[str, str], settings: Iterable[str]) -> Iterator[str]:
    """All that may be reached because a setting says so: mirrors and proxies."""
    for name, value in environment.items():
        if name.lower().endswith("_proxy") and name.lower() != "no_proxy":
            yield value if "://" in value else f"http://{value}"
        elif name.startswith("PIP_"):
            yield from (word for word in value.split() if "://" in word)
    for line in settings:
        if "proxy" in line.split()[0].lower() and "://" in (value := _APT_SETTING.sub(r"\1", line)):
            yield value


def _apt_targets(said: str) -> list[tuple[str, str, str]]:
    rows = [line.split() for line in said.splitlines()]
    return [(row[0].rstrip("/"), row[1], row[2]) for row in rows if len(row) == 3]


def _os_release() -> dict[str, str]:
    file = Path("/etc/os-release")
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}


def _said(*command: str) -> str:
    """What it writes; nothing if it isn't there or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_COMMAND_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
