"""The stages of a run: what each is made from, which are done, and how one is built and published.

It puts the other packages together; without Prefect, `local` runs a whole plan.
"""
