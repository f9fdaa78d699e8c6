"""What is pinned, and how a lock file is made anew when a pin changes.

To move to another version: change it here, run `python -m systest.distribution pin`, look at the difference,
commit both. This is the only place where anything is resolved.
"""

from __future__ import annotations

from pathlib import Path

from systest.distribution import lockfile
from systest.distribution.cache import cache_root, exclusive, partial
from systest.distribution.lockfile import LockedJar

KAFKA_VERSION = "4.3.0"
ECJ_VERSION = "3.44.0"
KAFKA_SET = f"kafka-{KAFKA_VERSION}"
ECJ_SET = f"ecj-{ECJ_VERSION}"

# kafka-clients is named although the others need it: unnamed, log4j's dependency management puts in 3.8.0.
# Without log4j-slf4j-impl the broker logs nothing.
_COORDINATES = {
    KAFKA_SET: (
        f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
        f"org.apache.kafka:kafka-clients:{KAFKA_VERSION}",
        f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
    ),
    ECJ_SET: (f"org.eclipse.jdt:ecj:{ECJ_VERSION}",),
}


def pin(set_name: str) -> Path:
    """Resolves a set by its coordinates and writes its lock file beside this module; returns that file.

    Raises RuntimeError if any jar of Kafka came in another version than the pinned one.
    """
    from jgo.env import EnvironmentBuilder, LinkStrategy
    from jgo.maven import MavenContext

    with exclusive(cache_root() / "pin"), partial(cache_root() / "pin") as work:
        context = MavenContext(repo_cache=work / "maven", local_repos=[])
        builder = EnvironmentBuilder(context=context, cache_dir=work / "env", link_strategy=LinkStrategy.COPY)
        environment = builder.from_endpoint("+".join(_COORDINATES[set_name]))
        by_name = {path.name: path for path in environment.path.rglob("*.jar")}
        assert environment.lockfile is not None
        jars = [
            LockedJar(
                found.groupId,
                found.artifactId,
                found.version,
                by_name[f"{found.artifactId}-{found.version}.jar"].stat().st_size,
                lockfile.sha256_of(by_name[f"{found.artifactId}-{found.version}.jar"]),
            )
            for found in environment.lockfile.dependencies
        ]
    if {jar.file_name for jar in jars} != set(by_name):
        raise RuntimeError(f"jgo listed other jars for {set_name} than it fetched")
    strangers = kafka_jars_of_other_versions(jars)
    if strangers:
        raise RuntimeError(f"{set_name} was resolved with {', '.join(strangers)}; name these in pins.py")
    file = Path(__file__).parent / f"{set_name}.lock"
    file.write_text(
        lockfile.render(jars, "Made by `python -m systest.distribution pin`; see pins.py."), "utf-8"
    )
    return file


def kafka_jars_of_other_versions(jars: list[LockedJar]) -> list[str]:
    """Coordinates of jars of Apache Kafka whose version is not the pinned one."""
    return [j.coordinate for j in jars if j.group == "org.apache.kafka" and j.version != KAFKA_VERSION]
