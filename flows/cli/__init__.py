"""The command line `pkd`: reading arguments, calling what they ask for, showing results and mistakes.

What a run does is in `flows.pkd`.
"""
