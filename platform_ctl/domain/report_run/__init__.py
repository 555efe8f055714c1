"""What ``run report`` shows of one run: values and the geometry of its pictures. Pure."""
