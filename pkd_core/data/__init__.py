"""From GLUE's TSV files to batches of token ids."""
