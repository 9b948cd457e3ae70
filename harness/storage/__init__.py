"""Run directories in S3: sends one there while the run goes on and at its end, and fetches one to be read."""
