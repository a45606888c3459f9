"""The Linux system calls, by name: each module has a table CALLS of name -> Call."""
