"""Speed on Apache Kafka beside what its client alone can do: `make bench`.

`command` runs the parts and writes the report, `parts` measure, `worker` is the process that is
measured, `rig` starts what it talks to, `material` makes what it reads. `report`, `fleet` and
`picture` are pure: from figures to text, to a fleet on paper, to SVG.
"""
