"""
Builds the wheel: compiles libipcnet.so from the repository's C sources, and zips it with the package. A PEP 517 backend with no requirements, so that `pip wheel .` downloads nothing; without pip:

    python3 build_wheel.py [FOLDER]        writes ipcnet-<version>-py3-none-linux_<machine>.whl

The C compiler is $CC, else gcc, else cc. For another machine: CC=aarch64-linux-gnu-gcc IPCNET_MACHINE=aarch64. The sources and flags are those of shm/core/native.json.
"""

import base64
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
#: native.json and what it names: in the repository beside this folder, in an sdist below it.
NATIVE = next(path for path in (os.path.join(HERE, "native", "shm", "core"), os.path.join(HERE, "..", "core")) if os.path.exists(os.path.join(path, "native.json")))
WARNINGS = ["-std=gnu11", "-Wall", "-Wextra"]
#: A fixed date in the zip: the same sources give the same bytes.
DATE = (2020, 1, 1, 0, 0, 0)


def project():
    """Name, version, description and the Python it needs, from pyproject.toml (Python 3.9 has no TOML reader; these are plain strings)."""
    with open(os.path.join(HERE, "pyproject.toml"), encoding="utf-8") as file:
        text = file.read().split("[project]")[1].split("\n[")[0]
    return dict(re.findall(r'^([\w-]+) = "(.*)"$', text, re.M))


def manifest():
    with open(os.path.join(NATIVE, "native.json"), encoding="utf-8") as file:
        read = json.load(file)
    library = next(library for library in read["libraries"] if library["name"] == "ipcnet")
    return read, {**library, "sources": expanded(library["sources"], read.get("groups", {}))}


def expanded(names, groups):
    """File names; "@name" stands for those of a group."""
    found = []
    for name in names:
        for each in expanded(groups[name[1:]], groups) if name.startswith("@") else [name]:
            if each not in found:
                found.append(each)
    return found


def compile_library(output):
    native, library = manifest()
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise SystemExit("a C compiler is needed to build ipcnet: sudo apt-get install -y gcc libc6-dev")
    at = lambda name: os.path.normpath(os.path.join(NATIVE, name))
    command = [
        *compiler.split(), *WARNINGS, "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-D_GNU_SOURCE", f'-DIPCNET_VERSION="{project()["version"]}"', *library.get("flags", []), *(f"-I{at(name)}" for name in native.get("include", [])),
        *map(at, library["sources"]), "-o", output, f"-Wl,-soname,libipcnet.so.{library['abi']}", "-Wl,--build-id=none", "-Wl,-z,defs", "-s", *library.get("libs", []), "-lpthread",
    ]
    subprocess.run(command, check=True)


def package_files():
    for folder, folders, names in os.walk(os.path.join(HERE, "ipcnet")):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            if name.endswith((".py", ".typed")):
                path = os.path.join(folder, name)
                yield os.path.relpath(path, HERE), path


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """PEP 517: writes the wheel, returns its name."""
    facts = project()
    machine = os.environ.get("IPCNET_MACHINE") or platform.machine()
    tag = f"py3-none-linux_{machine}"
    name, info = f"{facts['name']}-{facts['version']}-{tag}.whl", f"{facts['name']}-{facts['version']}.dist-info"
    os.makedirs(wheel_directory, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        library = os.path.join(scratch, "libipcnet.so")
        compile_library(library)
        with zipfile.ZipFile(os.path.join(wheel_directory, name), "w", zipfile.ZIP_DEFLATED) as wheel:
            record = []

            def add(path, data, mode=0o644):
                entry = zipfile.ZipInfo(path, DATE)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, (0o100000 | mode) << 16
                wheel.writestr(entry, data)
                digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                record.append(f"{path},sha256={digest},{len(data)}")

            for path, source in package_files():
                with open(source, "rb") as file:
                    add(path, file.read())
            with open(library, "rb") as file:
                add("ipcnet/libipcnet.so", file.read(), 0o755)
            add(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {facts['name']}\nVersion: {facts['version']}\nSummary: {facts['description']}\nRequires-Python: {facts['requires-python']}\n".encode())
            add(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: ipcnet\nRoot-Is-Purelib: false\nTag: {tag}\n".encode())
            record.append(f"{info}/RECORD,,")
            wheel.writestr(zipfile.ZipInfo(f"{info}/RECORD", DATE), "\n".join(record) + "\n")
    return name


def build_sdist(sdist_directory, config_settings=None):
    """PEP 517: the package with the C sources it is compiled from, below native/ as they stand in the repository."""
    import tarfile

    facts = project()
    base = f"{facts['name']}-{facts['version']}"
    root = os.path.normpath(os.path.join(NATIVE, "..", ".."))
    native, library = manifest()
    wanted = {os.path.join(NATIVE, "native.json")} | {os.path.normpath(os.path.join(NATIVE, name)) for name in library["sources"]}
    for folder in (os.path.normpath(os.path.join(NATIVE, name)) for name in native.get("include", [])):
        wanted |= {os.path.join(folder, name) for name in os.listdir(folder) if name.endswith((".h", ".inc"))}
    with tarfile.open(os.path.join(sdist_directory, f"{base}.tar.gz"), "w:gz") as archive:
        for name in ("pyproject.toml", "build_wheel.py", "README.md"):
            archive.add(os.path.join(HERE, name), f"{base}/{name}")
        for path, source in package_files():
            archive.add(source, f"{base}/{path}")
        for path in sorted(wanted):
            archive.add(path, f"{base}/native/{os.path.relpath(os.path.normpath(path), root)}")
    return f"{base}.tar.gz"


if __name__ == "__main__":
    print(build_wheel(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "..", "dist", "python")))
