"""
Make the Python modules and their types from the .proto files, in place.

Generated code is not committed: protobuf demands a runtime at least as new as the generator, so
the generator's version belongs to the build. Hatchling runs this file as its build hook for every
`pip install .`, `pip install -e .` and wheel; `python proto/generate_stubs.py` (`make proto`) does
the same by hand after a .proto changed. Both do nothing when the output is up to date.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from importlib import metadata, resources
from pathlib import Path

from grpc_tools import protoc
from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROTO_ROOT = Path(__file__).resolve().parent
PACKAGE_ROOT = PROTO_ROOT / "headgate"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")
# Holds the fingerprint of what the output was made from.
STAMP = PACKAGE_ROOT / ".stubs"


class StubsHook(BuildHookInterface[BuilderConfig]):
    """Hatchling's way in; pyproject.toml lists the output as wheel artifacts."""

    def initialize(self, version: str, build_data: dict[str, object]) -> None:
        """Generate before hatchling collects files; a source archive carries only the sources."""
        if self.target_name == "wheel":
            generate()


def generate() -> bool:
    """Bring the generated modules up to date; True when anything had to be made."""
    sources = sorted(PACKAGE_ROOT.rglob("*.proto"))
    if not sources:
        raise SystemExit(
            f"proto/generate_stubs.py: expected .proto files under {PACKAGE_ROOT}, found none"
        )
    fingerprint = _fingerprint(sources)
    if _is_current(sources, fingerprint):
        return False
    # A whole new set is made aside and moved in file by file: a failed run leaves the old set as
    # it was, and a process that imports meanwhile never reads half a file.
    with tempfile.TemporaryDirectory(dir=PROTO_ROOT, prefix=".stubs-") as scratch:
        _compile(sources, Path(scratch))
        _move_in(Path(scratch))
    STAMP.write_text(fingerprint + "\n", encoding="ascii")
    return True


def _fingerprint(sources: list[Path]) -> str:
    """Hash of everything the output depends on: the sources, both generators, and this file."""
    digest = hashlib.sha256()
    for tool in ("grpcio-tools", "mypy-protobuf"):
        digest.update(f"{tool} {metadata.version(tool)}\n".encode())
    for path in (Path(__file__), *sources):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(PROTO_ROOT)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _is_current(sources: list[Path], fingerprint: str) -> bool:
    """Whether the stamp matches and no generated module has been deleted since."""
    if not STAMP.exists() or STAMP.read_text(encoding="ascii").strip() != fingerprint:
        return False
    return all(
        source.with_name(f"{source.stem}{suffix}").exists()
        for source in sources
        for suffix in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")
    )


def _compile(sources: list[Path], output: Path) -> None:
    """Run protoc with the Python, gRPC and type generators; its own message says what is wrong."""
    plugins = {name: _plugin(name) for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")}
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTO_ROOT}",
            f"--proto_path={resources.files('grpc_tools') / '_proto'}",
            *(f"--plugin={name}={path}" for name, path in plugins.items()),
            f"--python_out={output}",
            f"--grpc_python_out={output}",
            f"--mypy_out=quiet,readable_stubs:{output}",
            f"--mypy_grpc_out=quiet,readable_stubs:{output}",
            *(str(source.relative_to(PROTO_ROOT)) for source in sources),
        ]
    )
    if status != 0:
        raise SystemExit(f"proto/generate_stubs.py: protoc failed with status {status}")


def _plugin(name: str) -> str:
    """Path of a protoc plugin: beside this interpreter, or on PATH as in pip's isolated builds."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    path = shutil.which(name, path=places)
    if path is None:
        raise SystemExit(f"proto/generate_stubs.py: {name} not found; install mypy-protobuf")
    return path


def _move_in(output: Path) -> None:
    """Replace the old set by the new one, dropping modules whose .proto is gone."""
    made = {path.relative_to(output) for path in output.rglob("*") if path.is_file()}
    for pattern in GENERATED:
        for old in PACKAGE_ROOT.rglob(pattern):
            if old.relative_to(PROTO_ROOT) not in made:
                old.unlink()
    for path in made:
        os.replace(output / path, PROTO_ROOT / path)


if __name__ == "__main__":
    print("proto: generated" if generate() else "proto: up to date")
