"""Data of one's own: files, folders of images, functions, arrays and torch data sets, read by one resolver."""
