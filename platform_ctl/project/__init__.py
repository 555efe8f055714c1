"""A project of one's own: the folder with recipes, pipelines and settings that commands work in."""
