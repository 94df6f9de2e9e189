"""What Driftline tells Prometheus of itself.

`names` is the one table of series. `stored` reads those that the database knows, at scrape
time, for the web process; `working` keeps those that only a role's own process knows. The rules
and the dashboard beside this file use no other names.
"""
