"""What a process computes with and how it reports: device, number format, threads, progress, cancellation.

Nothing here knows BERT, a task or a stage.
"""
