"""Arrays and a random generator in, numbers out: intervals, tests, verdict rules, planning. Knows no Run."""
