"""Worker processes of a target: started, watched, and ended whatever happens."""
