#!/usr/bin/env bash
# Everything about delivery that can be checked without a cluster: workflows, manifests, the generated file.
#
#   .github/scripts/lint-delivery.sh
#
# Needs kubectl, Go (builds actionlint and kubeconform once, tests/servers/build), and the tools of
# tests/requirements-lint.lock and shellcheck, on the path or in the folders $LINT_BIN (A:B, from the root).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) && cd "$root"
PATH=${LINT_BIN:+$LINT_BIN:}$PATH
for tool in kubectl zizmor kubernetes-validate shellcheck; do
  command -v "$tool" > /dev/null || { echo "lint-delivery: $tool is needed: make lint-delivery installs it" >&2; exit 2; }
done
"$root/tests/servers/build" schemas kubeconform actionlint
at() { "$root/tests/servers/build" --where "$1"; }
scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT

# Told where shellcheck is: without one it would leave the workflows' shell out and say nothing.
"$(at actionlint)/actionlint" -shellcheck "$(command -v shellcheck)"
zizmor --offline --no-progress --quiet .github
python argo-apps/scripts/release.py check
python tests/manifests/write_golden.py --check
python argo-apps/scripts/schemas.py "$(at schemas)" "$scratch/schemas"

python argo-apps/environment/install.py argo-apps/environment/values.example.yaml > "$scratch/install.yaml"
for folder in argo-apps/base argo-apps/drift argo-apps/components/*/; do
  [ -f "$folder/kustomization.yaml" ] || continue
  if grep -q '^kind: Component' "$folder/kustomization.yaml"; then
    # A component is an addition to the base: rendered as the Application would.
    overlay=$root/var/lint-overlay && mkdir -p "$overlay"
    printf 'resources: [../../argo-apps/base]\ncomponents: [../../%s]\n' "${folder%/}" > "$overlay/kustomization.yaml"
    kubectl kustomize "$overlay" > "$scratch/$(basename "$folder").yaml"
    rm -r "$overlay"
  else
    kubectl kustomize "$folder" > "$scratch/$(basename "$folder").yaml"
  fi
done
# The kinds of Argo Workflows, Argo Events and the Prometheus operator have no structural schema: their own linters
# and servers check those (make test-cluster).
"$(at kubeconform)/kubeconform" -strict -summary \
  -skip Workflow,WorkflowTemplate,EventBus,EventSource,Sensor,ServiceMonitor,PrometheusRule \
  -schema-location "$scratch/schemas/{{.ResourceKind}}{{.KindSuffix}}.json" "$scratch"/*.yaml argo-apps/applications/*.yaml
for file in "$scratch"/*.yaml; do
  kubernetes-validate --kubernetes-version 1.31 --strict --quiet "$file" > "$scratch/said" 2>&1 ||
    { grep -vE 'argoproj|monitoring.coreos' "$scratch/said" && exit 1; }
done
echo "lint-delivery: clean"
