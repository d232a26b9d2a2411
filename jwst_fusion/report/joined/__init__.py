"""The report on a cube joined from several fused ones."""
