"""The drift loop without a cluster: argo-apps/drift's workflow as processes, a webhook in place of Argo Events.

The steps are read from the manifest itself, so that what is shown here is what the cluster runs.
"""
