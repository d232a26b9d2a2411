"""Steps and pipelines as stpipe runs them, and how their stages are resumed."""
