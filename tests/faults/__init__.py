"""The fault loop: let the n-th file operation fail, or the process die there, for every n."""
