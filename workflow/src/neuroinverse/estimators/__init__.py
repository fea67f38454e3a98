"""What is trained: a map from signals to parameters."""

import os

# before the first import of Keras or TensorFlow; a user's keras.json may name another backend
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
