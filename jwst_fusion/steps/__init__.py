"""All that stpipe knows of: steps, pipelines, and how their stages are resumed."""
