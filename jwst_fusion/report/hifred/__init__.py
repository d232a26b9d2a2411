"""The report on a cube fused from two cubes of counts or of JWST."""
