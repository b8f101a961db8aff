"""What every stage needs and none should write twice; importing it does nothing.

exits     exit codes and the exceptions that carry them
settings  one frozen, typed settings object from flags, Vault or files, environment, defaults
commands  a stage with several commands
logs      JSON lines or readable lines, secrets taken out
main      runs a stage and turns its ending into an exit code
signals   SIGTERM and SIGINT as a request to stop
progress  a bar on a terminal, a log line every ten seconds elsewhere
vault     login with the pod's ServiceAccount, renewal, reading of one secret
"""
