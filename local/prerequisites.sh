#!/usr/bin/env bash
# Names what is missing on this machine, with the command that installs it, before anything is downloaded.
set -u
python=${PYTHON:-python3}
missing=0

need() { # need WHAT FOUND HOW
  echo "missing: $1 (found: $2). Install it: $3" >&2
  missing=1
}

if found=$("$python" -c 'import sys; print(sys.version.split()[0]); sys.exit(sys.version_info < (3, 11))' 2>/dev/null); then
  "$python" -c 'import ensurepip, venv' 2>/dev/null || need "Python's venv module" "none" "apt-get install python3-venv"
else
  need "Python 3.11 or newer" "${found:-none}" "apt-get install python3 python3-venv, or set PYTHON=/path/to/python"
fi

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
# -version prints to stderr: openjdk version "17.0.15" 2025-04-15
found=$("$java" -version 2>&1 | sed -nE '1s/.*"([^"]+)".*/\1/p')
major=${found%%[.-]*}
if ! [[ $major =~ ^[0-9]+$ ]] || ((major < 17)); then
  need "a Java runtime 17 or newer" "${found:-none}" "apt-get install openjdk-17-jre-headless, or set JAVA_HOME"
fi

exit "$missing"
