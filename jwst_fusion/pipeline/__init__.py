"""Old place of the pipelines, which saved parameter files may name; until 1.0."""
