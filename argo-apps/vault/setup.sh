#!/usr/bin/env bash
# Makes Vault fit this system: KV v2 at secret/, the Kubernetes auth method, one policy and one role a stage.
# Run it as often as you like: it writes the same again. It writes no secret; vault/README.md lists those.
#
#   VAULT_ADDR=... VAULT_TOKEN=... argo-apps/vault/setup.sh
#
# One Vault a cluster: the secrets have the same paths in each, so a Vault that serves another cluster is refused.
# Needs vault and kubectl, the latter with the rights to read the cluster's address and to make a token for
# vault-auth-sa. Settings: VAULT_PATH_AUTH (default auth/kubernetes/login), KUBERNETES_HOST and KUBERNETES_CA_FILE
# (default: those of kubectl's current context), REVIEWER_DURATION (default 8760h, cut short where the cluster signs for
# less; the reviewer's token must be renewed by running this again before it ends, which the last line says; "none"
# where Vault runs in this cluster and reviews with its own ServiceAccount).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${VAULT_ADDR:?set it to the address of Vault}"
path=${VAULT_PATH_AUTH:-auth/kubernetes/login}
case $path in
  auth/?*/login) mount=${path#auth/} && mount=${mount%/login} ;;
  *) echo "VAULT_PATH_AUTH: expected auth/MOUNT/login, found $path" >&2 && exit 2 ;;
esac
for tool in vault kubectl; do
  command -v "$tool" > /dev/null || { echo "$tool is needed: install it and run this again" >&2; exit 2; }
done

# Into variables first: `vault ... | grep -q` would fail now and then, when grep has found it and closed the pipe.
mounts=$(vault secrets list -format=json)
grep -q '^ *"secret/": {' <<< "$mounts" || vault secrets enable -path=secret -version=2 kv
tuned=$(vault read -format=json sys/mounts/secret/tune | tr -d ' \n')
grep -q '"options":{"version":"2"}' <<< "$tuned" ||
  { echo "Vault's secret/ is no KV engine of version 2: the stages read secret/data/mlops/base/STAGE" >&2; exit 3; }
methods=$(vault auth list -format=json)
# Two clusters at one Vault would read the same secrets and, by them, the same database, bucket and registry.
while read -r other; do
  if [ "$other" = "$mount" ] || ! vault read "auth/$other/role/mlops-datafetch" > /dev/null 2>&1; then continue; fi
  echo "This Vault serves a cluster by auth/$other already, and every cluster reads the same paths below secret/." \
    "Give this cluster a Vault of its own, or end the other's access first: vault auth disable $other" >&2
  exit 3
done < <(sed -n 's|^ *"\(.*\)/": {.*|\1|p' <<< "$methods")
grep -q "^ *\"$mount/\": {" <<< "$methods" || vault auth enable -path="$mount" kubernetes

ca=$(mktemp) && trap 'rm -f "$ca"' EXIT
if [ -n "${KUBERNETES_CA_FILE:-}" ]; then
  cat "$KUBERNETES_CA_FILE" > "$ca"
else
  # The CA that every pod gets, the same that serves the API.
  kubectl -n mlops get configmap kube-root-ca.crt -o 'jsonpath={.data.ca\.crt}' > "$ca"
fi
host=${KUBERNETES_HOST:-$(kubectl config view --minify -o 'jsonpath={.clusters[0].cluster.server}')}
config=(kubernetes_host="$host" kubernetes_ca_cert="@$ca")
if [ "${REVIEWER_DURATION:-8760h}" != none ]; then
  token=$(kubectl -n mlops create token vault-auth-sa --duration "${REVIEWER_DURATION:-8760h}")
  # By standard input ("-"): on the command line other users of this machine could read the token.
  vault write "auth/$mount/config" "${config[@]}" disable_local_ca_jwt=true token_reviewer_jwt=- <<< "$token"
  # A cluster may sign for a shorter time than asked for, and every login fails once it is over.
  body=${token#*.} && body=$(tr '_-' '/+' <<< "${body%%.*}")
  while [ $((${#body} % 4)) != 0 ]; do body=$body=; done
  end=$(base64 -d <<< "$body" | sed -n 's/.*"exp": *\([0-9]*\).*/\1/p')
  reviewed="until $(date -u -d "@$end" '+%F %H:%M UTC' 2> /dev/null || date -u -r "$end" '+%F %H:%M UTC')"
else
  vault write "auth/$mount/config" "${config[@]}"
  reviewed="with its own account"
fi

while IFS=$'\t' read -r role policy account namespaces; do
  case $role in '#'* | '') continue ;; esac
  vault policy write "mlops-$policy" "$here/policies/$policy.hcl"
  vault write "auth/$mount/role/$role" \
    bound_service_account_names="$account" bound_service_account_namespaces="$namespaces" \
    audience=vault alias_name_source=serviceaccount_uid \
    token_policies="mlops-$policy" token_no_default_policy=true token_ttl=10m token_max_ttl=1h
done < "$here/roles.tsv"
echo "Vault is set up and reviews tokens $reviewed. What each stage's secret must hold: $here/README.md"
