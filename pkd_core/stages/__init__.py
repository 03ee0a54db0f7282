"""One function a stage: a job in, its files in the job's work folder, a few facts out."""
