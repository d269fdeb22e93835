"""What training and evaluation share: the data set, its augmentation, the fit."""
