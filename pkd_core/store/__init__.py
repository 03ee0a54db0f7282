"""Files addressed by what they were made from: fingerprints, manifests, atomic publishing, checks."""
