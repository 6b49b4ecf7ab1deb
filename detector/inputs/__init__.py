"""What is learnt of the input files, one by one, before they become scenes."""
