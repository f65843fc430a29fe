"""Published notations of architectures, read and written."""
