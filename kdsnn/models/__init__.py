"""Teachers (ANN) and students (SNN), and the neuron layer that students are made of."""
