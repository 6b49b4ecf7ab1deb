"""Speed, memory and accuracy, each by a command that anyone can repeat; see README.md."""
