"""The run report, the approver page and the weekly log: values, geometry, templates."""
