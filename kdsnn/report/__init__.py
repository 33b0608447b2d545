"""Reports: JSON is the truth, the HTML page is a view of it."""
