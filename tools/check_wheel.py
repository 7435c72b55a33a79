"""Build the sdist and the wheel, look inside, install the wheel into an empty environment, and run the README's lines from there.

python tools/check_wheel.py              # everything lies in a temporary folder, outside of the repository
python tools/check_wheel.py --keep dist  # and the two files are put here, if all is well

What the lines train is made small: a few images and one epoch. Pretrained weights come from the extra `offline` where there is
no download.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What is not imported, and so is missed only when it is asked for.
NEEDED = ("py.typed", "locale/ko.po", "report/templates/page.html", "compare/published_fashion_mnist.csv")
SDIST = (
    "src/",
    "tests/",
    "examples/",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "PKG-INFO",
    ".gitignore",
)
FEW = """
import transferkit

assert {home!r} in transferkit.__file__, transferkit.__file__


def few(data):
    (x, y), (x_validation, y_validation), (x_test, y_test) = data
    return transferkit.Dataset.from_arrays(
        train=(x, y), validation=(x_validation, y_validation), test=(x_test[:500], y_test[:500]), class_names=data.class_names
    )

"""


def main() -> None:
    """Check what users install."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keep", type=Path, help="a folder for the two files")
    keep = parser.parse_args().keep
    with tempfile.TemporaryDirectory(prefix="transferkit-wheel-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        built = build(folder)
        check_wheel(built["whl"])
        check_sdist(built["gz"])
        say(f"{built['whl'].name}: what it holds is right; installing it")
        python = make_environment(folder / "user")
        run(python, "-m", "pip", "install", "--quiet", "--no-compile", f"{built['whl']}[offline]", cwd=folder)
        say("running the README's lines")
        run_readme(python, folder)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            for file in built.values():
                shutil.copy(file, keep)
    say("the wheel works")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(*command: str | Path, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command without the repository on its path; exit with its output if it fails."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {
        "MPLBACKEND": "Agg",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONUTF8": "1",
        "TRANSFERKIT_HOME": str(cwd / "home"),
    }
    done = subprocess.run(  # noqa: S603 - our own commands
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
        **options,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}\n{done.stderr}")
    return done


def make_environment(folder: Path) -> Path:
    """Make an empty environment and return its Python."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def build(folder: Path) -> dict[str, Path]:
    """Build the sdist, and the wheel from it; return both files by their last suffix."""
    python = make_environment(folder / "builder")
    run(python, "-m", "pip", "install", "--quiet", "build", cwd=folder)
    run(python, "-m", "build", "--outdir", folder / "dist", ROOT, cwd=folder)
    built = {file.suffix[1:]: file for file in (folder / "dist").iterdir()}
    if sorted(built) != ["gz", "whl"]:
        sys.exit(f"expected one sdist and one wheel; got {sorted(map(str, built.values()))}")
    return built


def source_files() -> set[str]:
    """Return the files of the package, relative to its folder."""
    package = ROOT / "src" / "transferkit"
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    return {name for name in files if "__pycache__" not in name and not name.endswith(".mo")}


def check_wheel(file: Path) -> None:
    """Exit if the wheel lacks a file of the package, or holds anything else."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    inside = {name.removeprefix("transferkit/") for name in names if name.startswith("transferkit/")}
    others = {name.partition(".dist-info/")[2] for name in names if ".dist-info/" in name}
    stray = [name for name in names if not name.startswith("transferkit/") and ".dist-info/" not in name]
    expected = source_files()
    problems = [f"missing: {name}" for name in sorted({*expected, *NEEDED} - inside)]
    problems += [f"not of the package: {name}" for name in [*sorted(inside - expected), *stray]]
    problems += [
        f"missing in dist-info: {name}" for name in sorted({"METADATA", "RECORD", "licenses/LICENSE"} - others)
    ]
    if problems:
        sys.exit("\n".join([f"{file.name}:", *problems]))


def check_sdist(file: Path) -> None:
    """Exit if the sdist lacks a file of the package, or holds data, results or what a build left behind."""
    with tarfile.open(file) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    missing = {f"src/transferkit/{name}" for name in source_files()} | {"README.md", "LICENSE", "pyproject.toml"}
    problems = [f"missing: {name}" for name in sorted(missing - names)]
    junk = re.compile(r"__pycache__|\.mo$|\.so$|(^|/)(results|_build|\.venv)/")
    problems += [
        f"does not belong there: {name}" for name in sorted(names) if junk.search(name) or not name.startswith(SDIST)
    ]
    if file.stat().st_size > 5_000_000:
        problems.append(f"{file.stat().st_size:,} bytes: too large")
    if problems:
        sys.exit("\n".join([f"{file.name}:", *problems]))


def run_readme(python: Path, folder: Path) -> None:
    """Run the first Python block of the README, made small; exit if it fails or prints no table."""
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    lines, loads = re.subn(
        r"tk\.load_fashion_mnist\([^)]*\)",
        "few(tk.load_fashion_mnist(labels_per_class=20, validation=100))",
        block[1] if block else "",
    )
    if loads != 1:
        sys.exit("README.md: expected one `tk.load_fashion_mnist(...)` in its first Python block")
    lines = re.sub(r"\bepochs=\d+", "epochs=1", lines)
    script = folder / "eight_lines.py"
    script.write_text(FEW.format(home=str(folder / "user")) + lines, encoding="utf-8")
    if "Test accuracy" not in (printed := run(python, "-W", "ignore", script, cwd=folder).stdout):
        sys.exit(f"the README's lines print no table:\n{printed}")


if __name__ == "__main__":
    main()
