"""Takes Magika's model of file types (Apache-2.0, 3 MB) out of its package on PyPI, into models/.

    python3 fetch_models.py

Needs pip, and nothing else. The package is for one platform, but the model in it is for all.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "magika==1.0.3"
WHEEL = "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529"
MODELS = Path(__file__).resolve().parent / "models"

# Where it goes, where it is in the wheel, and its SHA-256.
FILES = {
    "magika.onnx": (
        "magika/models/standard_v3_3/model.onnx",
        "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
    ),
    "magika.json": (
        "magika/models/standard_v3_3/config.min.json",
        "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db",
    ),
    "content_types.json": (
        "magika/config/content_types_kb.min.json",
        "75208adba69bc0556403b62b32ef3ccf8b5ce494411780845852e52e6583a10d",
    ),
}


def checked(data, pin, name):
    digest = hashlib.sha256(data).hexdigest()
    if digest != pin:
        raise SystemExit(f"error: {name}: expected SHA-256 {pin}, got {digest}")
    return data


def main():
    present = {name: MODELS / name for name in FILES if (MODELS / name).exists()}
    if len(present) < len(FILES):
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pip",
                    "download",
                    "--quiet",
                    "--no-deps",
                    "--only-binary=:all:",
                    "--platform",
                    "manylinux_2_28_x86_64",
                    "--python-version",
                    "3.11",
                    "--dest",
                    directory,
                    PACKAGE,
                ],
                check=True,
            )
            wheel = next(Path(directory).glob("*.whl"))
            checked(wheel.read_bytes(), WHEEL, wheel.name)
            MODELS.mkdir(exist_ok=True)
            with zipfile.ZipFile(wheel) as archive:
                for name, (member, pin) in FILES.items():
                    data = checked(archive.read(member), pin, member)
                    # Whole or not at all: the gateway may be watching.
                    part = MODELS / f".{name}.part"
                    part.write_bytes(data)
                    part.replace(MODELS / name)
    for name, (_, pin) in FILES.items():
        data = checked((MODELS / name).read_bytes(), pin, MODELS / name)
        print(f"{MODELS / name}: {len(data)} bytes, SHA-256 {pin}")


if __name__ == "__main__":
    main()
