"""The emulated boot ROM: its Thumb code, float routines and flash functions, all written for this project."""
