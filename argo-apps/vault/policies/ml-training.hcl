# ml-training reads its own secret and keeps its own token alive; nothing else, not even the default policy.
path "secret/data/mlops/base/ml-training" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
