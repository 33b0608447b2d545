"""Images, still or in time: data sets behind one small interface, events, and spike encoders."""
