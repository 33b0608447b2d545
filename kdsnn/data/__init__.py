"""Images: real data sets behind one small interface, and spike encoders."""
