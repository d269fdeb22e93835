"""From the data set to the model: augmentation, fine-tuning, SVM, cross-validation, limits."""
